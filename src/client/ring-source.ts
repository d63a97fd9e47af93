// Where an in-process consumer's batches come from: readers of the partitions' rings.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { nextOffset } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { BatchView } from '../record/batch-view.ts';
import type { PartitionPosition, PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';
import { type PartitionCursor, type RingConsumer, STOP } from './consumer.ts';

/** Bytes handed to one consumer before others have their turn. */
const TURN_BYTES = 512 * 1024;

/** One ring as one consumer reads it. */
export class RingSubscription {
  readonly route: PartitionRoute;
  readonly reader: RingReader;
  private readonly consumer: RingConsumer<unknown>;
  private readonly view = new BatchView();

  constructor(route: PartitionRoute, reader: RingReader, consumer: RingConsumer<unknown>) {
    this.route = route;
    this.reader = reader;
    this.consumer = consumer;
  }

  /** Hands on what is there, in bounded amounts. Returns the bytes taken. HOT */
  drain(): number {
    const cursor = this.consumer.cursor(this.route.id);
    if (cursor === undefined) return 0;
    let taken = 0;
    while (taken < TURN_BYTES) {
      if (this.consumer.full) break;
      const available = this.reader.tryPin();
      if (available === EMPTY) break;
      if (available === EVICTED) {
        this.reader.joinHead();
        continue;
      }
      const used = this.deliver(cursor, available);
      this.reader.advance(used);
      taken += used;
      if (used < available) break;
    }
    return taken;
  }

  private deliver(cursor: PartitionCursor, available: number): number {
    const { reader, view } = this;
    const start = reader.start;
    view.span(reader.place.bytes, reader.place.words, start, available);
    while (view.next()) {
      const at = view.at;
      if (this.consumer.deliver(view, cursor) === STOP) return at - start;
    }
    return available;
  }
}

/** Joins a reader where a consumer wants to start, and says where that is. */
export function joinAt(table: Int32Array, reader: RingReader, route: PartitionRoute, from: StartFrom): PartitionStart {
  const start = { id: route.id, number: route.number, epoch: route.epoch, gap: false, gapFrom: 0 };
  if (from === 'latest') {
    reader.joinTail();
    return { ...start, offset: nextOffset(table, route.id) };
  }
  reader.joinHead();
  if (from === 'earliest') return { ...start, offset: oldestOffset(table, reader) };
  const end = nextOffset(table, route.id);
  if ('last' in from) return { ...start, offset: Math.max(end - from.last, oldestOffset(table, reader)) };
  const wanted =
    'offset' in from ? { epoch: route.epoch, offset: from.offset } : positionOf(from.positions, route.number);
  const oldest = oldestOffset(table, reader);
  if (wanted === undefined) return { ...start, offset: oldest };
  if (wanted.epoch !== route.epoch || wanted.offset > end)
    return { ...start, offset: oldest, gap: true, gapFrom: oldest };
  if (wanted.offset < oldest) return { ...start, offset: oldest, gap: true, gapFrom: wanted.offset };
  return { ...start, offset: wanted.offset };
}

function positionOf(positions: readonly PartitionPosition[], number: number): PartitionPosition | undefined {
  return positions.find((one) => one.partition === number);
}

/** Offset of the oldest message that the ring still has. */
function oldestOffset(table: Int32Array, reader: RingReader): number {
  for (;;) {
    const available = reader.tryPin();
    if (available === EMPTY) return nextOffset(table, reader.partition);
    if (available === EVICTED) {
      reader.joinHead();
      continue;
    }
    const view = new BatchView().span(reader.place.bytes, reader.place.words, reader.start, available);
    const offset = view.next() ? view.baseOffset : nextOffset(table, reader.partition);
    reader.advance(0);
    return offset;
  }
}

/** A batch of no records: asks the owner of a partition to open its ring. */
export function openRequest(route: PartitionRoute, request: number): Uint8Array {
  const words = new Int32Array(BATCH_HEADER_BYTES / 4);
  words[0] = BATCH_HEADER_BYTES;
  words[2] = route.id;
  words[3] = route.epoch;
  words[4] = request;
  words[5] = 1;
  return new Uint8Array(words.buffer);
}

/** Start of a subscription without any partition to read. */
export function assertSome(partitions: readonly PartitionRoute[], topic: string): void {
  if (partitions.length === 0)
    throw new RingmqError('unknown-partition', `topic ${topic} has none of the partitions asked for`);
}
