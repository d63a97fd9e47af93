// What a broker must not forget besides messages: its topics, where groups of consumers go on, how often it started.
// The interface, its types, and the store of a broker that keeps nothing.
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';

/** From this offset on, the partition's records carry this epoch or a later one. */
export interface StoredEpoch {
  readonly epoch: number;
  readonly offset: number;
}

export interface StoredPartition {
  /** Its place in the partition table. */
  readonly id: number;
  /** Its number in the topic, from 0. */
  readonly number: number;
  readonly permission: number;
  /** Oldest first; the last one is the present one. */
  readonly epochs: readonly StoredEpoch[];
}

/** One topic with its settings. Partitions of direct topics belong to threads and are not kept. */
export interface StoredTopic {
  readonly topic: string;
  /** Never used again for another topic. */
  readonly topicId: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  readonly direct: boolean;
  readonly durable: boolean;
  /** 0: as the broker does. */
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly partitions: readonly StoredPartition[];
}

/** The next offset that a group wants of a partition, in the generation that the epoch names. */
export interface StoredPosition {
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
}

/** Where a group goes on in one topic. */
export interface StoredOffsets {
  readonly topicId: number;
  readonly group: string;
  readonly positions: readonly StoredPosition[];
}

/**
 * How far the partitions of a topic had come, by number: offsets must not start again at 0 when retention has taken
 * everything from the log.
 */
export interface StoredMarks {
  readonly topicId: number;
  readonly nextOffsets: readonly number[];
}

/** What one transaction writes. */
export interface MetaChanges {
  /** New topics and new settings, whole. */
  readonly topics?: readonly StoredTopic[];
  /** Ids of topics that are gone, with their offsets and marks. */
  readonly deleted?: readonly number[];
  readonly nextTopicId?: number;
  readonly offsets?: readonly StoredOffsets[];
  readonly marks?: readonly StoredMarks[];
}

/** One owner: the thread that opened it. */
export interface MetaStore {
  /** Counts the starts of the broker. */
  readonly generation: number;
  /** Counts one start more and returns the count. */
  nextGeneration(): number;
  /** Every topic ever made has a smaller id. */
  readonly nextTopicId: number;
  /** Number of (group, topic) pairs with positions. */
  readonly offsetCount: number;
  topics(): readonly StoredTopic[];
  /** Where a group goes on in a topic; undefined if it never said so. */
  offsets(topicId: number, group: string): StoredOffsets | undefined;
  marks(topicId: number): StoredMarks | undefined;
  /** All of it or nothing, on the disk when it returns. Throws RingmqError `disk-full` or `store-failed`. */
  commit(changes: MetaChanges): void;
  close(): void;
}

/** Keeps the state for as long as the process lives. */
export class MemoryMetaStore implements MetaStore {
  generation = 0;
  nextTopicId = 1;
  private readonly topicsById = new Map<number, StoredTopic>();
  private readonly offsetsByTopic = new Map<number, Map<string, StoredOffsets>>();
  private readonly marksById = new Map<number, StoredMarks>();
  private pairs = 0;

  get offsetCount(): number {
    return this.pairs;
  }

  nextGeneration(): number {
    return ++this.generation;
  }

  topics(): readonly StoredTopic[] {
    return [...this.topicsById.values()];
  }

  offsets(topicId: number, group: string): StoredOffsets | undefined {
    return this.offsetsByTopic.get(topicId)?.get(group);
  }

  /** All that is kept, as one change. */
  everything(): Required<MetaChanges> & { readonly generation: number } {
    const { generation, nextTopicId } = this;
    const offsets = [...this.offsetsByTopic.values()].flatMap((groups) => [...groups.values()]);
    return {
      generation,
      nextTopicId,
      topics: this.topics(),
      deleted: [],
      offsets,
      marks: [...this.marksById.values()],
    };
  }

  marks(topicId: number): StoredMarks | undefined {
    return this.marksById.get(topicId);
  }

  commit(changes: MetaChanges): void {
    for (const topic of changes.topics ?? []) this.topicsById.set(topic.topicId, topic);
    for (const offsets of changes.offsets ?? []) this.keepOffsets(offsets);
    for (const marks of changes.marks ?? []) this.marksById.set(marks.topicId, marks);
    for (const topicId of changes.deleted ?? []) this.forget(topicId);
    this.nextTopicId = Math.max(this.nextTopicId, changes.nextTopicId ?? 0);
  }

  close(): void {}

  private keepOffsets(offsets: StoredOffsets): void {
    let groups = this.offsetsByTopic.get(offsets.topicId);
    if (!groups) {
      groups = new Map();
      this.offsetsByTopic.set(offsets.topicId, groups);
    }
    if (!groups.has(offsets.group)) this.pairs++;
    groups.set(offsets.group, offsets);
  }

  private forget(topicId: number): void {
    this.topicsById.delete(topicId);
    this.marksById.delete(topicId);
    this.pairs -= this.offsetsByTopic.get(topicId)?.size ?? 0;
    this.offsetsByTopic.delete(topicId);
  }
}
