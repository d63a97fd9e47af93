// A group of simple consumers on one topic: its queues, and who waits to receive. How leases end: lease-ends.ts.
import { RingmqError } from '../base/codes.ts';
import type { RecordView } from '../record/batch-view.ts';
import { type Answered, type GroupOrder, isRetryTopic, type QueueRef, type Receive } from '../wire/services.ts';
import { type GroupQueue, type GroupTopic, queueKey } from './group-state.ts';
import { addRun, type LeaseContext, RUN } from './lease-context.ts';
import { LeaseQueue, type LeaseQueueHost } from './lease-queue.ts';
import { goodUntil } from './topic-source.ts';

type Leased = Answered<'receive'>;

/** A receive that is held. */
interface Waiting {
  readonly request: Receive;
  readonly seat: number;
  /** By the clock that only counts up. */
  readonly until: number;
  readonly resolve: (leased: Leased) => void;
  readonly reject: (error: unknown) => void;
}

/** What is there, is read within this time: a receive that does not wait still waits for that. */
const READ_MS = 5_000;
/** After so long without a receive nothing is read ahead any more. */
const IDLE_MS = 10_000;
const REWAKE_MS = 1_000;
const NOTHING: Leased = { result: { queues: [], messages: [] } };

export class LeaseGroup implements LeaseQueueHost {
  readonly topic: GroupTopic;
  readonly order: GroupOrder;
  readonly filter: string;
  readonly wants: ((record: RecordView) => boolean) | undefined;
  readonly connection: LeaseContext['connection'];
  readonly holding: LeaseContext['holding'];
  readonly copier: LeaseContext['copier'];
  private readonly context: LeaseContext;
  private readonly byName = new Map<string, LeaseQueue>();
  private queues: readonly LeaseQueue[] = [];
  private readonly waiting: Waiting[] = [];
  /** Acknowledged without anybody's ack, and not written down yet. */
  private readonly passing = new Map<GroupQueue, number[]>();
  /** Where the next receive begins to look. */
  private turn = 0;
  private isAwake = false;
  private calledAt: number;
  private rewakeAt = 0;
  private asked = false;

  /** Throws `illegal-filter`. */
  constructor(topic: GroupTopic, order: GroupOrder, filter: string, context: LeaseContext) {
    this.topic = topic;
    this.order = order;
    this.filter = filter;
    this.wants = context.filters(filter);
    this.context = context;
    this.connection = context.connection;
    this.holding = context.holding;
    this.copier = context.copier;
    this.calledAt = context.book.monotonic();
  }

  get name(): string {
    return this.topic.group.name;
  }

  get all(): readonly LeaseQueue[] {
    return this.queues;
  }

  /** True if nothing is read, leased or written down. */
  get isIdle(): boolean {
    if (this.isAwake || this.waiting.length + this.passing.size > 0) return false;
    return this.queues.every(({ window }) => window.leased === 0);
  }

  queue(topic: string, partition: number): LeaseQueue | undefined {
    return this.byName.get(queueKey(topic, partition));
  }

  /** Settles as soon as there is something, or when the request has waited long enough. */
  receive(request: Receive, seat: number): Promise<Leased> {
    const now = this.context.book.monotonic();
    this.calledAt = now;
    this.wake();
    return new Promise((resolve, reject) => {
      this.waiting.push({ request, seat, until: now + request.waitMs, resolve, reject });
      this.serve();
      if (request.waitMs === 0) this.giveUp(now);
    });
  }

  /** Queues came, went or were set to other places; members left. */
  refresh(): void {
    const { queues, membership, gone } = this.topic;
    for (const [name, own] of this.byName) {
      const present = queues.get(name);
      if (present === own.queue && present.version === own.version && !gone) continue;
      own.sleep();
      this.byName.delete(name);
    }
    for (const [name, queue] of queues) {
      if (gone || this.byName.has(name)) continue;
      const own = new LeaseQueue(queue, this);
      this.restore(own);
      this.byName.set(name, own);
      if (this.isAwake) own.wake();
    }
    this.queues = [...this.byName.values()];
    this.drop(({ request }) => {
      if (gone) return new RingmqError('unknown-topic', `topic ${request.topic} was deleted`);
      return membership.member(request.member) ? undefined : new RingmqError('closed', 'the consumer was closed');
    });
  }

  seatLeft(seat: number): void {
    this.drop((one) => (one.seat === seat ? new RingmqError('closed', 'its thread has ended') : undefined));
  }

  housekeep(): void {
    const { book } = this.context;
    const now = book.monotonic();
    this.flush();
    if (this.isAwake && this.waiting.length === 0 && now - this.calledAt >= IDLE_MS) this.sleep();
    if (this.isAwake && now >= this.rewakeAt) {
      this.rewakeAt = now + REWAKE_MS;
      for (const queue of this.queues) queue.wake();
    }
    for (const queue of this.queues) queue.regulate();
    this.serve();
    this.giveUp(now);
  }

  /** Everybody who waits is refused, and nothing is read any more. */
  close(error: RingmqError): void {
    this.drop(() => error);
    this.sleep();
    this.flush();
  }

  /** Answers those who wait, first come first served, as long as there is something. */
  serve(): void {
    while (this.waiting.length > 0) {
      const first = this.waiting[0];
      try {
        const leased = this.lease(first.request);
        if (leased === undefined) return;
        first.resolve(leased);
      } catch (error) {
        first.reject(error);
      }
      this.waiting.shift();
    }
  }

  passed(queue: GroupQueue, ranges: readonly number[]): void {
    let own = this.passing.get(queue);
    if (own === undefined) {
      own = [];
      this.passing.set(queue, own);
    }
    // One range as long as nothing else comes between: a full disk must not fill the memory as well.
    for (let i = 0; i < ranges.length; i += 2) {
      if (own.at(-1) === ranges[i]) own[own.length - 1] = ranges[i + 1];
      else own.push(ranges[i], ranges[i + 1]);
    }
    this.news();
  }

  takenBack({ queue }: LeaseQueue, offset: number): void {
    const { topicId, partition, route, progress } = queue;
    const epoch = route?.epoch ?? progress.epoch;
    const { book } = this.context;
    book.place(this.topic, [[isRetryTopic(queue.topic), partition, topicId, epoch, offset, [], []]]);
  }

  /** Several batches of one turn are served at once. */
  news(): void {
    if (this.asked) return;
    this.asked = true;
    queueMicrotask(() => {
      this.asked = false;
      this.flush();
      this.serve();
    });
  }

  warn(text: string): void {
    this.context.warn(text);
  }

  private wake(): void {
    if (this.isAwake) return;
    this.isAwake = true;
    for (const queue of this.queues) queue.wake();
  }

  private sleep(): void {
    this.isAwake = false;
    for (const queue of this.queues) queue.sleep();
  }

  private restore(own: LeaseQueue): void {
    const runs = this.context.takeRestored(own.queue);
    if (runs === undefined) return;
    const { route, progress } = own.queue;
    const restored = [];
    for (let i = 0; i < runs.length; i += RUN) {
      const [, , epoch, from, last, token, until, deliveries] = runs.slice(i, i + RUN);
      // What a crash took back was leased to nobody who could know.
      const good = epoch === progress.epoch ? last : (goodUntil(epoch, route?.epochs ?? []) ?? 0);
      const to = Math.min(last, good);
      if (from < to) restored.push({ from, to, token, until, deliveries });
    }
    own.restore(restored);
  }

  /** Journal first. What the journal does not take is tried again with the next housekeeping. */
  private flush(): void {
    if (this.passing.size === 0) return;
    try {
      this.context.book.add([...this.passing].map(([queue, acked]) => ({ queue, acked })));
      this.passing.clear();
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
    }
  }

  private lease(request: Receive): Leased | undefined {
    const { context, queues } = this;
    const count = queues.length;
    let first = 0;
    while (first < count && queues[(this.turn + first) % count].window.peek(false) < 0) first++;
    if (first === count) return undefined;
    const filling = new Filling(request, context);
    try {
      if (request.priority) filling.takeHighest(queues);
      else
        for (let i = first; i < count && !filling.full; i++) filling.takeFrom(queues[(this.turn + i) % count], false);
      this.turn = (this.turn + first + 1) % count;
      context.write(this.name, filling.runs);
    } catch (error) {
      filling.undo();
      throw error;
    }
    for (const { queue } of filling.named) queue.regulate();
    return filling.finish(this.topic);
  }

  /** Refuses those for whom there is a reason to. */
  private drop(why: (one: Waiting) => RingmqError | undefined): void {
    for (let i = this.waiting.length - 1; i >= 0; i--) {
      const error = why(this.waiting[i]);
      if (error) for (const one of this.waiting.splice(i, 1)) one.reject(error);
    }
  }

  /** Those who have waited long enough go away with nothing. */
  private giveUp(now: number): void {
    for (let i = 0; i < this.waiting.length; i++) {
      const one = this.waiting[i];
      if (now < one.until || (now < one.until + READ_MS && !this.hasReadAll())) continue;
      this.waiting.splice(i--, 1);
      const refusal = this.queues.map((queue) => queue.refusal).find((error) => error !== undefined);
      if (refusal) one.reject(refusal);
      else one.resolve(NOTHING);
    }
  }

  private hasReadAll(): boolean {
    const { book } = this.context;
    return this.queues.every(({ queue, window, reads }) => !reads || window.top >= book.places.nextOffset(queue));
  }
}

/** The answer to one receive, as it is filled. */
class Filling {
  readonly named: { readonly queue: LeaseQueue; readonly index: number }[] = [];
  readonly runs: number[] = [];
  private readonly messages: number[] = [];
  private readonly max: number;
  private readonly until: number;
  private readonly token: number;
  private readonly context: LeaseContext;

  constructor({ maxMessages, invisibleMs }: Receive, context: LeaseContext) {
    this.max = maxMessages * 4;
    this.until = context.clock() + invisibleMs;
    this.token = context.nextToken();
    this.context = context;
    context.reply.reset();
  }

  get full(): boolean {
    return this.messages.length >= this.max || this.context.reply.full;
  }

  /** HOT */
  takeFrom(queue: LeaseQueue, byPriority: boolean): void {
    const { window } = queue;
    while (!this.full) {
      const offset = window.peek(byPriority);
      if (offset < 0) return;
      this.take(queue, offset);
    }
  }

  /** The highest priority of all queues, again and again. */
  takeHighest(queues: readonly LeaseQueue[]): void {
    while (!this.full) {
      let best: LeaseQueue | undefined;
      let priority = -1;
      for (const queue of queues) {
        const offset = queue.window.peek(true);
        if (offset < 0 || queue.window.priorityOf(offset) <= priority) continue;
        best = queue;
        priority = queue.window.priorityOf(offset);
      }
      if (best === undefined) return;
      this.take(best, best.window.peek(true));
    }
  }

  undo(): void {
    const { messages, named } = this;
    for (let i = 0; i < messages.length; i += 4) named[messages[i]].queue.window.giveBack(messages[i + 1], false);
  }

  finish({ topic, queues }: GroupTopic): Leased {
    const table: (QueueRef & { readonly topicId: number })[] = this.named.map(({ queue }) => refOf(queue.queue));
    // Who receives a retried message shows it as what it was first.
    if (table.some((one) => isRetryTopic(one.topic))) {
      for (const queue of queues.values()) {
        if (queue.topic !== topic) continue;
        table.push(refOf(queue));
        break;
      }
    }
    return { result: { queues: table, messages: this.messages }, payload: this.context.reply.finish() };
  }

  /** HOT */
  private take(own: LeaseQueue, offset: number): void {
    const { window, chunks, queue } = own;
    const { token, until } = this;
    const deliveries = window.lease(offset, token, until);
    this.context.reply.add(chunks.of(window.chunkOf(offset)), window.atOf(offset), offset);
    this.messages.push(this.indexOf(own), offset, token, deliveries);
    addRun(this.runs, queue, offset, token, until, deliveries);
  }

  private indexOf(queue: LeaseQueue): number {
    const { named } = this;
    for (let i = named.length - 1; i >= 0; i--) if (named[i].queue === queue) return i;
    named.push({ queue, index: named.length });
    return named.length - 1;
  }
}

function refOf({ topic, partition, topicId }: QueueRef & { readonly topicId: number }) {
  return { topic, partition, topicId };
}
