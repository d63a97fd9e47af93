import { expect, test } from 'vitest';
import { BATCH_HEADER_BYTES, REQUEST_FLAGS } from '../../../native-layout/batch.ts';
import { isRepeat, markRepeat, repeatFloor } from '../../../src/record/repeat.ts';

test.each([0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 7, Number.MAX_SAFE_INTEGER])(
  'the floor %d comes through, and nothing else of the batch changes',
  (floor) => {
    const words = new Int32Array(BATCH_HEADER_BYTES >> 1).fill(-1);
    const at = BATCH_HEADER_BYTES;
    words[(at + REQUEST_FLAGS) >> 2] = 0;
    expect(isRepeat(words, at)).toBe(false);
    markRepeat(words, at, floor);
    expect([isRepeat(words, at), repeatFloor(words, at)]).toEqual([true, floor]);
    const changed = [...words.keys()].filter((i) => words[i] !== -1);
    expect(changed.every((i) => i === (at + REQUEST_FLAGS) >> 2 || i === (at + REQUEST_FLAGS + 4) >> 2)).toBe(true);
  },
);
