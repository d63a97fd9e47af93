// Hands messages of a group to handlers and deals with what comes of it: done, failed, or nothing in time.
//
// What fails waits in its place where order matters (its key or queue waits with it), for the group's retry delays; all
// else goes back to the broker, which delivers it again later. Acknowledged is what a handler was done with, and what
// the broker has taken back.
import { RingmqError } from '../base/codes.ts';
import { Dispatch, type DispatchOptions, STATE } from '../group/dispatch.ts';
import { DELAY_MAX_MS, GROUP_DEFAULTS, type GroupSettings } from '../wire/services.ts';
import type { GroupDispatch, GroupEntry, HeldQueue } from './group-queue.ts';
import type { Message } from './message.ts';
import { DeadLetter, RetryLater } from './messaging.ts';

export type MessageHandler<T> = (message: Message<T>) => void | Promise<void>;

/** What goes back to the broker. */
export interface Returned {
  /** -1: by the group's retry delays. */
  readonly delayMs: number;
  readonly deadLetter: boolean;
  readonly reason: string;
}

export interface HandlingHost<T> {
  /** The message goes back to the broker; finish() when it has it. */
  sendBack(entry: GroupEntry<T>, returned: Returned): void;
  /** One message of the queue fewer waits. */
  roomIn(queue: HeldQueue<T>): void;
  /** A handler was done with a message that counts for nothing any more: others have the queue. */
  late(queue: HeldQueue<T>): void;
  tell(error: Error): void;
  /** For the trace: what happened to a message. */
  readonly step?: ((step: 'delivered' | 'acknowledged' | 'failed', message: Message<unknown>) => void) | undefined;
}

export interface HandlingOptions extends DispatchOptions {
  readonly handlerTimeoutMs: number;
}

/** Longest that a timer of JavaScript waits. */
const TIMER_MAX_MS = 0x7fff_ffff;
const REASON_MAX_LENGTH = 500;

export class GroupHandling<T> {
  readonly dispatch: GroupDispatch<T>;
  settings: GroupSettings = GROUP_DEFAULTS;
  private readonly host: HandlingHost<T>;
  private readonly timeoutMs: number;
  private handler: MessageHandler<T> | undefined;
  /** Handlers that take their time, in the order of their deadlines. */
  private readonly deadlines = new Map<GroupEntry<T>, number>();
  /** What iterators have. */
  private readonly iterated = new Set<GroupEntry<T>>();
  private readonly waiters: ((entry: GroupEntry<T> | undefined) => void)[] = [];
  private readonly idlers = new Map<HeldQueue<T>, () => void>();
  private onQuiet: (() => void) | undefined;
  private stopped = false;
  private pumping = false;
  private ended = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Number.POSITIVE_INFINITY;

  constructor(options: HandlingOptions, host: HandlingHost<T>) {
    this.dispatch = new Dispatch(options);
    this.timeoutMs = options.handlerTimeoutMs;
    this.host = host;
  }

  get hasHandler(): boolean {
    return this.handler !== undefined;
  }

  /** From now on messages go to this handler. */
  handleWith(handler: MessageHandler<T>): void {
    this.handler = handler;
    this.pump();
  }

  /** Nothing is handed on until resume(). */
  pause(): void {
    this.stopped = true;
  }

  resume(): void {
    this.stopped = false;
    this.pump();
  }

  /** For iterators: the next message; undefined at the end. It is up to succeeded() to say that it is done with. */
  next(): Promise<GroupEntry<T> | undefined> {
    if (this.ended) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.waiters.push(resolve);
      this.pump();
    });
  }

  /** Hands on what may be handed on. */
  readonly pump = (): void => {
    if (this.pumping) return;
    this.pumping = true;
    while (!this.stopped && !this.ended && (this.handler !== undefined || this.waiters.length > 0)) {
      const entry = this.dispatch.take();
      if (entry === undefined) break;
      const message = entry.message;
      if (message === undefined) continue;
      if (entry.failures > 0) message.redelivered(entry.failures + 1);
      this.host.step?.('delivered', message);
      if (this.handler) this.hand(this.handler, message, entry);
      else {
        this.watch(entry);
        this.iterated.add(entry);
        this.waiters.shift()?.(entry);
      }
    }
    this.pumping = false;
  };

  /** The handler is done with the message. Late results, of an attempt that had failed already, count for nothing. */
  succeeded(entry: GroupEntry<T>, run = entry.run): void {
    if (!this.isUnderWay(entry, run)) return;
    if (entry.state !== STATE.running) this.host.late(entry.queue.owner);
    else if (entry.message) this.host.step?.('acknowledged', entry.message);
    this.finish(entry);
  }

  /** The message is dealt with: by its handler, or by the broker. */
  finish(entry: GroupEntry<T>): void {
    const { owner } = entry.queue;
    const counts = entry.state === STATE.running || entry.state === STATE.leaving;
    this.deadlines.delete(entry);
    this.iterated.delete(entry);
    this.dispatch.done(entry);
    if (counts) {
      owner.acked(entry.offset);
      this.host.roomIn(owner);
    }
    this.lookIfIdle(owner);
  }

  /** What became of the message is not known here: it is not acknowledged, and nobody is waited for. */
  drop(entry: GroupEntry<T>): void {
    this.dispatch.done(entry);
    this.lookIfIdle(entry.queue.owner);
  }

  /** The handler failed. */
  failed(entry: GroupEntry<T>, run: number, thrown: unknown): void {
    if (!this.isUnderWay(entry, run)) return;
    this.deadlines.delete(entry);
    this.iterated.delete(entry);
    const { owner } = entry.queue;
    if (entry.state !== STATE.running) {
      this.dispatch.done(entry);
      this.lookIfIdle(owner);
      return;
    }
    if (!(isNamed(thrown, 'RetryLater') || isNamed(thrown, 'DeadLetter'))) this.host.tell(asError(thrown));
    if (entry.message) this.host.step?.('failed', entry.message);
    entry.failures++;
    owner.failed(entry.offset, entry.failures);
    const inPlace = entry.lane !== undefined;
    const deadLetter = isNamed(thrown, 'DeadLetter') || (inPlace && entry.failures >= this.settings.attemptsMax);
    if (inPlace && !deadLetter) this.waitInPlace(entry, thrown);
    else {
      this.dispatch.leave(entry);
      this.host.sendBack(entry, { delayMs: askedDelay(thrown), deadLetter, reason: reasonOf(thrown) });
    }
    this.lookIfIdle(owner);
  }

  /** The handler of a whole batch failed on these: they go back to the broker one by one. */
  batchFailed(
    queue: HeldQueue<T>,
    messages: readonly { readonly offset: number; readonly lengthBytes: number; readonly failures: number }[],
    thrown: unknown,
  ): void {
    if (!(isNamed(thrown, 'RetryLater') || isNamed(thrown, 'DeadLetter'))) this.host.tell(asError(thrown));
    const returned = {
      delayMs: askedDelay(thrown),
      deadLetter: isNamed(thrown, 'DeadLetter'),
      reason: reasonOf(thrown),
    };
    for (const { offset, lengthBytes, failures } of messages) {
      const about = { offset, lengthBytes, failures: failures + 1, key: undefined, priority: 0 };
      queue.comes(offset);
      queue.failed(offset, failures + 1);
      this.host.sendBack(this.dispatch.putLeaving(queue.waiting, undefined, about), returned);
    }
  }

  /** The queue is given up. Settles when no handler has anything of it, after the handlers' time at the latest. */
  async release(queue: HeldQueue<T>): Promise<void> {
    this.dispatch.stop(queue.waiting);
    if (queue.waiting.busy > 0) {
      let late: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        // Two may wait: a seek, and the end of the consumer.
        const before = this.idlers.get(queue);
        this.idlers.set(queue, () => {
          before?.();
          resolve();
        });
        late = setTimeout(resolve, Math.min(this.timeoutMs, TIMER_MAX_MS));
      });
      clearTimeout(late);
      this.idlers.delete(queue);
    }
    this.dispatch.forget(queue.waiting);
  }

  /** The queue belongs to somebody else: what handlers have of it counts for nothing. */
  forget(queue: HeldQueue<T>): void {
    this.dispatch.forget(queue.waiting);
    this.idlers.get(queue)?.();
  }

  /** Settles when no handler is at work. */
  async quiet(): Promise<void> {
    while (this.dispatch.running > 0) {
      await new Promise<void>((resolve) => {
        this.onQuiet = resolve;
      });
    }
  }

  /** Nothing more is handed on, and iterators end: what they have was not handled. */
  end(): void {
    this.ended = true;
    for (const resolve of this.waiters.splice(0)) resolve(undefined);
    for (const entry of this.iterated) {
      if (!entry.handled) continue;
      this.deadlines.delete(entry);
      this.dispatch.done(entry);
      this.lookIfIdle(entry.queue.owner);
    }
    this.iterated.clear();
  }

  /** No timer goes on. */
  close(): void {
    this.end();
    clearTimeout(this.timer);
    this.timerAt = Number.NEGATIVE_INFINITY;
  }

  private hand(handler: MessageHandler<T>, message: Message<T>, entry: GroupEntry<T>): void {
    const { run } = entry;
    try {
      const result = handler(message);
      if (result === undefined || typeof result.then !== 'function') {
        this.succeeded(entry, run);
        return;
      }
      this.watch(entry);
      result
        .then(
          () => this.succeeded(entry, run),
          (error: unknown) => this.failed(entry, run, error),
        )
        .then(this.pump);
    } catch (error) {
      this.failed(entry, run, error);
    }
  }

  private isUnderWay(entry: GroupEntry<T>, run: number): boolean {
    return entry.handled && entry.run === run;
  }

  private waitInPlace(entry: GroupEntry<T>, thrown: unknown): void {
    if (entry.queue.stopped) {
      // Another member goes on with it.
      this.dispatch.done(entry);
      return;
    }
    const { retryDelaysMs } = this.settings;
    const asked = askedDelay(thrown);
    const byGroup = retryDelaysMs[Math.min(entry.failures, retryDelaysMs.length) - 1] ?? 0;
    const dueAt = performance.now() + (asked >= 0 ? asked : byGroup);
    this.dispatch.retryAt(entry, dueAt);
    this.arm(dueAt);
  }

  private lookIfIdle(queue: HeldQueue<T>): void {
    if (queue.waiting.busy === 0) this.idlers.get(queue)?.();
    if (this.dispatch.running === 0 && this.onQuiet) {
      this.onQuiet();
      this.onQuiet = undefined;
    }
  }

  private watch(entry: GroupEntry<T>): void {
    const at = performance.now() + this.timeoutMs;
    this.deadlines.set(entry, at);
    this.arm(at);
  }

  /** Makes sure that somebody looks at this time. */
  private arm(at: number): void {
    if (at >= this.timerAt || at === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(this.look, Math.min(Math.max(at - performance.now(), 0), TIMER_MAX_MS));
  }

  private readonly look = (): void => {
    const now = performance.now();
    this.timerAt = Number.POSITIVE_INFINITY;
    for (const [entry, at] of this.deadlines) {
      if (at > now) break;
      const text = `the handler of ${entry.queue.owner.name}@${entry.offset} took longer than ${this.timeoutMs} ms`;
      this.failed(entry, entry.run, new RingmqError('handler-failed', `${text} (handlerTimeoutMs)`));
    }
    this.dispatch.wake(now);
    this.pump();
    const [deadline = Number.POSITIVE_INFINITY] = this.deadlines.values();
    this.arm(Math.min(deadline, this.dispatch.dueAt));
  };
}

/** By name: errors that come out of another thread have lost their class. */
function isNamed(error: unknown, name: 'RetryLater' | 'DeadLetter'): boolean {
  return error instanceof (name === 'RetryLater' ? RetryLater : DeadLetter) || (error as Error | null)?.name === name;
}

/** What RetryLater asked for; -1: nothing that makes sense. */
function askedDelay(error: unknown): number {
  if (!isNamed(error, 'RetryLater')) return -1;
  const { delayMs } = error as RetryLater;
  return Number.isFinite(delayMs) && delayMs >= 0 ? Math.min(Math.round(delayMs), DELAY_MAX_MS) : -1;
}

function reasonOf(error: unknown): string {
  return asError(error).message.slice(0, REASON_MAX_LENGTH);
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
