// What of the moves of a predecessor is in the log already. A broker that was started again remembers the producers of
// what the end of the log has (ADR 7); a coordinator that was slow may not have heard yet of what stands before that.
import { BATCH_BASE_OFFSET, BATCH_BASE_SEQUENCE } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import { getInt64 } from '../record/int64.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';
import type { PlannedBatch } from './move-batches.ts';
import type { OpenMove } from './open-move.ts';
import { readRange } from './read-range.ts';

export interface MoveLog {
  /** No batch that is published from now on has an earlier offset. */
  nextOffset(partition: PartitionRoute): number;
  /** Those batches of a partition that were stored behind an offset before the broker was started: offset by name. */
  find(
    topic: string,
    partition: number,
    from: number,
    names: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, number>>;
}

const UNKNOWN_PLACE = -1;

/** Identity of a batch. */
export function batchName(producer: number, sequence: number): string {
  return `${producer}/${sequence}`;
}

/** For each batch of a move: see WrittenMove. */
export function placesOf(log: MoveLog, { partitions }: TopicRoute, batches: readonly PlannedBatch[]): number[] {
  return batches.map(({ partition }) => {
    const route = partitions.find(({ number }) => number === partition);
    return route === undefined ? UNKNOWN_PLACE : log.nextOffset(route);
  });
}

/** Notes what of some moves is published. */
export async function settlePublished(log: MoveLog, moves: readonly OpenMove[]): Promise<void> {
  const found = await find(log, moves);
  for (const move of moves) {
    for (const [index, { producer, sequence }] of move.parts.entries()) {
      const offset = found.get(batchName(producer, sequence));
      if (offset !== undefined) move.settle(index, offset, undefined);
    }
  }
}

/** What cannot be read is left to the broker's memory. */
async function find(log: MoveLog, moves: readonly OpenMove[]): Promise<ReadonlyMap<string, number>> {
  const wanted = new Map<string, { topic: string; partition: number; from: number; names: Set<string> }>();
  for (const { topic, parts, places } of moves) {
    for (const [i, { partition, producer, sequence }] of parts.entries()) {
      const place = places?.[i] ?? UNKNOWN_PLACE;
      if (place < 0) continue;
      const key = `${topic}/${partition}`;
      const one = wanted.get(key) ?? { topic, partition, from: place, names: new Set() };
      one.from = Math.min(one.from, place);
      one.names.add(batchName(producer, sequence));
      wanted.set(key, one);
    }
  }
  const found = new Map<string, number>();
  for (const { topic, partition, from, names } of wanted.values()) {
    try {
      for (const [name, offset] of await log.find(topic, partition, from, names)) found.set(name, offset);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
    }
  }
  return found;
}

export class ConnectionMoveLog implements MoveLog {
  private readonly connection: Pick<InProcessConnection, 'route' | 'nextOffset' | 'consumer'>;

  constructor(connection: Pick<InProcessConnection, 'route' | 'nextOffset' | 'consumer'>) {
    this.connection = connection;
  }

  nextOffset(partition: PartitionRoute): number {
    return Math.max(this.connection.nextOffset(partition), partition.nextOffset);
  }

  async find(topic: string, partition: number, from: number, names: ReadonlySet<string>): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const { partitions } = await this.connection.route(topic);
    const epochs = partitions.find(({ number }) => number === partition)?.epochs ?? [];
    // What is newer the broker has in mind.
    const end = epochs.at(-1)?.offset ?? 0;
    await readRange(this.connection, topic, partition, from, end, {
      batch: ({ words, startsAt, producerId }) => {
        const name = batchName(producerId, words[(startsAt + BATCH_BASE_SEQUENCE) >> 2]);
        if (names.has(name)) found.set(name, getInt64(words, (startsAt + BATCH_BASE_OFFSET) >> 2));
      },
      none: () => {},
      error: () => {},
    });
    return found;
  }
}
