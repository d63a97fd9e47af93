// What a member of a group may hand to its handlers next: messages of several queues, by the group's order and by
// priority, as many at once as handlers may be at work. Pure: knows no clock and no broker, and nothing is acknowledged
// here.
//
// I1  No two messages of one lane (a key, or a queue) are under way at once, and they leave it in the order they came.
// I2  At most `concurrency` messages are with handlers. One that is sent back to the broker is with none any more.
// I3  What is dropped is never handed on afterwards; results of it are ignored.
import type { GroupOrder } from '../wire/services.ts';

/** Where a message stands here. */
export const STATE = {
  /** An earlier one of its lane is not done. */
  blocked: 0,
  ready: 1,
  /** With a handler. */
  running: 2,
  /** Failed, waits in its place to be tried again. */
  delayed: 3,
  /** Failed, on its way back to the broker. */
  leaving: 4,
  /** Done, or dropped. */
  gone: 5,
} as const;
export type State = (typeof STATE)[keyof typeof STATE];

/** One message that was read and is not acknowledged. */
export interface Entry<M, O> {
  readonly message: M;
  readonly queue: DispatchQueue<M, O>;
  /** Number of the message in its queue. */
  readonly offset: number;
  readonly lengthBytes: number;
  readonly priority: number;
  readonly lane: Lane<M, O> | undefined;
  /** Deliveries that have failed. */
  failures: number;
  state: State;
  /** Counts how often it was handed on: what comes of an earlier time is late. */
  run: number;
  /** When to try it again. */
  dueAt: number;
  /** A handler has it, also when the queue was dropped meanwhile. */
  handled: boolean;
}

/** Messages that must not overtake each other; the first one may be under way. */
interface Lane<M, O> {
  readonly name: string;
  readonly entries: Entry<M, O>[];
}

/** One queue's messages. Make it with Dispatch.open(). */
export class DispatchQueue<M, O> {
  /** Whose queue it is. */
  readonly owner: O;
  readonly entries = new Set<Entry<M, O>>();
  readonly lanes = new Map<string, Lane<M, O>>();
  lengthBytes = 0;
  /** With handlers, or on their way back to the broker. */
  busy = 0;
  /** Nothing more of it is handed on. */
  stopped = false;

  constructor(owner: O) {
    this.owner = owner;
  }

  /** Messages that wait, run or leave. */
  get count(): number {
    return this.entries.size;
  }
}

/** What matters of a message here. */
export interface About {
  readonly offset: number;
  readonly key: string | undefined;
  readonly priority: number;
  readonly lengthBytes: number;
  /** Deliveries of it that failed before. */
  readonly failures: number;
}

export interface DispatchOptions {
  readonly order: GroupOrder;
  /** Most messages with handlers at once. */
  readonly concurrency: number;
  /** Highest priority first among what is ready. */
  readonly priority: boolean;
}

const PRIORITIES = 16;
/** Lane of a whole queue. */
const WHOLE_QUEUE = '';

export class Dispatch<M, O> {
  concurrency: number;
  private readonly order: GroupOrder;
  private readonly priority: boolean;
  /** Ready messages by priority. What was dropped is stepped over. */
  private readonly ready: Fifo<Entry<M, O>>[] = [];
  private readonly delayed = new Set<Entry<M, O>>();
  private handlers = 0;

  constructor(options: DispatchOptions) {
    this.order = options.order;
    this.concurrency = options.concurrency;
    this.priority = options.priority;
    for (let i = 0; i < PRIORITIES; i++) this.ready.push(new Fifo());
  }

  /** Messages with handlers. */
  get running(): number {
    return this.handlers;
  }

  open(owner: O): DispatchQueue<M, O> {
    return new DispatchQueue<M, O>(owner);
  }

  /** Takes a message in, in the order of its queue. */
  put(queue: DispatchQueue<M, O>, message: M, about: About): Entry<M, O> {
    const name = this.laneOf(about.key);
    let lane = name === undefined ? undefined : queue.lanes.get(name);
    if (name !== undefined && lane === undefined) {
      lane = { name, entries: [] };
      queue.lanes.set(name, lane);
    }
    const entry = this.enter(queue, message, about, lane);
    lane?.entries.push(entry);
    if (lane === undefined || lane.entries.length === 1) this.makeReady(entry);
    return entry;
  }

  /** Takes in a message that has failed already, with others of its batch, and goes back to the broker. */
  putLeaving(queue: DispatchQueue<M, O>, message: M, about: About): Entry<M, O> {
    const entry = this.enter(queue, message, about, undefined);
    entry.state = STATE.leaving;
    queue.busy++;
    return entry;
  }

  /** The next message for a handler; undefined: none is ready, or enough handlers are at work. */
  take(): Entry<M, O> | undefined {
    if (this.handlers >= this.concurrency) return undefined;
    for (let i = this.priority ? PRIORITIES - 1 : 0; i >= 0; i--) {
      const entry = this.takeOf(this.ready[i]);
      if (entry) return entry;
    }
    return undefined;
  }

  /** The message is dealt with: by its handler, or the broker has taken it back. */
  done(entry: Entry<M, O>): void {
    this.release(entry);
    if (entry.state !== STATE.gone) this.drop(entry);
  }

  /** The handler failed, and the message waits in its place. */
  retryAt(entry: Entry<M, O>, dueAt: number): void {
    this.release(entry);
    if (entry.state !== STATE.running) return;
    entry.queue.busy--;
    entry.state = STATE.delayed;
    entry.dueAt = dueAt;
    this.delayed.add(entry);
  }

  /** The handler failed, and the message goes back to the broker: done() when that has happened. */
  leave(entry: Entry<M, O>): void {
    this.release(entry);
    if (entry.state === STATE.running) entry.state = STATE.leaving;
  }

  /** When the next message that waits in its place is due; Infinity for none. */
  get dueAt(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const one of this.delayed) if (one.dueAt < first) first = one.dueAt;
    return first;
  }

  /** Makes ready what is due. */
  wake(now: number): void {
    for (const one of this.delayed) {
      if (one.dueAt > now) continue;
      this.delayed.delete(one);
      this.makeReady(one);
    }
  }

  /** The queue is given up: nothing more of it is handed on. What is under way goes on. */
  stop(queue: DispatchQueue<M, O>): void {
    queue.stopped = true;
    for (const one of [...queue.entries].reverse()) {
      if (one.state !== STATE.running && one.state !== STATE.leaving) this.drop(one);
    }
  }

  /** The queue belongs to somebody else now: what is under way counts for nothing. */
  forget(queue: DispatchQueue<M, O>): void {
    queue.stopped = true;
    this.cut(queue, 0);
  }

  /** Messages from `offset` on do not exist any more. */
  cut(queue: DispatchQueue<M, O>, offset: number): void {
    for (const one of [...queue.entries].reverse()) if (one.offset >= offset) this.drop(one);
  }

  private enter(
    queue: DispatchQueue<M, O>,
    message: M,
    { offset, lengthBytes, failures, priority }: About,
    lane: Lane<M, O> | undefined,
  ): Entry<M, O> {
    const entry: Entry<M, O> = {
      message,
      queue,
      offset,
      lengthBytes,
      priority: this.priority ? priority & (PRIORITIES - 1) : 0,
      lane,
      failures,
      state: STATE.blocked,
      run: 0,
      dueAt: 0,
      handled: false,
    };
    queue.entries.add(entry);
    queue.lengthBytes += lengthBytes;
    return entry;
  }

  private laneOf(key: string | undefined): string | undefined {
    if (this.order === 'partition') return WHOLE_QUEUE;
    return this.order === 'key' ? key : undefined;
  }

  private takeOf(ready: Fifo<Entry<M, O>>): Entry<M, O> | undefined {
    for (;;) {
      const entry = ready.take();
      if (entry === undefined) return undefined;
      if (entry.state !== STATE.ready) continue;
      entry.state = STATE.running;
      entry.handled = true;
      entry.run++;
      entry.queue.busy++;
      this.handlers++;
      return entry;
    }
  }

  private makeReady(entry: Entry<M, O>): void {
    entry.state = STATE.ready;
    this.ready[entry.priority].put(entry);
  }

  /** Its handler is done with it, or is given up. */
  private release(entry: Entry<M, O>): void {
    if (!entry.handled) return;
    entry.handled = false;
    this.handlers--;
  }

  /** Takes it out of its queue and lane; the next one of the lane is ready if the queue goes on. */
  private drop(entry: Entry<M, O>): void {
    const { queue, lane } = entry;
    if (entry.state === STATE.running || entry.state === STATE.leaving) queue.busy--;
    if (entry.state === STATE.delayed) this.delayed.delete(entry);
    entry.state = STATE.gone;
    queue.entries.delete(entry);
    queue.lengthBytes -= entry.lengthBytes;
    if (lane === undefined) return;
    const wasFirst = lane.entries[0] === entry;
    if (wasFirst) lane.entries.shift();
    else lane.entries.splice(lane.entries.lastIndexOf(entry), 1);
    if (lane.entries.length === 0) queue.lanes.delete(lane.name);
    else if (wasFirst && !queue.stopped) this.makeReady(lane.entries[0]);
  }
}

/** A queue that gives up its memory in pieces. */
class Fifo<T> {
  private items: T[] = [];
  private taken = 0;

  put(item: T): void {
    this.items.push(item);
  }

  take(): T | undefined {
    if (this.taken === this.items.length) return undefined;
    const item = this.items[this.taken];
    this.taken++;
    if (this.taken === this.items.length) {
      this.items.length = 0;
      this.taken = 0;
    } else if (this.taken >= 1_024 && this.taken * 2 > this.items.length) {
      this.items = this.items.slice(this.taken);
      this.taken = 0;
    }
    return item;
  }
}
