// Transactions: half messages are stored where nobody reads them; a commit moves them to their topic, a rollback leaves
// them where they are. Producers of a group are asked about those that nobody resolved.
//
// How they end: transaction-ends.ts. The same resolution again gets the same answer, also after a restart, as long as
// it is among the last hundred thousand.
import { RingmqError } from '../base/codes.ts';
import { asRefusal } from '../client/sent.ts';
import { crashPoint } from '../log/crash-point.ts';
import { halvesOf, transactionName } from '../transaction/half-message.ts';
import { CHECK_RULES, type CheckRules, HalfTable, type Outcome, type PendingHalf } from '../transaction/half-table.ts';
import { OP_MS, opsOf } from '../transaction/op-message.ts';
import {
  type Answered,
  HALF_DROPPED_TOPIC,
  isReservedTopic,
  type ParamsOf,
  type TransactionCheck,
} from '../wire/services.ts';
import { HALF_RING_BYTES, type HalfListener, HalfTopic } from './half-topic.ts';
import type { JournalPart } from './journal.ts';
import { MessageReader } from './message-reader.ts';
import type { Mover } from './mover.ts';
import { givenUpPayload, joined } from './retry-payloads.ts';
import type { Caller, CoordinatorContext, Handlers, Service } from './service.ts';
import { TargetTopics } from './timer-targets.ts';
import { HALF_GONE, NEVER_KEPT, TOPIC_GONE, tooMany } from './transaction-answers.ts';
import { TransactionChecks } from './transaction-checks.ts';
import { TransactionEnds } from './transaction-ends.ts';
import {
  applyRecord,
  COMMITTED,
  DROPPED,
  type HalfSource,
  outcomeRecord,
  TRANSACTIONS_PART,
  type TransactionRecord,
  tableRecords,
} from './transaction-records.ts';

/** Of one answer: it must fit a frame. */
const CHECKS_MAX = 32;
const CHECKS_BYTES = 192 * 1024;
const SWEEP_MS = 200;
/** What could not be read or moved is tried again. */
const AGAIN_MS = 1_000;

type DeskMover = Pick<Mover, 'own' | 'move' | 'hasRoomIn' | 'roomIn' | 'isDecided'>;

export class TransactionDesk implements Service {
  readonly handlers: Handlers = {
    'transaction-prepare': (params, payload) => this.prepare(params, payload),
    'transaction-end': (params) => this.end(params),
    'transaction-checks': (params, _payload, caller) => this.checks(params, caller),
  };
  readonly part: JournalPart;
  private readonly context: CoordinatorContext;
  private readonly targets: TargetTopics;
  private readonly mover: DeskMover;
  private readonly rules: CheckRules;
  private readonly halves: HalfTopic;
  private readonly waiting = new TransactionChecks();
  private table: HalfTable;
  /** Of the topic of half messages; 0: there is none yet. */
  private topicId = 0;
  /** Half messages of predecessors are known. */
  private loaded: Promise<void> | undefined;
  private readonly ends: TransactionEnds;
  private readonly listener: HalfListener = {
    half: (offset, { topic, group, ops }, storedAt) =>
      this.table.prepared(offset, topic, group, storedAt, ops ? performance.now() + OP_MS : 0),
    other: (body) => this.ends.ops.take(opsOf(body, this.topicId) ?? []),
    none: (from, to) => this.table.skipped(from, to),
  };
  private sweptAt = 0;
  private stopping = false;

  constructor(context: CoordinatorContext, mover: DeskMover, rules: CheckRules = CHECK_RULES) {
    this.context = context;
    this.mover = mover;
    this.targets = new TargetTopics(context.connection);
    this.rules = rules;
    this.table = new HalfTable(rules);
    this.halves = new HalfTopic(context, new MessageReader(context.connection));
    this.ends = new TransactionEnds({
      mover,
      halves: this.halves,
      durable: context.durable,
      table: () => this.table,
      topicId: () => this.topicId,
      write: (record) => this.write(record),
      ended: (offset, outcome) => this.ended({ topicId: this.topicId, offset }, outcome),
      giveUp: (half, outcome, reason) => this.keptNowhere(half, outcome, reason.message),
    });
    this.part = {
      name: TRANSACTIONS_PART,
      replay: (record) => this.replay(record as TransactionRecord),
      snapshot: () => (this.topicId === 0 ? [] : tableRecords(this.table, this.topicId)),
    };
    for (const kind of ['commit', 'give-up'] as const) this.own(kind);
  }

  private own(kind: HalfSource['kind']): void {
    this.mover.own<HalfSource>(kind, {
      resolve: async ({ offsets }) => {
        const halves = await Promise.all(offsets.map((offset) => this.halves.get(offset)));
        return joined(halves.map((half) => (kind === 'commit' ? half.payload : givenUpPayload(half))));
      },
      intended: (source) => {
        const table = this.known(source);
        for (const offset of source.offsets) table?.decided(offset, kind === 'commit' ? 'commit' : 'dropped');
      },
      done: ({ topicId, offsets }, batches) => {
        for (const { partition, offset, ordinals } of batches) {
          ordinals.forEach((ordinal, i) => {
            const outcome: Outcome = { fate: 'commit', partition, offset: offset < 0 ? -1 : offset + i };
            this.ended({ topicId, offset: offsets[ordinal] }, kind === 'commit' ? outcome : DROPPED);
          });
        }
      },
      failed: ({ topicId, offsets }, code, replaying) => {
        const isCommitted = kind === 'commit' && TOPIC_GONE.has(code);
        for (const offset of offsets) this.ended({ topicId, offset }, isCommitted ? COMMITTED : DROPPED);
        if (replaying) return;
        const names = offsets.map((offset) => transactionName(topicId, offset)).join(', ');
        this.context.warn(`${kind} of these transactions failed (${code}), their messages are given up: ${names}`);
      },
    });
  }

  start(): void {
    this.loaded = this.load();
  }

  housekeep(nowMs: number): void {
    this.waiting.expire(nowMs);
    if (Math.abs(nowMs - this.sweptAt) < Math.min(SWEEP_MS, this.rules.intervalMs) || this.stopping) return;
    this.sweptAt = nowMs;
    this.halves.housekeep();
    const { due, hopeless } = this.table.sweep(this.waiting.groups, nowMs, CHECKS_MAX);
    for (const [group, halves] of due) void this.askAbout(group, halves, nowMs);
    for (const half of hopeless) void this.giveUp(half, nowMs);
  }

  seatLeft(seat: number): void {
    this.waiting.seatLeft(seat);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.waiting.refuseAll(new RingmqError('shutting-down'));
    await this.ends.stop();
    await this.halves.close();
  }

  /** Half messages that nobody has resolved. */
  get pending(): number {
    return this.table.pendingCount;
  }

  private async prepare(
    { topic, producerGroup }: ParamsOf<'transaction-prepare'>,
    payload: Uint8Array,
  ): Promise<Answered<'transaction-prepare'>> {
    if (this.stopping) throw new RingmqError('shutting-down');
    if (isReservedTopic(topic)) {
      throw new RingmqError('no-write-permission', `${topic} is the broker's own: only it publishes there`);
    }
    const halves = halvesOf(topic, producerGroup, payload, await this.targets.recordMax(topic));
    const topicId = await this.halves.open();
    await this.loaded;
    this.begin(topicId);
    this.halves.follow(this.listener);
    if (this.table.isFull) throw new RingmqError('buffer-full', tooMany(this.table.pendingCount));
    const offsets = await this.halves.store(halves);
    crashPoint('transaction.prepared');
    const now = this.context.clock();
    for (const offset of offsets) this.table.prepared(offset, topic, producerGroup, now);
    return { result: { transactions: offsets.map((offset) => transactionName(topicId, offset)) } };
  }

  private async end(params: ParamsOf<'transaction-end'>): Promise<Answered<'transaction-end'>> {
    await this.loaded;
    return this.ends.end(params);
  }

  private ended(source: { readonly topicId: number; readonly offset: number }, outcome: Outcome): void {
    const { offset } = source;
    const table = this.known(source);
    if (table === undefined) return;
    table.ended(offset, outcome);
    this.halves.forget(offset);
    this.ends.ended(offset);
  }

  private async checks(
    { producerGroup, waitMs }: ParamsOf<'transaction-checks'>,
    { seat }: Caller,
  ): Promise<Answered<'transaction-checks'>> {
    if (this.stopping) throw new RingmqError('shutting-down');
    return this.waiting.wait(producerGroup, seat, this.context.clock() + waitMs);
  }

  /** Hands half messages to one producer of their group. That counts as a check, whatever becomes of it. */
  private async askAbout(group: string, halves: readonly PendingHalf[], nowMs: number): Promise<void> {
    const asked: { readonly half: PendingHalf; readonly payload: Uint8Array }[] = [];
    let bytes = 0;
    for (const half of halves) half.checkAt = this.table.nextCheck(nowMs);
    for (const half of halves) {
      const payload = await this.payloadOf(half);
      if (payload === undefined || this.table.state(half.offset).is !== 'pending') continue;
      if (asked.length > 0 && bytes + payload.length > CHECKS_BYTES) {
        half.checkAt = nowMs;
        continue;
      }
      bytes += payload.length;
      asked.push({ half, payload });
    }
    const answer = asked.length > 0 ? this.waiting.take(group) : undefined;
    if (answer === undefined) {
      for (const { half } of asked) half.checkAt = nowMs;
      return;
    }
    const checks: TransactionCheck[] = [];
    const written: number[] = [];
    for (const { half } of asked) {
      const { offset, topic, checkAt } = half;
      written.push(offset, half.checks + 1, checkAt);
      checks.push({ transaction: transactionName(this.topicId, offset), topic, checks: half.checks + 1 });
    }
    this.tryToWrite({ topicId: this.topicId, checks: written });
    crashPoint('transaction.checked');
    for (let i = 0; i < written.length; i += 3) this.table.wasChecked(written[i], written[i + 1], written[i + 2]);
    answer({ result: { checks }, payload: joined(asked.map(({ payload }) => payload)) });
  }

  private async payloadOf(half: PendingHalf): Promise<Uint8Array | undefined> {
    try {
      await this.halves.whenDurable(half.offset);
      return (await this.halves.get(half.offset)).payload;
    } catch (error) {
      const { code, message } = asRefusal(error);
      if (!HALF_GONE.has(code)) return undefined;
      const name = transactionName(this.topicId, half.offset);
      this.context.warn(`transaction ${name} to ${half.topic} is given up, its message cannot be read: ${message}`);
      this.ended({ topicId: this.topicId, offset: half.offset }, DROPPED);
      return undefined;
    }
  }

  /** Asked often enough: to where people can look at it. */
  private async giveUp(half: PendingHalf, nowMs: number): Promise<void> {
    const { offset, topic, group, checks } = half;
    half.checkAt = nowMs + AGAIN_MS;
    try {
      await this.ends.ops.settled([offset]);
    } catch {
      return;
    }
    if (half.resolving || this.table.pendingAt(offset) !== half) return;
    const { connection, durable, warn } = this.context;
    const ringBytes = HALF_RING_BYTES;
    const source: HalfSource = { kind: 'give-up', topicId: this.topicId, offsets: [offset] };
    const moving = (async () => {
      const payload = givenUpPayload(await this.halves.get(offset));
      await connection.createTopic(HALF_DROPPED_TOPIC, { partitions: 1, durable, ringBytes, ifNotExists: true });
      await this.mover.move({ topic: HALF_DROPPED_TOPIC, partition: 0, source, payload });
    })();
    const refusal = await this.ends.resolve(offset, moving);
    const name = transactionName(this.topicId, offset);
    if (refusal) return this.notGivenUp(half, refusal);
    warn(`transaction ${name} to ${topic}: ${group} did not resolve it in ${checks} checks: see ${HALF_DROPPED_TOPIC}`);
  }

  /** What can never be kept for people must not be tried for ever. */
  private async notGivenUp(half: PendingHalf, { code, message }: RingmqError): Promise<void> {
    if ((await this.payloadOf(half)) !== undefined && NEVER_KEPT.has(code)) this.keptNowhere(half, DROPPED, message);
  }

  private keptNowhere({ offset, topic }: PendingHalf, outcome: Outcome, reason: string): boolean {
    const { topicId } = this;
    if (!this.tryToWrite(outcomeRecord(topicId, offset, outcome))) return false;
    this.ended({ topicId, offset }, outcome);
    const name = transactionName(topicId, offset);
    this.context.warn(`transaction ${name} to ${topic} is given up, and its message not kept: ${reason}`);
    return true;
  }

  private replay(record: TransactionRecord): void {
    this.begin(record.topicId);
    applyRecord(this.table, record);
  }

  /** The topic of half messages is this one. Of another one before nothing is left. */
  private begin(topicId: number): void {
    if (topicId === this.topicId) return;
    if (this.topicId !== 0) this.halves.forgetAll();
    this.topicId = topicId;
    this.table = new HalfTable(this.rules);
  }

  /** The table that a source belongs to. Parts of a snapshot come in any order. */
  private known({ topicId }: { readonly topicId: number }): HalfTable | undefined {
    if (this.topicId === 0) this.begin(topicId);
    return topicId === this.topicId ? this.table : undefined;
  }

  /** Reads what predecessors have stored, until that was possible. */
  private async load(): Promise<void> {
    while (!this.stopping) {
      try {
        await this.loadNow();
        return;
      } catch (error) {
        if (this.stopping) return;
        this.context.warn(`half messages cannot be read yet: ${asRefusal(error).message}`);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  private async loadNow(): Promise<void> {
    const found = await this.halves.find();
    if (found === undefined) return;
    const { topicId, end } = found;
    this.begin(topicId);
    this.table.clip(end);
    await this.halves.read(this.table.floor, end, this.listener);
    this.halves.follow(this.listener);
  }

  private write(record: TransactionRecord): void {
    this.context.journal.append(TRANSACTIONS_PART, record);
  }

  /** What may get lost without harm. False if it was not written. */
  private tryToWrite(record: TransactionRecord): boolean {
    try {
      this.write(record);
      return true;
    } catch (error) {
      this.context.warn(`checks of transactions were not written down: ${asRefusal(error).message}`);
      return false;
    }
  }
}
