// What the log reader does beside reading: removes what is too old, keeps a spare segment ready, says how the log is
// doing.
//
// Who writes: this thread alone the second line of the store header and the oldest offsets in the partition table.
// I1  A queue is taken for deleted only if its partition was seen alive by this thread and is gone now: a topic that
//     could not be brought back keeps its messages for as long as any other.
import { CONTROL_STATES } from '../../native-layout/control.ts';
import { STORE_BYTES_LOW, STORE_DAMAGED, STORE_OLDEST_LOW } from '../../native-layout/store.ts';
import type { LogIndex } from '../log/log-index.ts';
import type { QueueLimits, Retention, RetentionOutcome } from '../log/retention.ts';
import { queueKey } from '../log/run.ts';
import type { SpareSegments } from '../log/spare-segments.ts';
import { epochOf, oldestOffset, readIdentity, retentionOf, setOldestOffset } from '../memory/partition-entry.ts';
import type { Regions, StoreRegion } from '../memory/regions.ts';
import { brokerState, partitionsUsed } from '../memory/seats.ts';
import { addStoreCount, setStoreFull, setStoreNumber } from '../memory/store-state.ts';
import { isDiskError } from './disk-error.ts';

/** What people should hear of. */
export type LogReaderEvent =
  | { readonly type: 'removed'; readonly segments: readonly number[]; readonly reason: string }
  | { readonly type: 'watermark'; readonly full: boolean }
  | { readonly type: 'damaged'; readonly position: number; readonly text: string }
  /** The disk refused something that can wait: an index file, a removal, a spare segment. */
  | { readonly type: 'upkeep-failed'; readonly error: Error };

export interface LogKeeperContext {
  readonly regions: Regions & { readonly store: StoreRegion };
  readonly index: LogIndex;
  readonly retention: Retention;
  readonly spares: SpareSegments;
  readonly report: (event: LogReaderEvent) => void;
}

const FIGURES_MS = 250;
/** Between two looks at what is too old, and at the disk; while appends are refused. */
const PASS_MS = 5_000;
const PASS_FULL_MS = 1_000;
/** Between two steps of making a spare segment: the disk is the store's first. */
const SPARE_STEP_MS = 4;
/** After the disk refused something. */
const PATIENCE_MS = 10_000;

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;
const AS_THE_BROKER: QueueLimits = { retentionMs: 0, retentionBytes: 0, deleted: false };
const DELETED: QueueLimits = { retentionMs: 0, retentionBytes: 0, deleted: true };

export class LogKeeper {
  private readonly context: LogKeeperContext;
  private readonly seen = new Set<number>();
  private figuresAt = 0;
  private passAt = 0;
  private segmentCount = 0;
  private sparesAt = 0;
  private sparesAllowed = true;
  private full = false;
  private latestMs = 0;

  constructor(context: LogKeeperContext) {
    this.context = context;
    setStoreFull(context.regions.store, false);
    this.showFigures();
  }

  housekeep(nowMs: number): void {
    // Somebody set the clock back: what was due then is due now.
    if (nowMs < this.latestMs) this.figuresAt = this.passAt = this.sparesAt = 0;
    this.latestMs = nowMs;
    if (nowMs >= this.figuresAt) {
      this.figuresAt = nowMs + FIGURES_MS;
      this.context.index.tryWrite();
      this.showFigures();
    }
    const isSealed = this.context.index.segments.length > this.segmentCount;
    // Before the broker runs the table does not have all partitions yet.
    const isRunning = brokerState(this.context.regions.control) === CONTROL_STATES.running;
    if (isRunning && (isSealed || nowMs >= this.passAt)) this.pass(nowMs);
  }

  /** In turns without other work: a step of making a spare segment. Returns how much it did. */
  work(nowMs: number): number {
    if (!this.sparesAllowed || nowMs < this.sparesAt) return 0;
    this.sparesAt = nowMs + SPARE_STEP_MS;
    try {
      if (this.context.spares.work()) return 1;
      this.sparesAt = nowMs + FIGURES_MS;
    } catch (error) {
      this.sparesAt = nowMs + PATIENCE_MS;
      this.excuse(error);
    }
    return 0;
  }

  /** A run that is not served: its bytes are not what was written. */
  countDamage(position: number, text: string): void {
    addStoreCount(this.context.regions.store, STORE_DAMAGED, 1);
    this.context.report({ type: 'damaged', position, text });
  }

  /** Orderly stop: an index file for the unsealed segment too. Without it the next start reads the segment. */
  close(end: number): void {
    this.context.spares.close();
    try {
      if (end > this.context.index.unsealedBase) this.context.index.writeOpen(end);
    } catch (error) {
      this.excuse(error);
    }
    this.showFigures();
  }

  private pass(nowMs: number): void {
    const { index, retention, regions } = this.context;
    const limits = this.limits();
    try {
      this.heed(retention.pass(nowMs, (topicId, partition) => this.limitsOf(limits, queueKey(topicId, partition))));
      this.passAt = nowMs + (this.full ? PASS_FULL_MS : PASS_MS);
    } catch (error) {
      this.passAt = nowMs + PATIENCE_MS;
      this.excuse(error);
    }
    this.segmentCount = index.segments.length;
    for (let id = 0; id < partitionsUsed(regions.control); id++) this.showOldest(id);
    this.showFigures();
  }

  private heed(outcome: RetentionOutcome): void {
    const { regions, report } = this.context;
    this.sparesAllowed = outcome.sparesAllowed;
    if (outcome.removed.length > 0) {
      report({ type: 'removed', segments: outcome.removed.map((one) => one.base), reason: outcome.reason });
    }
    if (outcome.full === this.full) return;
    this.full = outcome.full;
    setStoreFull(regions.store, outcome.full);
    report({ type: 'watermark', full: outcome.full });
  }

  /** What the topics of all living durable partitions say. */
  private limits(): Map<number, QueueLimits> {
    const { control, table } = this.context.regions;
    const limits = new Map<number, QueueLimits>();
    for (let id = 0; id < partitionsUsed(control); id++) {
      const identity = readIdentity(table, id);
      if (!identity?.durable) continue;
      const { minutes, mebibytes } = retentionOf(table, id);
      const key = queueKey(identity.topic, identity.number);
      this.seen.add(key);
      limits.set(key, { retentionMs: minutes * MINUTE_MS, retentionBytes: mebibytes * MIB, deleted: false });
    }
    return limits;
  }

  private limitsOf(limits: Map<number, QueueLimits>, key: number): QueueLimits {
    return limits.get(key) ?? (this.seen.has(key) ? DELETED : AS_THE_BROKER);
  }

  private showOldest(id: number): void {
    const { table } = this.context.regions;
    const identity = readIdentity(table, id);
    if (!identity?.durable) return;
    const offset = this.context.index.oldest(identity.topic, identity.number);
    if (offset <= oldestOffset(table, id)) return;
    setOldestOffset(table, id, offset);
    // The entry has begun another life meanwhile, which has lost nothing yet.
    if (epochOf(table, id) !== identity.epoch) setOldestOffset(table, id, 0);
  }

  private showFigures(): void {
    const { index, regions } = this.context;
    setStoreNumber(regions.store, STORE_BYTES_LOW, index.lengthBytes);
    setStoreNumber(regions.store, STORE_OLDEST_LOW, index.segments[0]?.base ?? index.unsealedBase);
  }

  private excuse(error: unknown): void {
    if (!isDiskError(error)) throw error;
    this.context.report({ type: 'upkeep-failed', error });
  }
}
