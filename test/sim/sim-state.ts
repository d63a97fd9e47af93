// What a simulated broker keeps beside its log, in memory: topics and offsets, of which every commit survives, and the
// key index, of which the loss of power leaves an earlier state or nothing.
import { RingmqError } from '../../src/base/codes.ts';
import type { KeyEntry, KeyIndex, OldestOffsets } from '../../src/state/key-index.ts';
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

/** The key index of all lives of a broker. */
export class SimKeyIndex implements KeyIndex {
  readonly broken = false;
  readonly pending = undefined;
  readonly entries = new Map<string, KeyEntry>();
  private applied = 0;

  /** As a start of the log reader finds it. */
  opened(logEnd: number): this {
    if (this.applied > logEnd) this.lose();
    return this;
  }

  lose(): void {
    this.entries.clear();
    this.applied = 0;
  }

  get appliedPosition(): number {
    return this.applied;
  }

  apply(entries: readonly KeyEntry[], logPosition: number): void {
    for (const one of entries) this.entries.set(`${one.topicId}/${one.partition}:${one.offset}`, one);
    this.applied = logPosition;
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

  async close(): Promise<void> {}
}
