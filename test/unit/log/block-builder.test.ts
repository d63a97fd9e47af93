import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  BATCH_CRC,
  BATCH_FLAGS,
  BATCH_MAGIC,
  BATCH_SIZE,
  FLAG_CRC,
  MAGIC_WORD_PADDING,
} from '../../../native-layout/batch.ts';
import {
  BLOCK_HEADER_BYTES,
  LOG_BLOCK_BYTES,
  RUN_CRC,
  RUN_HEADER_BYTES,
  RUN_KEYS,
} from '../../../native-layout/log.ts';
import { BlockBuilder, runCrc } from '../../../src/log/block-builder.ts';
import { alignedBytes } from '../../../src/log/disk-node.ts';
import { LogWriter } from '../../../src/log/log-writer.ts';
import { runsOf } from '../../../src/log/run-rows.ts';
import { verifySegment } from '../../../src/log/segment-verdict.ts';
import { FaultDisk } from '../../support/fault-disk.ts';
import { EMPTY_LOG, sampleBatch } from '../../support/log-batches.ts';

let builder: BlockBuilder;

beforeEach(() => {
  builder = new BlockBuilder(alignedBytes(64 * 1024));
  builder.begin();
});

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function padding(lengthBytes: number): Uint8Array {
  const words = new Int32Array(lengthBytes / 4);
  words[BATCH_SIZE >> 2] = lengthBytes;
  words[BATCH_MAGIC >> 2] = MAGIC_WORD_PADDING;
  return new Uint8Array(words.buffer);
}

function addRun(topicId: number, ...spans: Uint8Array[]): void {
  builder.openRun(topicId, 3, 5);
  for (const span of spans) builder.copy(span, 0, span.length);
  builder.closeRun();
}

test('a run says what its batches say', () => {
  const first = sampleBatch({ baseOffset: 10, count: 2, storedAt: 5_000 });
  const second = sampleBatch({ baseOffset: 12, count: 3, storedAt: 5_700, key: 'k' });
  addRun(9, join(first, second));
  builder.seal(8192, 4096, -7, 2, 123);
  expect(builder.runs).toEqual([
    {
      topicId: 9,
      partition: 3,
      epoch: 5,
      baseOffset: 10,
      nextOffset: 15,
      records: 5,
      storedFirst: 5_000,
      storedSpan: 700,
      flags: RUN_KEYS,
      position: 8192 + BLOCK_HEADER_BYTES,
      size: RUN_HEADER_BYTES + first.length + second.length,
    },
  ]);
});

test('times that go back do not make the span negative', () => {
  addRun(
    1,
    sampleBatch({ baseOffset: 0, count: 1, storedAt: 900 }),
    sampleBatch({ baseOffset: 1, count: 1, storedAt: 400 }),
  );
  expect(builder.runs[0]).toMatchObject({ storedFirst: 400, storedSpan: 500, flags: 0 });
});

test('padding before the wrap of a ring does not get into the log', () => {
  const first = sampleBatch({ baseOffset: 0, count: 1 });
  const second = sampleBatch({ baseOffset: 1, count: 1 });
  addRun(1, join(first, padding(72)), second);
  expect(builder.runs[0]).toMatchObject({ records: 2, size: RUN_HEADER_BYTES + first.length + second.length });
});

test('a run without batches leaves no trace', () => {
  const room = builder.room;
  builder.openRun(1, 0, 1);
  builder.copy(padding(64), 0, 64);
  builder.closeRun();
  expect(builder.empty).toBe(true);
  expect(builder.room).toBe(room);
});

test('room counts down to nothing, headers included', () => {
  expect(builder.room).toBe(64 * 1024 - BLOCK_HEADER_BYTES - RUN_HEADER_BYTES);
  builder.openRun(1, 0, 1);
  expect(builder.room).toBe(64 * 1024 - BLOCK_HEADER_BYTES - RUN_HEADER_BYTES);
  const fills = sampleBatch({ baseOffset: 0, count: 1, bodyBytes: builder.room - 64 - 24 });
  expect(fills.length).toBe(builder.room);
  builder.copy(fills, 0, fills.length);
  expect(builder.room).toBe(0);
  builder.closeRun();
  expect(builder.room).toBeLessThan(0);
  expect(builder.seal(0, 0, 0, 1, 1).length).toBe(64 * 1024);
});

test('a batch larger than the block makes it larger, until the next one', () => {
  const usual = builder.bytes;
  const giant = sampleBatch({ baseOffset: 0, count: 1, bodyBytes: 3 * LOG_BLOCK_BYTES });
  addRun(1, sampleBatch({ baseOffset: 5, count: 1 }));
  addRun(2, giant);
  const bytes = builder.seal(0, 0, 0, 1, 1);
  expect(bytes.length % 4096).toBe(0);
  expect(bytes.length).toBeGreaterThan(giant.length);
  builder.begin();
  expect(builder.bytes).toBe(usual);
  expect(builder.room).toBe(usual.length - BLOCK_HEADER_BYTES - RUN_HEADER_BYTES);
});

test('what is sealed is a multiple of 4,096 bytes with zeros at the end, whatever stood there before', () => {
  addRun(1, sampleBatch({ baseOffset: 0, count: 100, bodyBytes: 300 }));
  builder.seal(0, 0, 0, 1, 1);
  builder.begin();
  addRun(1, sampleBatch({ baseOffset: 0, count: 1 }));
  const end = BLOCK_HEADER_BYTES + builder.runs[0].size;
  const bytes = builder.seal(0, 0, 0, 1, 1);
  expect(bytes.length).toBe(4096);
  expect(bytes.subarray(end).every((byte) => byte === 0)).toBe(true);
});

describe('what is not a sequence of batches is a fault', () => {
  const good = sampleBatch({ baseOffset: 0, count: 2 });
  const damaged = (byte: number, value: number) => {
    const bytes = good.slice();
    bytes[byte] = value;
    return bytes;
  };
  test.each([
    ['a gap in offsets', join(good, sampleBatch({ baseOffset: 3, count: 1 }))],
    ['an overlap', join(good, sampleBatch({ baseOffset: 1, count: 1 }))],
    ['a size beyond the span', damaged(BATCH_SIZE + 1, 0xff)],
    ['a size of nothing', damaged(BATCH_SIZE, 0)],
    ['another magic', damaged(BATCH_MAGIC, 0)],
    ['padding in the middle', join(padding(64), good)],
    ['no records', damaged(44, 0)],
  ])('%s', (_, bytes) => {
    builder.openRun(1, 0, 1);
    expect(() => builder.copy(bytes, 0, bytes.length)).toThrow(expect.objectContaining({ name: 'Fault' }));
  });

  test('calls out of order are faults too', () => {
    expect(() => builder.copy(good, 0, good.length)).toThrow('open run');
    expect(() => builder.closeRun()).toThrow('without openRun');
    expect(() => builder.seal(0, 0, 0, 1, 1)).toThrow('not without any');
    builder.openRun(1, 0, 1);
    expect(() => builder.openRun(1, 0, 1)).toThrow('one at a time');
    builder.copy(good, 0, good.length);
    builder.closeRun();
    builder.seal(0, 0, 0, 1, 1);
    expect(() => builder.seal(0, 0, 0, 1, 1)).toThrow('once');
  });
});

/** CRC word of the only run of the block, and what it should be. */
function crcOfRun(): { readonly said: number; readonly right: number } {
  const bytes = builder.seal(0, 0, 0, 1, 1);
  const { size } = builder.runs[0];
  const at = BLOCK_HEADER_BYTES + RUN_CRC;
  return { said: new DataView(bytes.buffer).getInt32(at, true), right: runCrc(bytes, BLOCK_HEADER_BYTES, size) };
}

test('the CRC of a run is that of its bytes, whether its batches bring one of their own or not', () => {
  const batch = fc.record({ count: fc.integer({ min: 1, max: 8 }), bodyBytes: fc.nat(3000), checksum: fc.boolean() });
  fc.assert(
    fc.property(fc.array(batch, { minLength: 1, maxLength: 12 }), (batches) => {
      builder.begin();
      let baseOffset = 0;
      const spans = batches.map(({ checksum, ...sample }) => {
        const bytes = sampleBatch({ ...sample, baseOffset });
        baseOffset += sample.count;
        if (!checksum) bytes.fill(0, BATCH_CRC, BATCH_CRC + 4)[BATCH_FLAGS] &= ~FLAG_CRC;
        return bytes;
      });
      addRun(1, ...spans);
      const { said, right } = crcOfRun();
      expect(said).toBe(right);
    }),
  );
});

test('a batch that was changed on its way to the store makes a run that does not match its bytes', () => {
  const bytes = sampleBatch({ baseOffset: 0, count: 20, bodyBytes: 1000 });
  bytes[bytes.length - 1000] ^= 1;
  addRun(1, bytes);
  const { said, right } = crcOfRun();
  expect(said).not.toBe(right);
});

test('whatever is staged is read back from the log, byte for byte', () => {
  const runs = fc.array(
    fc.record({
      topicId: fc.integer({ min: 1, max: 3 }),
      batches: fc.array(
        fc.record({ count: fc.integer({ min: 1, max: 5 }), bodyBytes: fc.integer({ min: 8, max: 3000 }) }),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(fc.array(runs, { minLength: 1, maxLength: 6 }), (blocks) => {
      const disk = new FaultDisk();
      const options = { mode: 'direct' as const, segmentBytes: 128 * 1024, generation: 1, clock: () => 1 };
      const writer = new LogWriter(disk, options, EMPTY_LOG);
      const next = [0, 0, 0, 0];
      const staged: { topicId: number; bytes: Uint8Array }[] = [];
      for (const block of blocks) {
        builder.begin();
        for (const { topicId, batches } of block) {
          const bytes = batches.map((batch) => {
            const baseOffset = next[topicId];
            next[topicId] += batch.count;
            return sampleBatch({ ...batch, baseOffset });
          });
          addRun(topicId, ...bytes);
          staged.push({ topicId, bytes: join(...bytes) });
        }
        writer.append(builder);
      }
      const found = disk
        .list()
        .filter((name) => name.endsWith('.log'))
        .flatMap((name) => {
          const base = Number(name.slice(0, 20));
          return [...runsOf(verifySegment(disk, base).runs)].map((run) => {
            const at = run.position - base;
            return { topicId: run.topicId, bytes: disk.bytesOf(name).slice(at + RUN_HEADER_BYTES, at + run.size) };
          });
        });
      expect(found.length).toBe(staged.length);
      for (let i = 0; i < found.length; i++) {
        expect(found[i].topicId).toBe(staged[i].topicId);
        expect(Buffer.compare(found[i].bytes, staged[i].bytes)).toBe(0);
      }
    }),
    { numRuns: 40 },
  );
});
