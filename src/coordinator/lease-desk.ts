// Simple consumers as a service: `receive` leases messages, `settle` says what became of them. Leases stand in the
// journal: a successor delivers nothing that is leased, and takes acks with the tokens that were given before.
//
// L1 A lease is written before the message is handed out; an ack is written before it is answered.
// L2 A message that is acknowledged is not leased again (group/lease-window.ts).
// L3 A token names one answer to one receive. Each start begins at random: what a loss of power takes back makes no
//    old token good again.
import { RingmqError } from '../base/codes.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { Answered, Receive, Settle } from '../wire/services.ts';
import { BatchCopier } from './batch-copier.ts';
import type { GroupBook } from './group-book.ts';
import { type GroupQueue, type GroupTopic, queueKey } from './group-state.ts';
import type { JournalPart } from './journal.ts';
import type { Holding } from './lease-chunks.ts';
import { type FilterCompiler, type LeaseContext, type RetryPort, RUN } from './lease-context.ts';
import { LeaseEnds } from './lease-ends.ts';
import { LeaseGroup } from './lease-group.ts';
import { LeaseReply } from './lease-reply.ts';
import { RestoredQueue } from './restored-leases.ts';
import type { Caller, CoordinatorContext, Handlers, Service } from './service.ts';

const PART = 'leases';
const TOKEN_MAX = 0x7fff_ffff;
const STOP_MS = 1_000;
const POLL_MS = 5;

/** Of one call: the group, and runs of leases (see lease-context.ts). */
type LeaseRecord = readonly [group: string, runs: readonly number[]];

export class LeaseDesk implements Service {
  readonly handlers: Handlers = {
    receive: (params, _payload, caller) => this.receive(params, caller),
    settle: (params) => this.settle(params),
  };
  readonly part: JournalPart;
  private readonly book: GroupBook;
  private readonly context: LeaseContext;
  private readonly ends: LeaseEnds;
  private readonly holding: Holding = { bytes: 0 };
  private readonly groups = new Map<GroupTopic, LeaseGroup>();
  /** Leases of a life before, by group, then by id of the topic and partition. */
  private readonly restored = new Map<string, Map<string, RestoredQueue>>();
  private token: number;
  private stopping = false;

  constructor(
    { connection, journal, clock, warn }: Pick<CoordinatorContext, 'connection' | 'journal' | 'clock' | 'warn'>,
    book: GroupBook,
    retries: RetryPort,
    filters: FilterCompiler,
  ) {
    this.book = book;
    this.token = crypto.getRandomValues(new Uint32Array(1))[0] & TOKEN_MAX;
    this.context = {
      connection,
      book,
      retries,
      filters,
      holding: this.holding,
      copier: new BatchCopier(),
      reply: new LeaseReply(),
      clock,
      warn,
      nextToken: () => {
        this.token = (this.token % TOKEN_MAX) + 1;
        return this.token;
      },
      write: (group, runs) => {
        journal.append(PART, [group, runs] satisfies LeaseRecord);
        crashPoint('lease.written');
      },
      takeRestored: (queue) => this.takeRestored(queue),
    };
    this.ends = new LeaseEnds(this.context);
    this.part = {
      name: PART,
      replay: (record) => this.replay(record as LeaseRecord),
      snapshot: () => this.snapshot(),
    };
    book.onChange((topic) => this.groups.get(topic)?.refresh());
    book.onForget((queues) => this.forget(queues));
  }

  /** Messages of a queue that are leased at present. */
  leasedOf(queue: GroupQueue): number {
    const group = this.groups.get(queue.subscription);
    return group?.queue(queue.topic, queue.partition)?.window.leased ?? 0;
  }

  /** Bytes of messages that are held for groups. */
  get heldBytes(): number {
    return this.holding.bytes;
  }

  start(): void {
    for (const [name, queues] of this.restored) {
      const known = new Set<string>();
      for (const { queues } of this.book.group(name)?.topics.values() ?? []) {
        for (const { topicId, partition } of queues.values()) known.add(restoredKey(topicId, partition));
      }
      for (const key of queues.keys()) if (!known.has(key)) queues.delete(key);
      if (queues.size === 0) this.restored.delete(name);
    }
  }

  housekeep(nowMs: number): void {
    for (const [topic, group] of this.groups) {
      this.ends.expire(group, nowMs);
      group.housekeep();
      if (!topic.gone && !group.isIdle) continue;
      if (!topic.gone) this.keep(group);
      this.groups.delete(topic);
    }
  }

  seatLeft(seat: number): void {
    for (const group of this.groups.values()) group.seatLeft(seat);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    for (const group of this.groups.values()) group.close(new RingmqError('shutting-down'));
    const deadline = performance.now() + STOP_MS;
    while (this.ends.underWay > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  private async receive(params: Receive, { seat }: Caller): Promise<Answered<'receive'>> {
    const { group, topic, member: id, from, order, filter } = params;
    this.assertOpen();
    const known = this.book.topic(group, topic);
    // Before the group learns of it.
    if (known === undefined || this.groups.get(known)?.filter !== filter) this.context.filters(filter);
    const subscription = await this.book.open(group, topic, from);
    this.assertOpen();
    if (subscription.gone) throw new RingmqError('unknown-topic', `topic ${topic} was deleted, or group ${group} was`);
    const member = this.book.attend(subscription, { member: id, client: '', seat }, { kind: 'simple', order, filter });
    member.held++;
    try {
      return await this.leaseGroup(subscription, params).receive(params, seat);
    } finally {
      member.held--;
      member.seenMs = this.book.monotonic();
    }
  }

  private async settle(params: Settle): Promise<Answered<'settle'>> {
    this.assertOpen();
    const { group, topic } = params;
    let subscription = this.book.topic(group, topic);
    // Leases of a life before, and nobody has received since.
    if (subscription && !subscription.isOpen) {
      await this.book.reopen(group, topic);
      subscription = this.book.topic(group, topic);
    }
    let own = subscription && this.groups.get(subscription);
    if (subscription && own === undefined && this.restored.has(group)) {
      own = this.leaseGroup(subscription, { order: 'key', filter: '' });
    }
    return { result: await this.ends.settle(own, params) };
  }

  private leaseGroup(topic: GroupTopic, { order, filter }: Pick<Receive, 'order' | 'filter'>): LeaseGroup {
    const present = this.groups.get(topic);
    if (present && present.order === order && present.filter === filter) return present;
    const next = new LeaseGroup(topic, order, filter, this.context);
    if (present) {
      present.close(new RingmqError('group-mismatch'));
      this.keep(present);
    }
    this.groups.set(topic, next);
    next.refresh();
    return next;
  }

  /** The group goes to sleep, or its members read it in another way: what is known of its leases stays known. */
  private keep(group: LeaseGroup): void {
    for (const { queue, window } of group.all) {
      for (const run of window.runs()) {
        this.restoredQueue(group.name, queue.topicId, queue.partition).add(queue.progress.epoch, run);
      }
    }
  }

  /** Leases of these are none any more. A run of no messages says so in the journal. */
  private forget(queues: readonly GroupQueue[]): void {
    if (queues.length === 0) return;
    const runs = queues.flatMap(({ topicId, partition, progress }) => {
      return [topicId, partition, progress.epoch, 0, 0, 0, 0, 0];
    });
    this.context.write(queues[0].subscription.group.name, runs);
    for (const queue of queues) this.takeRestored(queue);
  }

  private replay([group, runs]: LeaseRecord): void {
    for (let i = 0; i < runs.length; i += RUN) {
      const [topicId, partition, epoch, from, to, token, until, deliveries] = runs.slice(i, i + RUN);
      if (to === 0) this.restored.get(group)?.delete(restoredKey(topicId, partition));
      else this.restoredQueue(group, topicId, partition).add(epoch, { from, to, token, until, deliveries });
    }
  }

  private *snapshot(): Generator<LeaseRecord> {
    for (const group of this.groups.values()) {
      const runs: number[] = [];
      for (const { queue, window } of group.all) {
        for (const { from, to, token, until, deliveries } of window.runs()) {
          runs.push(queue.topicId, queue.partition, queue.progress.epoch, from, to, token, until, deliveries);
        }
      }
      if (runs.length > 0) yield [group.name, runs];
    }
    for (const [name, queues] of this.restored) {
      for (const [key, restored] of queues) {
        const [topicId, partition] = key.split('/').map(Number);
        yield [name, restored.runs(topicId, partition)];
      }
    }
  }

  private restoredQueue(group: string, topicId: number, partition: number): RestoredQueue {
    let queues = this.restored.get(group);
    if (queues === undefined) {
      queues = new Map();
      this.restored.set(group, queues);
    }
    const key = restoredKey(topicId, partition);
    let restored = queues.get(key);
    if (restored === undefined) {
      restored = new RestoredQueue();
      queues.set(key, restored);
    }
    return restored;
  }

  private takeRestored({ subscription, topicId, partition }: GroupQueue): readonly number[] | undefined {
    const { name } = subscription.group;
    const queues = this.restored.get(name);
    const key = restoredKey(topicId, partition);
    const found = queues?.get(key);
    queues?.delete(key);
    if (queues?.size === 0) this.restored.delete(name);
    return found?.runs(topicId, partition);
  }

  private assertOpen(): void {
    if (this.stopping) throw new RingmqError('shutting-down');
  }
}

function restoredKey(topicId: number, partition: number): string {
  return queueKey(String(topicId), partition);
}
