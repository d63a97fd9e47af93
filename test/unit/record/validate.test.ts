// What comes from outside and is not a batch must be refused, or at least be harmless to read.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  BATCH_COUNT,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_SPARSE,
} from '../../../native-layout/batch.ts';
import {
  RECORD_BODY_LENGTH,
  RECORD_KEY_LENGTH,
  RECORD_OFFSET_DELTA,
  RECORD_PROPERTIES_LENGTH,
  RECORD_SIZE,
  RECORD_TAG_LENGTH,
} from '../../../native-layout/record.ts';
import type { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { validateBatch } from '../../../src/record/validate.ts';
import { build, samples } from './arbitraries.ts';

const FULL = { key: 'key', tag: 'tag', properties: { a: 'b' } };

function three(checksum: boolean): BatchBuilder {
  return build(
    [1, 2, 3].map((n) => ({ body: `body ${n}`, extras: FULL })),
    checksum,
  );
}

/** Reads everything of a batch that was found valid; fails where anything lies outside of it. */
function readWithin(builder: BatchBuilder): void {
  const batch = new BatchView().span(builder.bytes, builder.words, 0, builder.words[0]);
  const record = new RecordView();
  let count = 0;
  while (batch.next()) {
    record.open(batch);
    while (record.next()) {
      expect(record.at + 24 + record.bodyLength).toBeLessThanOrEqual(builder.words[0]);
      expect(record.copyBody().length).toBe(record.bodyLength);
      void [record.key, record.tag, record.text(), record.properties, record.tagHash, record.flags];
      expect(++count).toBeLessThanOrEqual(65_536);
    }
  }
}

test.each<[string, number, number]>([
  ['size', BATCH_SIZE, 4],
  ['magic and version', BATCH_MAGIC, 4],
  ['count', BATCH_COUNT, 4],
  ['size of the first record', BATCH_HEADER_BYTES + RECORD_SIZE, 4],
  ['offset delta', BATCH_HEADER_BYTES + RECORD_OFFSET_DELTA, 4],
  ['body length', BATCH_HEADER_BYTES + RECORD_BODY_LENGTH, 4],
  ['key length', BATCH_HEADER_BYTES + RECORD_KEY_LENGTH, 2],
  ['properties length', BATCH_HEADER_BYTES + RECORD_PROPERTIES_LENGTH, 2],
  ['tag length', BATCH_HEADER_BYTES + RECORD_TAG_LENGTH, 1],
])('another %s is refused, or harmless', (_name, at, width) => {
  const values = [0, 1, 7, 8, 24, 63, 255, 0x7fff, 0xffff, 0x7fffffff, -1, -8, -0x80000000];
  for (const value of values) {
    const builder = three(false);
    const view = new DataView(builder.bytes.buffer);
    const before = width === 4 ? view.getInt32(at, true) : width === 2 ? view.getUint16(at, true) : view.getUint8(at);
    if (width === 4) view.setInt32(at, value, true);
    else if (width === 2) view.setUint16(at, value, true);
    else view.setUint8(at, value);
    const after = width === 4 ? view.getInt32(at, true) : width === 2 ? view.getUint16(at, true) : view.getUint8(at);
    if (after === before) continue;
    const verdict = validateBatch(builder.bytes, builder.words, 0, builder.length);
    // Lengths inside one record may add up to the same size; everything else must not pass.
    if (verdict === 'ok' && at >= BATCH_HEADER_BYTES + RECORD_BODY_LENGTH) readWithin(builder);
    else expect(verdict, `${value}`).toBe('malformed-batch');
  }
});

test('every truncation is refused', () => {
  const builder = three(true);
  for (let end = 0; end < builder.length; end++) {
    expect(validateBatch(builder.bytes, builder.words, 0, end), `${end}`).toBe('malformed-batch');
  }
});

test('a changed byte of the records is a bad checksum at least, and a changed checksum too', () => {
  const seen = new Set<string>();
  for (let at = BATCH_HEADER_BYTES; at < three(true).length; at++) {
    const builder = three(true);
    builder.bytes[at] ^= 0x10;
    seen.add(validateBatch(builder.bytes, builder.words, 0, builder.length));
  }
  expect(seen).toEqual(new Set(['malformed-batch', 'bad-checksum']));
  const builder = three(true);
  builder.words[BATCH_CRC >> 2] ^= 1;
  expect(validateBatch(builder.bytes, builder.words, 0, builder.length)).toBe('bad-checksum');
});

test('whatever bytes are flipped, what is taken for a batch reads within its bounds', () => {
  fc.assert(
    fc.property(
      samples,
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 8 }),
      (messages, flips) => {
        const builder = build(messages, false);
        for (const [at, mask] of flips) builder.bytes[at % builder.length] ^= mask;
        if (validateBatch(builder.bytes, builder.words, 0, builder.length) === 'ok') readWithin(builder);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('random bytes behind a right magic are refused, or harmless', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 88, maxLength: 400 }), (noise) => {
      const builder = three(false);
      builder.bytes.set(noise.subarray(12), 12);
      if (validateBatch(builder.bytes, builder.words, 0, builder.length) === 'ok') readWithin(builder);
    }),
    { numRuns: 500 },
  );
});

test('a batch with holes is refused, with records and without: publishers send whole ones', () => {
  const builder = three(false);
  builder.words[BATCH_MAGIC >> 2] |= MAGIC_SPARSE;
  expect(validateBatch(builder.bytes, builder.words, 0, builder.length)).toBe('malformed-batch');
  builder.words[BATCH_SIZE >> 2] = BATCH_HEADER_BYTES;
  expect(validateBatch(builder.bytes, builder.words, 0, BATCH_HEADER_BYTES)).toBe('malformed-batch');
});
