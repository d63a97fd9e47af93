// Requests of one session and their answers. Requests made without a session wait for one; after a lost connection
// those that may be repeated go out again, the others fail with `connection-lost`.
import { RingmqError } from '../base/codes.ts';
import { encodeFrame } from '../wire/codec.ts';
import type { Command, CommandType } from '../wire/commands.ts';

/** How a session takes commands. */
export interface RequestWay {
  /** False without a session. */
  trySend(bytes: Uint8Array): boolean;
  /** Why there is no session. */
  why(): string;
}

export interface RequestOptions {
  /** Milliseconds until it fails with `timeout`, waiting for a session included. */
  readonly timeoutMs?: number;
}

interface Waiting {
  readonly command: Command;
  readonly timer: ReturnType<typeof setTimeout>;
  sent: boolean;
  answer(command: Command): void;
  fail(error: RingmqError): void;
}

/** Asking twice does no harm. */
const REPEATABLE: ReadonlySet<CommandType> = new Set([
  'route-request',
  'topics-request',
  'pull',
  'query',
  'offsets-request',
  'commit-offsets',
  'set-permission',
  'set-retention',
]);
/** Most requests without an answer. */
const WAITING_MAX = 65_536;

export class Requests {
  private readonly timeoutMs: number;
  private readonly way: RequestWay;
  private readonly waiting = new Map<number, Waiting>();
  private correlation = 0;

  constructor(timeoutMs: number, way: RequestWay) {
    this.timeoutMs = timeoutMs;
    this.way = way;
  }

  get pending(): number {
    return this.waiting.size;
  }

  /** Asks the broker. Rejects with what it refuses with, `timeout` or `connection-lost`. */
  ask(command: Command, options: RequestOptions = {}): Promise<Command> {
    return new Promise((resolve, reject) => this.call(command, resolve, reject, options));
  }

  /** The same with callbacks, which run before the next frame is looked at. */
  call(
    command: Command,
    answer: (command: Command) => void,
    fail: (error: RingmqError) => void,
    { timeoutMs = this.timeoutMs }: RequestOptions = {},
  ): void {
    if (this.waiting.size >= WAITING_MAX) {
      fail(new RingmqError('busy', 'too many unanswered requests'));
      return;
    }
    this.correlation = (this.correlation + 1) >>> 0 || 1;
    const correlation = this.correlation;
    const bytes = encodeFrame({ correlation, command });
    const timer = setTimeout(() => this.expire(correlation, timeoutMs), timeoutMs);
    const waiting: Waiting = { command, timer, sent: false, answer, fail };
    this.waiting.set(correlation, waiting);
    waiting.sent = this.way.trySend(bytes);
  }

  /** True if the command answers a request; also one that nobody waits for any more. */
  answer(correlation: number, command: Command): boolean {
    const waiting = this.waiting.get(correlation);
    if (!waiting) return correlation !== 0;
    this.remove(correlation, waiting);
    if (command.type === 'refused') waiting.fail(new RingmqError(command.code, command.text || undefined));
    else waiting.answer(command);
    return true;
  }

  /** A session stands: what waited for one goes out. */
  sendWaiting(): void {
    for (const [correlation, waiting] of this.waiting) {
      if (waiting.sent) continue;
      waiting.sent = this.way.trySend(encodeFrame({ correlation, command: waiting.command }));
    }
  }

  /** The session is gone. */
  lost(): void {
    for (const [correlation, waiting] of [...this.waiting]) {
      if (!waiting.sent) continue;
      if (REPEATABLE.has(waiting.command.type)) {
        waiting.sent = false;
        continue;
      }
      this.remove(correlation, waiting);
      waiting.fail(new RingmqError('connection-lost'));
    }
  }

  failAll(error: RingmqError): void {
    for (const [correlation, waiting] of [...this.waiting]) {
      this.remove(correlation, waiting);
      waiting.fail(error);
    }
  }

  private expire(correlation: number, timeoutMs: number): void {
    const waiting = this.waiting.get(correlation);
    if (!waiting) return;
    this.remove(correlation, waiting);
    const { type } = waiting.command;
    waiting.fail(
      waiting.sent
        ? new RingmqError('timeout', `the broker did not answer ${type} within ${timeoutMs} ms`)
        : new RingmqError('connection-lost', this.way.why()),
    );
  }

  private remove(correlation: number, waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.waiting.delete(correlation);
  }
}
