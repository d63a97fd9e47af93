// Ends transactions. A commit is decided when its move's intent is on the disk, and answered then; the move itself
// follows at once. A rollback is decided, and answered, when its record is written. (Producers beside the broker decide
// their commits by themselves: commit-ops.ts.)
//
// E1 A commit that was answered comes, exactly once, unless its topic is deleted first: whatever may be refused is
//    refused before it is decided (and see M5 of the mover).
// E2 One resolution of a transaction after the other: the first one decides.
import { RingmqError } from '../base/codes.ts';
import { asRefusal } from '../client/sent.ts';
import { parseTransaction } from '../transaction/half-message.ts';
import type { HalfTable, Outcome } from '../transaction/half-table.ts';
import type { Answered, ParamsOf } from '../wire/services.ts';
import { CommitGroup, CommitGroups } from './commit-groups.ts';
import { CommitOps, type OpsHost } from './commit-ops.ts';
import type { HalfTopic } from './half-topic.ts';
import type { Mover } from './mover.ts';
import { joined } from './retry-payloads.ts';
import { answerOf, type Ended, OK, refused } from './transaction-answers.ts';
import { type HalfSource, ROLLED_BACK, type TransactionRecord } from './transaction-records.ts';

export interface EndsHost extends Pick<OpsHost, 'giveUp'> {
  readonly mover: Pick<Mover, 'move' | 'hasRoomIn' | 'roomIn' | 'isDecided'>;
  readonly halves: Pick<HalfTopic, 'payloads' | 'reached' | 'caughtUp'>;
  /** A broker that keeps nothing answers commits when they are published: its rings may forget what was decided. */
  readonly durable: boolean;
  /** Of the topic of half messages that there is now. */
  table(): HalfTable;
  topicId(): number;
  write(record: TransactionRecord): void;
  ended(offset: number, outcome: Outcome): void;
}

export class TransactionEnds {
  private readonly host: EndsHost;
  private readonly groups = new CommitGroups((group) => this.publish(group));
  readonly ops: CommitOps;
  /** What is about to be decided. */
  private readonly deciding = new Set<Promise<unknown>>();
  /** Who waits until a transaction has ended. */
  private readonly enders = new Map<number, () => void>();
  private stopping = false;

  constructor(host: EndsHost) {
    this.host = host;
    this.ops = new CommitOps({
      halves: host.halves,
      publish: (group) => this.publish(group),
      table: () => host.table(),
      giveUp: (half, outcome, reason) => host.giveUp(half, outcome, reason),
    });
  }

  /** What is about to be decided is; moves are the mover's to wait for. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.ops.stop();
    await Promise.all(this.deciding);
  }

  async end(params: ParamsOf<'transaction-end'>): Promise<Answered<'transaction-end'>> {
    const { commits, rollbacks, receipts, own } = params;
    if (!own) await this.ops.settled([...commits, ...rollbacks].map((name) => this.placeOf(name)));
    const waits = receipts || !this.host.durable;
    const [rolledBack, committed] = await Promise.all([this.rollBackAll(rollbacks), this.commitAll(commits, waits)]);
    const codes = { commits: committed.map(({ code }) => code), rollbacks: rolledBack.map(({ code }) => code) };
    if (!receipts) return { result: codes };
    return { result: { ...codes, places: committed.flatMap(({ partition, offset }) => [partition, offset]) } };
  }

  /** Nobody else resolves the half message before `moving` has settled. Resolves with why it could not be. */
  resolve(offset: number, moving: Promise<unknown>): Promise<RingmqError | undefined> {
    const half = this.host.table().pendingAt(offset);
    const over = (refusal: RingmqError | undefined): RingmqError | undefined => {
      if (half) half.resolving = undefined;
      // It was written down and failed later: the table knows.
      return this.isOpen(offset) ? refusal : undefined;
    };
    const resolving = moving.then(
      () => over(undefined),
      (error: unknown) => over(asRefusal(error)),
    );
    if (half) half.resolving = resolving;
    this.follow(resolving);
    return resolving;
  }

  /** A transaction has ended. */
  ended(offset: number): void {
    if (this.enders.size === 0) return;
    this.enders.get(offset)?.();
    this.enders.delete(offset);
  }

  /** All that are open in one record. */
  private async rollBackAll(names: readonly string[]): Promise<readonly Ended[]> {
    if (names.length === 0) return [];
    const table = this.host.table();
    const offsets = names.map((name) => this.placeOf(name));
    this.rollBack(offsets.filter((offset) => table.pendingAt(offset)?.resolving === undefined && this.isOpen(offset)));
    return Promise.all(
      offsets.map((offset) => {
        const state = table.state(offset);
        return state.is === 'ended' ? answerOf(state.outcome, false) : this.endOne(offset, false, false);
      }),
    );
  }

  private rollBack(offsets: readonly number[]): void {
    const rollbacks = [...new Set(offsets)];
    if (rollbacks.length === 0) return;
    this.host.write({ topicId: this.host.topicId(), rollbacks });
    for (const offset of rollbacks) this.host.ended(offset, ROLLED_BACK);
  }

  /** `waits`: until they are published. */
  private async commitAll(names: readonly string[], waits: boolean): Promise<readonly Ended[]> {
    if (names.length === 0) return [];
    const table = this.host.table();
    const groups = new Set<CommitGroup>();
    const joinedBy: (CommitGroup | undefined)[] = [];
    const alone: Promise<Ended>[] = [];
    for (let i = 0; i < names.length; i++) {
      const offset = this.placeOf(names[i]);
      const half = table.pendingAt(offset);
      if (half === undefined || half.resolving) {
        alone[i] = this.endOne(offset, true, waits);
        continue;
      }
      const group = this.groups.of(half.topic);
      group.offsets.push(offset);
      group.isAwaited ||= waits;
      half.resolving = group.decided;
      groups.add(group);
      joinedBy[i] = group;
    }
    const refusals = new Map<CommitGroup, RingmqError>();
    for (const group of groups) {
      const refusal = await (waits ? group.stored : group.decided);
      if (refusal) refusals.set(group, refusal);
    }
    const isPlain = !waits && refusals.size === 0;
    return Promise.all(
      names.map((name, i) => {
        const group = joinedBy[i];
        if (group === undefined) return alone[i];
        return isPlain ? OK : this.afterGroup(this.placeOf(name), group, refusals.get(group), waits);
      }),
    );
  }

  /** What one hears of a group that has come to an end. */
  private async afterGroup(
    offset: number,
    { offsets }: CommitGroup,
    refusal: RingmqError | undefined,
    waits: boolean,
  ): Promise<Ended> {
    const isRefused = refusal !== undefined && this.isOpen(offset) && (offsets.length === 1 || refusal.retryable);
    if (isRefused) return refused(refusal.code);
    // One that cannot be committed holds up no other: each tries alone.
    return refusal === undefined && !waits ? OK : this.endOne(offset, true, waits);
  }

  private async endOne(offset: number, commit: boolean, waits: boolean): Promise<Ended> {
    const { halves, mover } = this.host;
    const table = this.host.table();
    for (;;) {
      // Its topic is another one: others have its places.
      if (table !== this.host.table()) return refused('unknown-transaction');
      const state = table.state(offset);
      if (state.is === 'ended') return answerOf(state.outcome, commit);
      if (state.is === 'unknown') {
        if (!(await halves.reached(offset))) return refused('unknown-transaction');
      } else if (state.is === 'ending') {
        const { fate } = state;
        if (!waits && fate === 'commit' && mover.isDecided) return commit ? OK : refused('transaction-ended');
        await this.whenEnded(offset);
      } else if (state.half.resolving) await state.half.resolving;
      else if (!commit) this.rollBack([offset]);
      else {
        const refusal = await this.commitAlone(state.half.topic, offset, waits);
        if (refusal && this.isOpen(offset)) return refused(refusal.code);
      }
    }
  }

  private commitAlone(topic: string, offset: number, waits: boolean): Promise<RingmqError | undefined> {
    const group = new CommitGroup(topic);
    group.offsets.push(offset);
    group.isAwaited = waits;
    const half = this.host.table().pendingAt(offset);
    if (half) half.resolving = group.decided;
    group.begin((one) => this.publish(one));
    return waits ? group.stored : group.decided;
  }

  /** E1 */
  private async publish(group: CommitGroup): Promise<unknown> {
    const { mover, halves } = this.host;
    const { topic, offsets, decide } = group;
    const [table, topicId] = [this.host.table(), this.host.topicId()];
    try {
      if (!mover.hasRoomIn(topic)) await mover.roomIn(topic);
      if (this.stopping) throw new RingmqError('shutting-down');
      this.follow(group.decided);
      const payload = joined(await halves.payloads(offsets));
      if (table !== this.host.table()) throw new RingmqError('unknown-transaction');
      // An intent that failed has ended them.
      if (offsets.some((offset) => !this.isOpen(offset))) throw new RingmqError('transaction-ended');
      const source: HalfSource = { kind: 'commit', topicId, offsets };
      return await mover.move({ topic, source, payload, decided: decide, lazy: !group.isAwaited });
    } catch (error) {
      for (const offset of offsets) {
        const half = table.pendingAt(offset);
        // Those that an op message has decided are somebody else's.
        if (half?.resolving === group.decided) half.resolving = undefined;
      }
      throw error;
    }
  }

  private follow(deciding: Promise<unknown>): void {
    this.deciding.add(deciding);
    void deciding.finally(() => this.deciding.delete(deciding));
  }

  /** Offset of the half message; -1 for a name that means nothing here. */
  private placeOf(name: string): number {
    const place = parseTransaction(name);
    return place?.topicId === this.host.topicId() ? place.offset : -1;
  }

  private isOpen(offset: number): boolean {
    return this.host.table().pendingAt(offset) !== undefined;
  }

  /** A predecessor has decided it, or it is about to be given up: it ends soon. */
  private whenEnded(offset: number): Promise<void> {
    if (this.stopping) throw new RingmqError('shutting-down');
    return new Promise((resolve) => {
      const before = this.enders.get(offset);
      this.enders.set(offset, () => {
        before?.();
        resolve();
      });
    });
  }
}
