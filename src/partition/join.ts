// Where a reader begins: what a subscriber asks for, against what the ring still has. And the request that makes the
// owner of a partition open its ring in the first place.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { nextOffset } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { BatchView } from '../record/batch-view.ts';
import type { PartitionPosition, PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';

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

/**
 * Offset of the oldest message that the ring still has. The newest batch never leaves a ring, so an empty one never had
 * any: its first message will be 0 (NEXT_OFFSET may count one already that is about to be shown).
 */
function oldestOffset(table: Int32Array, reader: RingReader): number {
  for (;;) {
    const available = reader.tryPin();
    if (available === EMPTY) return 0;
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
