// Where a reader begins: what a subscriber asks for, against what the ring (or, of a durable partition, the log) still
// has. And the request that makes the owner of a partition open its ring in the first place.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { isDurable, oldestOffset as logOldest, nextOffset, startOffset } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { BatchView } from '../record/batch-view.ts';
import type { EpochStart, PartitionPosition, PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';

/**
 * Joins a reader where a consumer wants to start, and says where that is. The start in a durable partition may lie
 * before the ring's oldest batch: ringHas() tells whether the log must be read first. A time is looked up by the caller
 * before (in the log, or in the ring). Throws `illegal-argument` for one.
 */
export function joinAt(table: Int32Array, reader: RingReader, route: PartitionRoute, from: StartFrom): PartitionStart {
  const start = { id: route.id, number: route.number, epoch: route.epoch, gap: false, gapFrom: 0 };
  if (from === 'latest') {
    reader.joinTail();
    return { ...start, offset: nextOffset(table, route.id) };
  }
  reader.joinHead();
  const durable = isDurable(table, route.id);
  const oldest = durable ? logOldest(table, route.id) : ringOldest(table, reader);
  if (from === 'earliest') return { ...start, offset: oldest };
  if ('time' in from) throw new RingmqError('illegal-argument', 'a time must be looked up before the reader joins');
  const end = nextOffset(table, route.id);
  if ('last' in from) return { ...start, offset: Math.max(end - from.last, oldest) };
  const wanted =
    'offset' in from ? { epoch: route.epoch, offset: from.offset } : positionOf(from.positions, route.number);
  if (wanted === undefined) return { ...start, offset: oldest };
  if (durable) return { ...start, ...resume(wanted, route, oldest, end) };
  if (wanted.epoch !== route.epoch || wanted.offset > end)
    return { ...start, offset: oldest, gap: true, gapFrom: oldest };
  if (wanted.offset < oldest) return { ...start, offset: oldest, gap: true, gapFrom: wanted.offset };
  return { ...start, offset: wanted.offset };
}

/**
 * Joins the reader at the oldest batch that the ring has. True if that one begins at or before `offset`, or if the ring
 * is empty and `offset` will be the first one in it: the reader finds the offset here, after what it steps over. False:
 * it has to read the log up to there first.
 */
export function ringHas(reader: RingReader, offset: number): boolean {
  reader.joinHead();
  return ringOldest(reader.table, reader) <= offset;
}

function positionOf(positions: readonly PartitionPosition[], number: number): PartitionPosition | undefined {
  return positions.find((one) => one.partition === number);
}

interface Resumption {
  readonly offset: number;
  readonly gap: boolean;
  readonly gapFrom: number;
}

/**
 * Where a position of a durable partition goes on. One of an older epoch is good up to where the next epoch started:
 * what stood behind that was taken back by a crash, and the offsets were given again.
 */
function resume(
  wanted: { readonly epoch: number; readonly offset: number },
  route: PartitionRoute,
  oldest: number,
  end: number,
): Resumption {
  const limit = wanted.epoch === route.epoch ? end : limitOf(wanted.epoch, route.epochs, end);
  // An epoch that is no longer known (or not yet): nobody can say whether the position is good.
  const good = Math.min(wanted.offset, limit ?? end);
  if (good < oldest) return { offset: oldest, gap: true, gapFrom: good };
  const gap = limit === undefined || wanted.offset > limit;
  return { offset: good, gap, gapFrom: gap ? good : 0 };
}

/**
 * Offset up to which positions of an epoch are good: the earliest start of those after it. A later epoch may start
 * before the one in between, which was taken back as well.
 */
export function limitOf(epoch: number, epochs: readonly EpochStart[], end: number): number | undefined {
  const at = epochs.findIndex((one) => one.epoch === epoch);
  return at < 0 ? undefined : epochs.slice(at + 1).reduce((least, { offset }) => Math.min(least, offset), end);
}

/**
 * Offset of the oldest message that the ring still has. The newest batch never leaves a ring, so an empty one never had
 * any: its first message will be the first of this life of the partition (NEXT_OFFSET may count one already that is
 * about to be shown).
 */
function ringOldest(table: Int32Array, reader: RingReader): number {
  for (;;) {
    const available = reader.tryPin();
    if (available === EMPTY) return startOffset(table, reader.partition);
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
