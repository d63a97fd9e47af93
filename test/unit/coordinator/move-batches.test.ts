import { expect, test } from 'vitest';
import { hasKeys } from '../../../native-layout/batch.ts';
import { planBatches } from '../../../src/coordinator/move-batches.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { hash32 } from '../../../src/record/text.ts';
import { validateBatch } from '../../../src/record/validate.ts';
import { payloadOf } from '../../support/move-world.ts';

const LARGE = 1_000_000;

function read(bytes: Uint8Array): { text: string; key: string | undefined }[] {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  expect(validateBatch(bytes, words, 0, bytes.length)).toBe('ok');
  const batch = new BatchView().span(bytes, words, 0, bytes.length);
  batch.next();
  const record = new RecordView().open(batch);
  const records: { text: string; key: string | undefined }[] = [];
  while (record.next()) records.push({ text: record.text(), key: record.key });
  return records;
}

test('keys decide the partition as for producers, other records stay together; each batch is sound', () => {
  const texts = Array.from({ length: 500 }, (_, i) => `m${i}`);
  const key = (text: string): string | undefined => (text.length % 2 === 0 ? `schlüssel-${text}` : undefined);
  const plan = { spread: 3, partition: 1, batchBytes: 2_000 };
  const batches = planBatches(
    payloadOf(texts, (text) => ({ key: key(text) })),
    plan,
    LARGE,
  );
  const seen: string[] = [];
  for (const { partition, count, bytes, ordinals } of batches) {
    const records = read(bytes);
    expect([records.length, bytes.length <= plan.batchBytes]).toEqual([count, true]);
    expect(hasKeys(new Int32Array(bytes.buffer)[1])).toBe(records.some((one) => one.key !== undefined));
    records.forEach((one, i) => {
      seen[ordinals[i]] = one.text;
      expect(partition).toBe(one.key === undefined ? 1 : (hash32(one.key) >>> 0) % 3);
    });
  }
  expect(seen).toEqual(texts);
});

test('the same records and plan give the same batches', () => {
  const payload = payloadOf(['a', 'b', 'c'], (text) => ({ key: text }));
  const plan = { spread: 2, partition: 0, batchBytes: 100 };
  expect(planBatches(payload.slice(), plan, LARGE)).toEqual(planBatches(payload.slice(), plan, LARGE));
});

test('a partition that was named takes all records, whatever their keys', () => {
  const payload = payloadOf(['a', 'b', 'c'], (text) => ({ key: text }));
  const batches = planBatches(payload, { spread: 0, partition: 5, batchBytes: LARGE }, LARGE);
  expect(batches.map(({ partition, count }) => [partition, count])).toEqual([[5, 3]]);
});

test('several batches behind each other, at any place in memory', () => {
  const parts = [payloadOf(['a', 'b']), payloadOf(['c'])];
  const bytes = new Uint8Array(3 + parts[0].length + parts[1].length);
  bytes.set(parts[0], 3);
  bytes.set(parts[1], 3 + parts[0].length);
  const [batch] = planBatches(bytes.subarray(3), { spread: 0, partition: 0, batchBytes: LARGE }, LARGE);
  expect(read(batch.bytes).map(({ text }) => text)).toEqual(['a', 'b', 'c']);
});

test('bytes that are no batches are refused, cut anywhere', () => {
  const payload = payloadOf(['a', 'some more']);
  const plan = { spread: 0, partition: 0, batchBytes: LARGE };
  for (let length = 0; length < payload.length; length += 4) {
    expect(() => planBatches(payload.slice(0, length), plan, LARGE), `cut at ${length}`).toThrow(
      expect.objectContaining({ code: 'malformed-batch' }),
    );
  }
  const words = new Int32Array(payload.buffer);
  words[16] = 0;
  expect(() => planBatches(payload, plan, LARGE)).toThrow(expect.objectContaining({ code: 'malformed-batch' }));
});
