import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  deliverAtOf,
  ENVELOPE_BYTES_MAX,
  EnvelopeView,
  envelopeLength,
  putEnvelope,
} from '../../../src/delay/envelope.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { utf8 } from '../../../src/record/text.ts';

/** A record with everything, where it lies in its batch. */
function record(body: Uint8Array, key = 'k'): RecordView {
  const builder = new BatchBuilder(1_024);
  builder.tryAdd(body, { key, tag: 't', properties: { a: 'b' }, flags: 0x31 }, 1);
  builder.closePayload(false);
  const batch = new BatchView().span(builder.bytes, builder.words, 0, builder.length);
  batch.next();
  const view = new RecordView().open(batch);
  view.next();
  return view;
}

function wrap(topic: string, deliverAt: number, view: RecordView): Uint8Array<ArrayBuffer> {
  const size = view.words[view.at >> 2];
  const bytes = new Uint8Array(envelopeLength(utf8(topic).length, size)).fill(0xee);
  const length = putEnvelope(bytes, new Int32Array(bytes.buffer), utf8(topic), deliverAt, view.bytes, view.at, size);
  expect(length).toBe(bytes.length);
  expect(length - size).toBeLessThanOrEqual(ENVELOPE_BYTES_MAX);
  return bytes;
}

test('an envelope gives back time, topic and the very bytes of the record', () => {
  const topics = fc.stringMatching(/^[A-Za-z0-9%|._-]{1,127}$/);
  fc.assert(
    fc.property(topics, fc.nat(2 ** 45), fc.uint8Array({ maxLength: 300 }), (topic, deliverAt, body) => {
      const view = record(body);
      const bytes = wrap(topic, deliverAt, view);
      const words = new Int32Array(bytes.buffer);
      expect(deliverAtOf(words, 0, bytes.length)).toBe(deliverAt);
      const envelope = new EnvelopeView();
      expect(envelope.open(bytes, words, 0, bytes.length)).toBe(true);
      expect(envelope.topic).toBe(topic);
      expect(envelope.deliverAt).toBe(deliverAt);
      const original = view.bytes.subarray(view.at, view.at + envelope.recordLength);
      const kept = bytes.subarray(envelope.recordAt, envelope.recordAt + envelope.recordLength);
      expect(Buffer.compare(kept, original)).toBe(0);
    }),
  );
});

test('an envelope of which any byte is wrong is not opened', () => {
  const good = wrap('orders', 1_800_000_000_000, record(new Uint8Array([1, 2, 3])));
  for (let i = 0; i < good.length; i++) {
    const bytes = good.slice();
    bytes[i] ^= 0x10;
    expect(new EnvelopeView().open(bytes, new Int32Array(bytes.buffer), 0, bytes.length), `byte ${i}`).toBe(false);
  }
});

test('other bodies in the timer topic are no envelopes', () => {
  expect(deliverAtOf(new Int32Array(2), 0, 8)).toBe(-1);
  expect(deliverAtOf(new Int32Array(20), 0, 80)).toBe(-1);
});
