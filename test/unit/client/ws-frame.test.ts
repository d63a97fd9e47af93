import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BATCH_FLAGS, BATCH_HEADER_BYTES, BATCH_SIZE, FLAG_SPARSE } from '../../../native-layout/batch.ts';
import { DeliveredFrame } from '../../../src/client/ws-frame.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';

const STAMP = { partition: 1, epoch: 1, request: 1, ack: 1, requestFlags: 0, producerId: 1, baseSequence: 0 };

/** A frame of some batches. */
function frameOf(bodies: readonly (readonly string[])[], checksum: boolean): Uint8Array {
  const batches = bodies.map((texts) => {
    const builder = new BatchBuilder(1024);
    for (const text of texts) builder.tryAddText(text, 1);
    const length = builder.close({ ...STAMP, checksum });
    return builder.bytes.slice(0, length);
  });
  return Buffer.concat(batches);
}

function textsOf(frame: DeliveredFrame): string[] {
  const view = new BatchView().span(frame.bytes, frame.words, 0, frame.length);
  const record = new RecordView();
  const texts: string[] = [];
  while (view.next()) {
    record.open(view);
    while (record.next()) texts.push(record.text());
  }
  return texts;
}

test('a frame is read wherever it lies in memory', () => {
  const frame = frameOf(
    [
      ['a', 'bcd'],
      ['', 'e'.repeat(100)],
    ],
    true,
  );
  for (let shift = 0; shift < 9; shift++) {
    const memory = new Uint8Array(frame.length + 16);
    memory.set(frame, shift);
    const taken = new DeliveredFrame().take(memory.subarray(shift, shift + frame.length));
    taken.check(true);
    expect(textsOf(taken)).toEqual(['a', 'bcd', '', 'e'.repeat(100)]);
  }
});

test('a damaged record is told by the CRC', () => {
  const frame = frameOf([['one', 'two']], true);
  frame[frame.length - 3] ^= 1;
  expect(() => new DeliveredFrame().take(frame).check(true)).toThrow(/CRC/);
});

test('whatever bytes come: the check refuses them or walking them ends inside the frame', () => {
  const good = frameOf([['one', 'two'], ['three']], false);
  const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(damage, fc.nat(good.length), (changes, cut) => {
      const frame = new Uint8Array(good.subarray(0, good.length - cut));
      for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
      const taken = new DeliveredFrame();
      try {
        taken.take(frame).check(false);
      } catch (error) {
        expect((error as { code: string }).code).toBe('malformed-batch');
        return;
      }
      const view = new BatchView().span(taken.bytes, taken.words, 0, taken.length);
      let batches = 0;
      let records = 0;
      const record = new RecordView();
      while (view.next()) {
        expect(view.end).toBeLessThanOrEqual(frame.length);
        expect(++batches).toBeLessThanOrEqual(frame.length / BATCH_HEADER_BYTES);
        record.open(view);
        while (record.next()) {
          expect(record.bodyAt + record.bodyLength).toBeLessThanOrEqual(view.end);
          expect(++records).toBeLessThanOrEqual(frame.length / 24);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a batch with holes is taken, also one without any record; whole batches have records', () => {
  const sparse = frameOf([['one', 'two']], false);
  sparse[BATCH_FLAGS] |= FLAG_SPARSE;
  const empty = new Uint8Array(frameOf([['x']], false).subarray(0, BATCH_HEADER_BYTES));
  new DataView(empty.buffer).setInt32(BATCH_SIZE, BATCH_HEADER_BYTES, true);
  const check = (frame: Uint8Array): void => new DeliveredFrame().take(frame).check(true);
  expect(() => check(empty)).toThrow(/malformed|a batch of 64 bytes/);
  empty[BATCH_FLAGS] |= FLAG_SPARSE;
  const frame = new DeliveredFrame().take(Buffer.concat([empty, sparse, empty]));
  frame.check(true);
  expect(textsOf(frame)).toEqual(['one', 'two']);
  for (let length = 8; length < BATCH_HEADER_BYTES; length += 8) {
    expect(() => check(new Uint8Array(empty.subarray(0, length)))).toThrow(/a batch of 64 bytes/);
  }
});
