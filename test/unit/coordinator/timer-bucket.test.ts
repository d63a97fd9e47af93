import { expect, test } from 'vitest';
import { bucketOfFile, TimerBucket } from '../../../src/coordinator/timer-bucket.ts';
import { ChunkIndex, PendingChunk } from '../../../src/coordinator/timer-chunk.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

const START = 1_800_000_000_000;

function body(fill: number, length = 64): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

function bucketOn(disk: FaultDisk | MemoryDisk, warnings: string[] = []): TimerBucket {
  return new TimerBucket(disk, START, (text) => warnings.push(text));
}

/** Adds messages number `from` to `to`, due in the order of their numbers, at offsets 10, 20 ... */
function add(bucket: TimerBucket, from: number, to: number): void {
  for (let i = from; i < to; i++) bucket.add(START + i, 10 * (i + 1), body(i & 255), 0, 64);
}

function due(bucket: TimerBucket): number[] {
  const into = new Uint32Array(1_000);
  return [...into.subarray(0, bucket.wheel?.takeDue(600_000, into, 1_000))];
}

/** First byte of each of these messages as they are in the file. */
function firstBytes(bucket: TimerBucket, ordinals: number[]): number[] {
  const { bytes, places } = bucket.read(ordinals);
  return [...places].map((place) => bytes[place]);
}

test('files are called by the begin of their bucket, and no other file is taken for one', () => {
  expect(bucketOfFile(bucketOn(new MemoryDisk()).name)).toBe(START);
  for (const name of ['coordinator.journal', 'timers-.log', 'timers-12.log.tmp', 'xtimers-12.log']) {
    expect(bucketOfFile(name)).toBeUndefined();
  }
});

test('a chunk says by its index what is in it, and a changed byte of the index is noticed', () => {
  const pending = new PendingChunk();
  for (let i = 0; i < 40; i++) pending.add(i * 3, 2 ** 32 + i, body(i, 8 * (i + 1)), 0, 8 * (i + 1));
  const chunk = pending.encode(7);
  const length = ChunkIndex.bytesOf(chunk);
  const index = new ChunkIndex();
  expect(index.open(chunk.subarray(0, length))).toBe(true);
  expect([index.count, index.ordinal, index.length]).toEqual([40, 7, chunk.length]);
  for (let i = 0; i < 40; i++) {
    expect([index.slot(i), index.offset(i), index.bodyLength(i)]).toEqual([i * 3, i, 8 * (i + 1)]);
    expect(chunk[index.place(i)]).toBe(i);
  }
  for (let at = 0; at < length; at++) {
    const changed = chunk.slice();
    changed[at] ^= 4;
    const bytes = ChunkIndex.bytesOf(changed);
    const taken = bytes > 0 && bytes <= changed.length && new ChunkIndex().open(changed.subarray(0, bytes));
    // Length of the chunk: the next one is looked for elsewhere, and not found there.
    if (at < 4 || at >= 8) expect(taken, `byte ${at}`).toBe(false);
  }
});

test('what is added before, while and after a bucket is loaded is found at its place', () => {
  const bucket = bucketOn(new MemoryDisk());
  for (let i = 0; i < 30; i += 3) {
    add(bucket, i, i + 3);
    bucket.write();
  }
  expect(bucket.load(4)).toBe(false);
  add(bucket, 30, 35);
  bucket.write();
  expect(bucket.load(100)).toBe(true);
  add(bucket, 35, 40);
  bucket.write();
  const all = Array.from({ length: 40 }, (_, i) => i);
  expect(due(bucket)).toEqual(all);
  expect(firstBytes(bucket, all)).toEqual(all);
  expect(firstBytes(bucket, [39, 3, 20])).toEqual([39, 3, 20]);
  expect(all.map((i) => bucket.find(10 * (i + 1)))).toEqual(all);
});

test('T1: messages that are read again are left out', () => {
  const bucket = bucketOn(new MemoryDisk());
  add(bucket, 0, 5);
  add(bucket, 2, 8);
  expect(bucket.total).toBe(8);
});

test('a message is found in a file that is not loaded, and files are not left open', () => {
  const disk = new MemoryDisk();
  const bucket = bucketOn(disk);
  add(bucket, 0, 3);
  bucket.write();
  add(bucket, 3, 6);
  expect([bucket.find(10), bucket.find(60), bucket.find(15), bucket.find(70)]).toEqual([0, 5, -1, -1]);
  expect(bucket.wheel).toBeUndefined();
});

test('what is looked for again is found without the file, and so is what has come to it', () => {
  const disk = new MemoryDisk();
  let opened = 0;
  const { open } = disk;
  disk.open = (...how) => {
    opened++;
    return open.apply(disk, how);
  };
  const bucket = bucketOn(disk);
  add(bucket, 0, 3);
  bucket.write();
  opened = 0;
  expect([bucket.find(30), bucket.find(10), bucket.find(20), opened]).toEqual([2, 0, 1, 1]);
  add(bucket, 3, 6);
  expect([bucket.find(60), opened]).toEqual([5, 1]);
  bucket.write();
  opened = 0;
  expect([bucket.find(60), bucket.find(40), bucket.find(30), opened]).toEqual([5, 3, 2, 1]);
  bucket.forgetOffsets();
  expect([bucket.find(50), opened]).toEqual([4, 2]);
});

test('T2: a successor goes on where the file is safe, and gives messages that come again the same numbers', () => {
  const disk = new FaultDisk();
  const bucket = bucketOn(disk);
  add(bucket, 0, 4);
  const safe = bucket.sync();
  disk.syncFolder();
  add(bucket, 4, 8);
  bucket.write();
  for (const left of [disk.killed(), disk.crash(1), disk.crash(2), disk.crash(3)]) {
    const next = bucketOn(left);
    next.safe = safe;
    expect(next.reopen(true)).toBe(true);
    expect([next.length, next.total]).toEqual([safe.length, 4]);
    add(next, 2, 8);
    next.write();
    next.over.addPairs([0, 2]);
    while (!next.load(1));
    expect(due(next)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(firstBytes(next, [3, 4, 7])).toEqual([3, 4, 7]);
  }
});

test('a file that is shorter than it should be is said to be so', () => {
  const disk = new MemoryDisk();
  const bucket = bucketOn(disk);
  bucket.safe = { length: 1_000, count: 1, offset: 10 };
  expect(bucket.reopen(false)).toBe(false);
  disk.open(bucket.name, 'write').write(new Uint8Array(999), 0);
  expect(bucket.reopen(true)).toBe(false);
  disk.open(bucket.name, 'write').write(new Uint8Array(1), 999);
  expect(bucket.reopen(true)).toBe(true);
});

test('damage loses what cannot be found, says how much, and nothing that comes after it', () => {
  const disk = new FaultDisk();
  const warnings: string[] = [];
  const bucket = bucketOn(disk, warnings);
  add(bucket, 0, 3);
  bucket.write();
  const at = bucket.length;
  add(bucket, 3, 8);
  bucket.write();
  disk.flip(bucket.name, at + 40, 1);
  while (!bucket.load(10));
  expect(warnings).toEqual([expect.stringMatching(/damaged at byte \d+: 5 of its scheduled messages/)]);
  add(bucket, 8, 10);
  bucket.write();
  expect(due(bucket)).toEqual([0, 1, 2, 8, 9]);
  expect(firstBytes(bucket, [8, 9])).toEqual([8, 9]);
});

test('a write that fails is made again, a sync that fails is final', () => {
  const disk = new FaultDisk();
  const bucket = bucketOn(disk);
  add(bucket, 0, 3);
  disk.plan = { at: 2, code: 'ENOSPC' };
  expect(() => bucket.write()).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
  bucket.write();
  disk.plan = { at: 1, code: 'EIO' };
  disk.calls = 0;
  expect(() => bucket.sync()).toThrow(expect.objectContaining({ code: 'store-failed' }));
  disk.plan = undefined;
  while (!bucket.load(10));
  expect(due(bucket)).toEqual([0, 1, 2]);
});
