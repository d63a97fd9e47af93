// What a start of the broker makes of its topics: out of the state, which knows their settings, and the log, which
// knows how far their partitions had come. Pure.
//
//   volatile partitions    a new epoch, from offset 0: their messages are gone
//   durable partitions     go on at the log's next offset; after an unclean stop with a new epoch from there on, since
//                          readers may have seen what a crash took away
//   queues of no topic     the state was lost: they come back as topic `lost.<topic id>`, so that nothing that was
//                          acknowledged is out of reach. Ids below the state's next one were deleted by somebody.
import { SEAT_FIRST_WORKER } from '../../native-layout/control.ts';
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { RecoveredQueue } from '../log/run.ts';
import { type PartitionHistory, readIdentity } from '../memory/partition-entry.ts';
import type { MetaStore, StoredEpoch, StoredPartition, StoredTopic } from '../state/meta.ts';
import { REPLY_PREFIX } from '../wire/services.ts';
import type { TopicPartition, TopicRecord } from './directory.ts';

/** Epochs of a partition that are remembered. */
export const EPOCHS_MAX = 16;
const READ_WRITE = 6;

/** What the log has, and whether the last stop was in order. */
export interface RecoveredQueues {
  readonly queues: readonly RecoveredQueue[];
  readonly clean: boolean;
}

export interface RestartOptions {
  readonly workers: number;
  readonly partitionMax: number;
  readonly ringBytesDefault: number;
  readonly overflowDefault: OverflowPolicy;
}

export interface Restart {
  readonly records: readonly TopicRecord[];
  /** Ids of topics that nobody wants any more: who waited for replies there has gone. */
  readonly ended: readonly number[];
  /** Names of topics that the state had lost. */
  readonly lost: readonly string[];
  readonly nextTopicId: number;
}

/** Seat of the broker worker that writes a partition: every start with as many workers gives the same one. */
export function ownerOf(topicId: number, number: number, workers: number): number {
  return SEAT_FIRST_WORKER + ((topicId + number) % workers);
}

/**
 * Topics, owners, epochs and histories of a start. `seconds` since 1970: epochs are above it and above every known one,
 * so that no two lives of a partition have the same.
 *
 * @throws RingmqError `partition-quota` if the partition table has become too small.
 */
export function restart(meta: MetaStore, log: RecoveredQueues, options: RestartOptions, seconds: number): Restart {
  return new Restarting(meta, log, options, seconds).run();
}

/**
 * Topics for the successor of a NameServer that died in a broker that keeps its data: what is on the disk counts, the
 * predecessor may have died before it told the supervisor (`known`) of its last transaction. Direct partitions, which
 * are not on the disk, and versions are the supervisor's.
 */
export function inherited(
  stored: readonly StoredTopic[],
  known: readonly TopicRecord[],
  table: Int32Array,
  workers: number,
): readonly TopicRecord[] {
  const byId = new Map(known.map((one) => [one.topicId, one]));
  return stored.map((topic) => {
    const record = byId.get(topic.topicId);
    if (record?.direct) return record;
    const partitions = topic.partitions.map((one): TopicPartition => {
      const { epoch } = one.epochs.at(-1) as StoredEpoch;
      const identity = readIdentity(table, one.id);
      const owner = identity?.epoch === epoch ? identity.owner : ownerOf(topic.topicId, one.number, workers);
      return { ...one, owner, epoch };
    });
    return { ...topic, version: record?.version ?? 0, partitions };
  });
}

/** Topic id -> number of the partition -> what the log has of it. */
type Queues = ReadonlyMap<number, ReadonlyMap<number, RecoveredQueue>>;

class Restarting {
  private readonly meta: MetaStore;
  private readonly clean: boolean;
  private readonly options: RestartOptions;
  private readonly queues: Queues;
  private epoch: number;

  constructor(meta: MetaStore, log: RecoveredQueues, options: RestartOptions, seconds: number) {
    this.meta = meta;
    this.clean = log.clean;
    this.options = options;
    this.queues = byTopic(log.queues);
    this.epoch = seconds;
    for (const topic of meta.topics()) {
      for (const { epochs } of topic.partitions) {
        for (const { epoch } of epochs) this.epoch = Math.max(this.epoch, epoch);
      }
    }
  }

  run(): Restart {
    const all = this.meta.topics();
    const stored = all.filter((one) => !one.topic.startsWith(REPLY_PREFIX));
    const ended = all.filter((one) => !stored.includes(one)).map((one) => one.topicId);
    this.checkRoom(stored);
    const records = stored.map((topic) => this.revive(topic));
    const lost = this.lostTopics(stored);
    const nextTopicId = Math.max(this.meta.nextTopicId, ...lost.map((one) => one.topicId + 1));
    const names = lost.map((one) => one.topic);
    return { records: [...records, ...lost], ended, lost: names, nextTopicId };
  }

  private checkRoom(stored: readonly StoredTopic[]): void {
    const highest = stored.flatMap((topic) => topic.partitions).reduce((max, one) => Math.max(max, one.id), -1);
    if (highest < this.options.partitionMax) return;
    const { partitionMax } = this.options;
    const what = `the data has a partition id ${highest}, partitionMax is ${partitionMax}: start with a larger one`;
    throw new RingmqError('partition-quota', what);
  }

  private revive(topic: StoredTopic): TopicRecord {
    const partitions = topic.partitions.map((stored) => {
      if (!topic.durable) return this.partition(topic, stored, [{ epoch: ++this.epoch, offset: 0 }]);
      const { nextOffset } = historyOf(this.meta, this.queues, topic.topicId, stored);
      return this.partition(topic, stored, this.epochsFrom(stored.epochs, nextOffset));
    });
    return { ...topic, version: 0, partitions };
  }

  private epochsFrom(known: readonly StoredEpoch[], nextOffset: number): readonly StoredEpoch[] {
    if (this.clean && known.length > 0) return known;
    return [...known, { epoch: ++this.epoch, offset: nextOffset }].slice(-EPOCHS_MAX);
  }

  private partition(
    topic: { readonly topicId: number },
    stored: StoredPartition,
    epochs: readonly StoredEpoch[],
  ): TopicPartition {
    const { id, number, permission } = stored;
    const owner = ownerOf(topic.topicId, number, this.options.workers);
    return { id, number, owner, permission, epochs, epoch: (epochs.at(-1) as StoredEpoch).epoch };
  }

  /** Topics for the queues that the state does not know. */
  private lostTopics(stored: readonly StoredTopic[]): TopicRecord[] {
    const names = new Set(stored.map((one) => one.topic));
    const ids = freeIds(stored, this.options.partitionMax);
    const lost = [...this.queues].filter(([topicId]) => topicId >= this.meta.nextTopicId).sort(([a], [b]) => a - b);
    return lost.map(([topicId, queues]) => {
      const { ringBytesDefault: ringBytes, overflowDefault: overflow } = this.options;
      const count = Math.max(...queues.keys()) + 1;
      const partitions = Array.from({ length: count }, (_, number) => {
        const id = ids.next().value;
        if (id === undefined) {
          const { partitionMax } = this.options;
          throw new RingmqError(
            'partition-quota',
            `no room for lost topics in ${partitionMax} partitions: raise partitionMax`,
          );
        }
        const partition: StoredPartition = { id, number, permission: READ_WRITE, epochs: [] };
        const nextOffset = queues.get(number)?.nextOffset ?? 0;
        return this.partition({ topicId }, partition, [{ epoch: ++this.epoch, offset: nextOffset }]);
      });
      const topic = nameOf(topicId, names);
      const settings = { overflow, ringBytes, direct: false, durable: true, retentionMs: 0, retentionBytes: 0 };
      return { topic, topicId, version: 0, ...settings, partitions };
    });
  }
}

/** What the log has of a durable partition. Where retention took everything, its offsets go on at the mark. */
function historyOf(
  meta: MetaStore,
  queues: Queues,
  topicId: number,
  partition: { readonly number: number; readonly epochs: readonly StoredEpoch[] },
): PartitionHistory {
  const queue = queues.get(topicId)?.get(partition.number);
  if (queue) return { nextOffset: queue.nextOffset, oldestOffset: queue.oldestOffset };
  const mark = meta.marks(topicId)?.nextOffsets[partition.number] ?? 0;
  const nextOffset = Math.max(mark, partition.epochs.at(-1)?.offset ?? 0);
  return { nextOffset, oldestOffset: nextOffset };
}

/** The histories with which partitions of these topics come to life. */
export function histories(
  meta: MetaStore,
  log: RecoveredQueues,
): (record: TopicRecord, partition: TopicPartition) => PartitionHistory | undefined {
  const queues = byTopic(log.queues);
  return (record, partition) => (record.durable ? historyOf(meta, queues, record.topicId, partition) : undefined);
}

function byTopic(queues: readonly RecoveredQueue[]): Queues {
  const topics = new Map<number, Map<number, RecoveredQueue>>();
  for (const queue of queues) {
    const known = topics.get(queue.topicId);
    if (known) known.set(queue.partition, queue);
    else topics.set(queue.topicId, new Map([[queue.partition, queue]]));
  }
  return topics;
}

function* freeIds(stored: readonly StoredTopic[], partitionMax: number): Generator<number, undefined> {
  const taken = new Set(stored.flatMap((topic) => topic.partitions.map((one) => one.id)));
  for (let id = 0; id < partitionMax; id++) if (!taken.has(id)) yield id;
  return undefined;
}

function nameOf(topicId: number, names: Set<string>): string {
  let name = `lost.${topicId}`;
  while (names.has(name)) name += '.again';
  names.add(name);
  return name;
}
