// The bytes of leases, from a batch in a ring to messages at a consumer: copied once, by record, and given up again.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BATCH_HEADER_BYTES, BATCH_MAGIC, hasCrc, isSparse } from '../../../native-layout/batch.ts';
import { receivedMessages } from '../../../src/client/received.ts';
import { BatchCopier } from '../../../src/coordinator/batch-copier.ts';
import { type Holding, LeaseChunks, NOT_KEPT, RECORD_MAX_BYTES } from '../../../src/coordinator/lease-chunks.ts';
import { LeaseReply } from '../../../src/coordinator/lease-reply.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import type { Received } from '../../../src/wire/services.ts';
import { sampleBatch } from '../../support/log-batches.ts';

const PULL = () => Promise.reject(new Error('nothing is to be pulled'));
/** Bytes in front of the batch, as if it lay in the middle of a ring. */
const IN_FRONT = 128;

interface Held {
  readonly chunk: number;
  readonly at: number;
  readonly offset: number;
}

/** Copies what is wanted of a batch into a chunk. */
function hold(batch: Uint8Array, wanted: (offset: number) => boolean, chunks: LeaseChunks): Held[] {
  const memory = new Uint8Array(IN_FRONT + batch.length);
  memory.set(batch, IN_FRONT);
  const words = new Int32Array(memory.buffer);
  const view = new BatchView().span(memory, words, IN_FRONT, batch.length);
  view.next();
  const record = new RecordView().open(view);
  const copier = new BatchCopier();
  copier.reset();
  while (record.next()) if (wanted(record.offset)) copier.add(record, 'key', 0);
  const chunk = copier.copy(memory, words, IN_FRONT, chunks);
  // The ring goes on: what was copied must not change with it.
  memory.fill(0xee);
  return Array.from({ length: copier.count }, (_, i) => ({ chunk, at: copier.places[i], offset: copier.offsets[i] }));
}

function answer(reply: LeaseReply, held: readonly Held[], chunks: LeaseChunks) {
  reply.reset();
  for (const { chunk, at, offset } of held) reply.add(chunks.of(chunk), at, offset);
  const messages = held.flatMap(({ offset }) => [0, offset, 77, 1]);
  const result: Received = { queues: [{ topic: 't', partition: 3, topicId: 5 }], messages };
  return { result, payload: reply.finish() };
}

test('whatever is leased of whatever was read arrives as it was sent', async () => {
  const reply = new LeaseReply();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ count: fc.integer({ min: 1, max: 30 }), bodyBytes: fc.integer({ min: 8, max: 90 }) }), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
      async (batches, wants, leases) => {
        const chunks = new LeaseChunks({ bytes: 0 });
        let base = 1_000;
        const held: Held[] = [];
        for (const { count, bodyBytes } of batches) {
          const batch = sampleBatch({ baseOffset: base, count, bodyBytes, key: 'k', storedAt: base });
          held.push(...hold(batch, (offset) => wants[offset % wants.length], chunks));
          base += count;
        }
        const leased = held.filter((_, i) => leases[i % leases.length]);
        const { result, payload } = answer(reply, leased, chunks);
        const messages = await receivedMessages(result, payload, undefined, PULL);
        expect(messages.map((one) => one.offset)).toEqual(leased.map(({ offset }) => offset));
        for (const { body, offset, key, partition } of messages) {
          expect(new DataView(body.buffer, body.byteOffset).getFloat64(0, true)).toBe(offset);
          expect([key, partition]).toEqual(['k', 3]);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('an answer is made of sparse batches without a CRC', () => {
  const chunks = new LeaseChunks({ bytes: 0 });
  const held = hold(sampleBatch({ baseOffset: 10, count: 4 }), () => true, chunks);
  const { payload } = answer(new LeaseReply(), [held[1], held[3]], chunks);
  const words = new Int32Array(payload.buffer);
  const view = new BatchView().span(payload, words, 0, payload.length);
  expect(view.next()).toBe(true);
  expect([view.baseOffset, view.count]).toEqual([10, 4]);
  const magic = words[(view.at + BATCH_MAGIC) >> 2];
  expect([isSparse(magic), hasCrc(magic)]).toEqual([true, false]);
  expect(view.next()).toBe(false);
});

test('of a batch of which little is wanted little is kept, and nothing once that is settled', () => {
  const holding: Holding = { bytes: 0 };
  const chunks = new LeaseChunks(holding);
  const batch = sampleBatch({ baseOffset: 0, count: 100 });
  const held = hold(batch, (offset) => offset % 50 === 0, chunks);
  expect(holding.bytes).toBeLessThan(batch.length / 10);
  expect(chunks.bytes).toBe(holding.bytes);
  chunks.release(held[0].chunk);
  expect(holding.bytes).toBeGreaterThan(0);
  chunks.release(held[1].chunk);
  expect([holding.bytes, chunks.bytes]).toEqual([0, 0]);
});

test('numbers of chunks that are gone are given again', () => {
  const chunks = new LeaseChunks({ bytes: 0 });
  const first = chunks.add(64, 1);
  const second = chunks.add(64, 1);
  chunks.release(first);
  expect(chunks.add(64, 1)).toBe(first);
  expect(chunks.of(second).left).toBe(1);
});

test('a record that is too large for an answer is not kept, and stands as a batch of none that is pulled', async () => {
  const builder = new BatchBuilder(1 << 20);
  for (const length of [10, RECORD_MAX_BYTES + 1, 20]) builder.tryAdd(new Uint8Array(length), {}, 5);
  const stamp = { partition: 0, epoch: 1, request: 0, ack: 0, requestFlags: 0, producerId: 0, baseSequence: 0 };
  const length = builder.close({ ...stamp, checksum: false });
  const chunks = new LeaseChunks({ bytes: 0 });
  const held = hold(builder.bytes.slice(0, length), () => true, chunks);
  expect(held.map(({ at }) => at === NOT_KEPT)).toEqual([false, true, false]);
  expect(chunks.bytes).toBeLessThan(1_000);
  const { result, payload } = answer(new LeaseReply(), held, chunks);
  const pulled: unknown[] = [];
  const messages = await receivedMessages(result, payload, undefined, async (request) => {
    pulled.push(request);
    return { messages: [], epoch: 1, nextOffset: 2, gap: true };
  });
  // It is not kept any more: its lease runs out.
  expect(pulled).toEqual([{ topic: 't', partition: 3, from: { offset: 1 }, max: 1, waitMs: 0 }]);
  expect(messages.map((one) => one.offset)).toEqual([0, 2]);
});

test('a full answer says so, and never grows beyond what a lane takes', () => {
  const chunks = new LeaseChunks({ bytes: 0 });
  const reply = new LeaseReply();
  reply.reset();
  let offset = 0;
  while (!reply.full) {
    const bodyBytes = offset < 3 ? 20_000 : RECORD_MAX_BYTES - 64;
    const [one] = hold(sampleBatch({ baseOffset: offset++, count: 1, bodyBytes }), () => true, chunks);
    reply.add(chunks.of(one.chunk), one.at, one.offset);
  }
  const { length } = reply.finish();
  expect(length).toBeGreaterThan(80 * 1024);
  expect(length).toBeLessThan(256 * 1024);
  expect(length % 8).toBe(0);
});

test('an answer that contradicts itself is refused', async () => {
  const chunks = new LeaseChunks({ bytes: 0 });
  const held = hold(sampleBatch({ baseOffset: 0, count: 2 }), () => true, chunks);
  const { result, payload } = answer(new LeaseReply(), held, chunks);
  const shorter = { ...result, messages: result.messages.slice(0, 4) };
  await expect(receivedMessages(shorter, payload, undefined, PULL)).rejects.toThrow('more messages than leases');
  const none = payload.subarray(0, 0);
  await expect(receivedMessages(result, none, undefined, PULL)).rejects.toThrow('more leases than messages');
  expect(payload.length).toBeGreaterThan(BATCH_HEADER_BYTES);
});
