import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BATCH_BASE_OFFSET } from '../../../native-layout/batch.ts';
import { preloadOf, tailFor } from '../../../src/partition/preload.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import { putInt64 } from '../../../src/record/int64.ts';
import { batchOf } from '../../support/engine-table.ts';

/** A batch as the log has it: `count` records from `offset` on. */
function stored(offset: number, count: number, bodyBytes = 8, id = 9): Uint8Array {
  const builder = batchOf(
    id,
    Array.from({ length: count }, () => 'x'.repeat(bodyBytes)),
  );
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, offset);
  return builder.bytes.slice(0, builder.length);
}

function offsetsIn(batches: Uint8Array): string[] {
  const view = new BatchView();
  view.span(batches, new Int32Array(batches.buffer, batches.byteOffset, batches.length >> 2), 0, batches.length);
  const found: string[] = [];
  while (view.next()) found.push(`${view.partition}:${view.baseOffset}+${view.count}`);
  return found;
}

describe('tailFor', () => {
  const at = (tail: Uint8Array, nextOffset = 10): Uint8Array | undefined => tailFor(tail, 4, nextOffset);

  test('takes all that ends where the partition goes on, under the partition’s own id', () => {
    const tail = Buffer.concat([stored(3, 4), stored(7, 3)]);
    expect(offsetsIn(at(tail) as Uint8Array)).toEqual(['4:3+4', '4:7+3']);
    expect(offsetsIn(tail)).toEqual(['9:3+4', '9:7+3']);
  });

  test('takes nothing of a tail that ends before or behind that place', () => {
    for (const nextOffset of [9, 11, 0]) expect(at(stored(7, 3), nextOffset)).toBeUndefined();
    expect(at(new Uint8Array(0))).toBeUndefined();
  });

  test('begins behind a hole', () => {
    const hole = Buffer.concat([stored(1, 2), stored(5, 2), stored(7, 3)]);
    expect(offsetsIn(at(hole) as Uint8Array)).toEqual(['4:5+2', '4:7+3']);
  });
});

describe('preloadOf', () => {
  test('begins behind a batch that the ring does not take', () => {
    const large = Buffer.concat([stored(3, 3), stored(6, 1, 600), stored(7, 3)]);
    expect(offsetsIn(preloadOf(new Uint8Array(large), 1_000, 500))).toEqual(['9:7+3']);
    expect(preloadOf(stored(9, 1, 600), 1_000, 500)).toHaveLength(0);
  });

  test('is the longest end of the tail that fits', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 0, max: 4_000 }), (sizes, lengthMaxBytes) => {
        let nextOffset = 0;
        const batches = sizes.map((count) => {
          const batch = stored(nextOffset, count);
          nextOffset += count;
          return batch;
        });
        let kept: Uint8Array[] = [];
        for (const batch of batches.toReversed()) {
          if (Buffer.concat([batch, ...kept]).length > lengthMaxBytes) break;
          kept = [batch, ...kept];
        }
        const got = preloadOf(new Uint8Array(Buffer.concat(batches)), lengthMaxBytes, 500);
        expect(Buffer.from(got)).toEqual(Buffer.concat(kept));
      }),
    );
  });
});
