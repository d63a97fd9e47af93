// What a simulated broker keeps beside its log, in memory: topics and offsets, of which every commit survives, and the
// key index, of which the loss of power leaves an earlier state or nothing.
import { RingmqError } from '../../src/base/codes.ts';
import { KeyFinder } from '../../src/state/key-finder.ts';
import type { KeyEntry, KeyIndex, KeyMatch, OldestOffsets } from '../../src/state/key-index.ts';
import { MemoryMetaStore, type MetaChanges } from '../../src/state/meta.ts';
import type { SimDisk } from './sim-disk.ts';

export class SimMetaStore extends MemoryMetaStore {
  /** The disk that it shares with the log. */
  disk: SimDisk | undefined;

  override commit(changes: MetaChanges): void {
    if (this.disk?.full) throw new RingmqError('disk-full', 'the simulated disk is full');
    this.disk?.before('commit state');
    super.commit(changes);
  }
}

/** What is under way to the key index. */
interface Transaction {
  readonly entries: readonly KeyEntry[];
  readonly logPosition: number;
  readonly untilMs: number;
}

/** The key index of all lives of a broker. */
export class SimKeyIndex implements KeyIndex {
  readonly broken = false;
  readonly entries = new Map<string, KeyEntry>();
  /** How long a transaction takes; default 0: it is done at once. */
  takesMs = (): number => 0;
  private readonly nowMs: () => number;
  private applied = 0;
  private transaction: Transaction | undefined;

  constructor(nowMs: () => number = () => 0) {
    this.nowMs = nowMs;
  }

  /** As a start of the log reader finds it: without what was under way. */
  opened(logEnd: number): this {
    this.transaction = undefined;
    if (this.applied > logEnd) this.lose();
    return this;
  }

  lose(): void {
    this.entries.clear();
    this.applied = 0;
    this.transaction = undefined;
  }

  get pending(): Promise<void> | undefined {
    if (this.transaction && this.nowMs() >= this.transaction.untilMs) this.finish();
    return this.transaction && NEVER;
  }

  get appliedPosition(): number {
    return this.applied;
  }

  apply(entries: readonly KeyEntry[], logPosition: number): void {
    const takesMs = this.takesMs();
    this.transaction = { entries, logPosition, untilMs: this.nowMs() + takesMs };
    if (takesMs === 0) this.finish();
  }

  /** As KeyIndexReader.find(). */
  find(topicId: number, key: string, fromMs: number, toMs: number, limit: number): KeyMatch[] {
    const found = [...this.entries.values()].filter((one) => {
      return one.topicId === topicId && one.key === key && one.storedAt >= fromMs && one.storedAt < toMs;
    });
    found.sort((a, b) => a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset);
    return found.slice(0, limit).map(({ partition, offset, storedAt, epoch }) => {
      return { partition, offset, storedAt, epoch };
    });
  }

  sweep(oldest: OldestOffsets): number {
    let removed = 0;
    for (const [place, one] of this.entries) {
      if (one.offset >= oldest(one.topicId, one.partition)) continue;
      this.entries.delete(place);
      removed++;
    }
    return removed;
  }

  async close(): Promise<void> {
    if (this.transaction) this.finish();
  }

  private finish(): void {
    const { transaction } = this;
    this.transaction = undefined;
    if (!transaction) return;
    for (const one of transaction.entries) this.entries.set(`${one.topicId}/${one.partition}:${one.offset}`, one);
    this.applied = transaction.logPosition;
  }
}

/** Nobody waits for it here: threads of a run do not sleep. */
const NEVER = new Promise<void>(() => {});

/** Has everybody who looks for keys look here. Returns the call that ends it. */
export function findIn(keys: SimKeyIndex): () => void {
  const { prototype } = KeyFinder;
  const { open } = prototype;
  prototype.open = async () => keys;
  return () => {
    prototype.open = open;
  };
}
