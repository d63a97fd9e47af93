// From a call to its answer: the method is found, its parameters are checked, its handler asked.
import { RingmqError } from '../base/codes.ts';
import { Fault } from '../base/fault.ts';
import type { CommandOf } from '../wire/commands.ts';
import { isMethod, parseParams } from '../wire/service-schemas.ts';
import type { Answered, Method } from '../wire/services.ts';
import type { CallReply } from './call-lanes.ts';
import type { Handler, Service } from './service.ts';

const NO_BYTES = new Uint8Array(0);

export interface DispatcherEvents {
  readonly warn: (text: string) => void;
  /** A bug was met: the thread must end. */
  readonly fault: (error: Fault) => void;
}

export class Dispatcher {
  private readonly handlers = new Map<Method, Handler<Method>>();
  private readonly events: DispatcherEvents;

  constructor(services: readonly Service[], events: DispatcherEvents) {
    this.events = events;
    for (const { handlers } of services) {
      for (const [method, handler] of Object.entries(handlers)) {
        if (this.handlers.has(method as Method)) throw new Fault(`two services answer ${method}`);
        this.handlers.set(method as Method, handler as unknown as Handler<Method>);
      }
    }
  }

  /** Answers now or later, exactly once. */
  call({ method, params, payload }: CommandOf<'call'>, reply: CallReply): void {
    try {
      const handler = isMethod(method) ? this.handlers.get(method) : undefined;
      if (!handler) throw new RingmqError('unknown-method', `the coordinator has no method ${method.slice(0, 64)}`);
      const answered = handler(parseParams(method as Method, params), payload, { seat: reply.seat });
      if (answered instanceof Promise) this.later(method, answered, reply);
      else this.answer(answered, reply);
    } catch (error) {
      this.refuse(method, error, reply);
    }
  }

  private later(method: string, promise: Promise<Answered<Method>>, reply: CallReply): void {
    promise
      .then((answered) => this.answer(answered, reply))
      .catch((error: unknown) => this.refuse(method, error, reply));
  }

  private answer({ result, payload = NO_BYTES }: Answered<Method>, reply: CallReply): void {
    reply.reply(JSON.stringify(result), payload);
  }

  private refuse(method: string, error: unknown, reply: CallReply): void {
    if (error instanceof RingmqError) {
      reply.refuse(error);
      return;
    }
    if (error instanceof Fault) {
      this.events.fault(error);
      return;
    }
    this.events.warn(`${method} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    reply.refuse(new RingmqError('internal'));
  }
}
