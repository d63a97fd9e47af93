// The bytes of the log, written down. They are on people's disks: a change here is either a mistake or a new
// LOG_VERSION with an upgrade test.
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { BlockBuilder, putBlockHeader } from '../../src/log/block-builder.ts';
import { alignedBytes } from '../../src/log/disk-node.ts';
import { sampleBatch } from '../support/log-batches.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function sampleBlock() {
  const builder = new BlockBuilder(alignedBytes(64 * 1024));
  builder.begin();
  builder.openRun(0x0403_0201, 0x0807, 0x0c0b_0a09);
  for (const baseOffset of [2 ** 32 + 5, 2 ** 32 + 7]) {
    const batch = sampleBatch({
      baseOffset,
      count: 2,
      bodyBytes: 8,
      storedAt: 1_700_000_000_000 + baseOffset,
      key: 'k',
    });
    builder.copy(batch, 0, batch.length);
  }
  builder.closeRun();
  builder.openRun(7, 1, 1);
  const batch = sampleBatch({ baseOffset: 0, count: 1, bodyBytes: 8, storedAt: 1_700_000_000_000 });
  builder.copy(batch, 0, batch.length);
  builder.closeRun();
  return builder.seal(2 ** 33 + 4096, 2 ** 33, 0x1122_3344, 0x55, 1_700_000_000_123);
}

test('the header of a block', () => {
  expect(hex(sampleBlock().subarray(0, 64))).toBe(GOLDEN.block);
});

test('the header of a run', () => {
  expect(hex(sampleBlock().subarray(64, 128))).toBe(GOLDEN.run);
});

test('all of a block, to the last zero', () => {
  const bytes = sampleBlock();
  expect(bytes.length).toBe(4096);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(GOLDEN.sha256);
});

test('the block that seals a segment', () => {
  const bytes = alignedBytes(4096);
  const place = { position: 8192, durable: 4096, previousCrc: -2, generation: 3, nowMs: 4 };
  putBlockHeader(bytes, { flags: 1, length: 0, runs: 0, runsCrc: 0, ...place });
  expect(hex(bytes.subarray(0, 64))).toBe(GOLDEN.seal);
  expect(bytes.subarray(64).every((byte) => byte === 0)).toBe(true);
});

const GOLDEN = {
  block:
    '71626c6b01000000000200000200000000100000020000000000000002000000' +
    '7b68e5cf8b01000044332211550000001b90fdee00000000000000002ca3d995',
  run:
    '600100007172756e010203040708000005000000010000000900000001000000' +
    '090a0b0c0200000004000000010000000568e5cf8c0100000200000038c8c1e0',
  sha256: '6cb8a3c2d50fe47e36eeb2cbcc7d40fcbf71b76eaf5c89d5bf69346e585da6d5',
  seal:
    '71626c6b01000100000000000000000000200000000000000010000000000000' +
    '0400000000000000feffffff03000000000000000000000000000000e7ae0706',
} as const;
