// What a publisher says of a batch that it sends again because a connection was lost before the answer came: no
// earlier attempt of it can stand before a certain offset of its partition. Who knows all producers from there on knows
// whether it was stored. Only in requests: see REQUEST in native-layout/batch.ts.
import { REQUEST_FLAGS, REQUEST_FLOOR_LOW, REQUEST_FLOOR_SHIFT, REQUEST_REPEATS } from '../../native-layout/batch.ts';

const HIGH = 2 ** 32;

/** Marks the batch at byte `at` as one that was sent before; `floor`: no attempt can have had an earlier offset. */
export function markRepeat(words: Int32Array, at: number, floor: number): void {
  words[(at + REQUEST_FLAGS) >> 2] = REQUEST_REPEATS | (Math.floor(floor / HIGH) << REQUEST_FLOOR_SHIFT);
  words[(at + REQUEST_FLOOR_LOW) >> 2] = floor | 0;
}

/** Takes the mark away. */
export function unmarkRepeat(words: Int32Array, at: number): void {
  words[(at + REQUEST_FLAGS) >> 2] = 0;
  words[(at + REQUEST_FLOOR_LOW) >> 2] = 0;
}

/** True if the batch may have been stored before. HOT */
export function isRepeat(words: Int32Array, at: number): boolean {
  return (words[(at + REQUEST_FLAGS) >> 2] & REQUEST_REPEATS) !== 0;
}

/** Offset before which no attempt of a repeated batch can stand. */
export function repeatFloor(words: Int32Array, at: number): number {
  const high = words[(at + REQUEST_FLAGS) >> 2] >>> REQUEST_FLOOR_SHIFT;
  return high * HIGH + (words[(at + REQUEST_FLOOR_LOW) >> 2] >>> 0);
}
