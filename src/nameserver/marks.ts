// How far the partitions of durable topics have come, kept now and then. It counts only where the log has nothing of a
// partition any more: its offsets go on there instead of starting again at 0.
import type { MetaStore, StoredMarks } from '../state/meta.ts';
import type { Directory, PartitionSlots } from './directory.ts';

/** Retention takes whole segments, which are seldom younger than this. */
const INTERVAL_MS = 60_000;

export class Marks {
  private readonly meta: MetaStore;
  private dueAt: number;

  constructor(meta: MetaStore, nowMs: number) {
    this.meta = meta;
    this.dueAt = nowMs + INTERVAL_MS;
  }

  /** What has changed since it was kept, once a minute. */
  due(directory: Directory, slots: PartitionSlots, nowMs: number): readonly StoredMarks[] {
    if (nowMs < this.dueAt) return [];
    this.dueAt = nowMs + INTERVAL_MS;
    return this.all(directory, slots);
  }

  /** What has changed since it was kept. */
  all(directory: Directory, slots: PartitionSlots): readonly StoredMarks[] {
    const changed: StoredMarks[] = [];
    for (const { topicId, durable, partitions } of directory.records()) {
      if (!durable) continue;
      const nextOffsets = partitions.map((one) => slots.nextOffset(one));
      const kept = this.meta.marks(topicId)?.nextOffsets;
      if (nextOffsets.some((offset, i) => offset !== (kept?.[i] ?? 0))) changed.push({ topicId, nextOffsets });
    }
    return changed;
  }
}
