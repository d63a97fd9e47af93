import { describe, expect, test } from 'vitest';
import { BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { answeredTexts, payloadOf } from '../../../src/frontend/call-messages.ts';
import { putEmptyBatch } from '../../../src/frontend/filtered-span.ts';
import type { JsonMessage } from '../../../src/wire/json.ts';

const message = (text: string, more: Partial<JsonMessage> = {}): JsonMessage => {
  return { key: '', tag: '', properties: {}, body: new TextEncoder().encode(text), flags: 0, ...more };
};
const queues = [{ topic: 't', partition: 3, topicId: 1 }];
/** Messages of a `receive`, at these offsets. */
const received = (...offsets: number[]): string =>
  JSON.stringify({ queues, messages: offsets.flatMap((offset) => [0, offset, 77, 1]) });

describe('messages of a call', () => {
  test('become one batch, whatever their size', () => {
    expect(payloadOf([], 5).length).toBe(0);
    for (const [count, length] of [
      [1, 0],
      [3, 10],
      [2, 4_000],
      [1, 100_000],
      [1_024, 1_000],
      [5, 1_000_000],
    ]) {
      const texts = Array.from({ length: count }, (_, i) => String.fromCharCode(97 + (i % 26)).repeat(length));
      const payload = payloadOf(
        texts.map((text) => message(text, { key: 'k', properties: { a: 'b' } })),
        5,
      );
      const offsets = texts.map((_, i) => i);
      const said = answeredTexts('receive', received(...offsets), payload).map((one) => JSON.parse(one));
      expect(said.map((one) => one.body)).toEqual(texts);
      expect(said.at(-1)).toMatchObject({ topic: 't', partition: 3, key: 'k', properties: { a: 'b' } });
    }
  });

  test('that are more than any call takes are refused: properties are longer as a record than as JSON', () => {
    const names = Array.from({ length: 700 }, (_, i) => [i.toString(36), '']);
    const many = Array.from({ length: 1_024 }, () => message('', { properties: Object.fromEntries(names) }));
    expect(JSON.stringify(many).length).toBeLessThan(8 * 1024 * 1024);
    expect(() => payloadOf(many, 5)).toThrow(expect.objectContaining({ code: 'frame-too-large' }));
  });
});

test('a message that is too large to go with an answer is named, in its place', () => {
  const large = new Uint8Array(BATCH_HEADER_BYTES);
  putEmptyBatch(new Int32Array(large.buffer), 0, 0, 7, 6, 7);
  const payload = Buffer.concat([payloadOf([message('a')], 5), large, payloadOf([message('b')], 5)]);
  const said = answeredTexts('receive', received(5, 6, 9), new Uint8Array(payload)).map((one) => JSON.parse(one));
  expect(said).toMatchObject([
    { offset: 5, body: 'a' },
    { op: 'message', topic: 't', partition: 3, offset: 6, epoch: 7, pull: true },
    { offset: 9, body: 'b' },
  ]);
});
