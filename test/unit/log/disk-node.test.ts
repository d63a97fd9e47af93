import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { alignedBytes, NodeDisk, probeDisk, readAll, type Transfer, writeAll } from '../../../src/log/disk-node.ts';

let folder = '';

const FENCE_BYTES = 32 * 1024 * 1024;
/**
 * Begins a write that takes a while, and dies in the midst of it: not before, for one that waits for a pool thread
 * would be called off.
 */
const DYING = `
const { parentPort, workerData: { name, how, bytes } } = require('node:worker_threads');
const fs = require('node:fs');
const { O_RDWR, O_CREAT, O_DSYNC } = fs.constants;
const file = fs.openSync(name, O_RDWR | O_CREAT | O_DSYNC);
fs.write(file, new Uint8Array(bytes).fill(7), 0, bytes, 0, () => {});
while (fs.fstatSync(file).size === 0);
parentPort.postMessage('begun');
setTimeout(() => {
  if (how === 'exit') process.exit(1);
  if (how === 'throw') throw new Error('dies');
}, 1);
`;

function openForWriting(name: string): number {
  return fs.openSync(path.join(folder, name), 'r+');
}

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-disk-'));
});

afterAll(() => fs.rmSync(folder, { recursive: true }));

test('files are written, read, cut and listed', () => {
  const disk = new NodeDisk(path.join(folder, 'made', 'here'));
  const file = disk.open('a', 'write');
  file.write(new Uint8Array([1, 2, 3]), 5);
  file.sync();
  expect(file.size()).toBe(8);
  const bytes = new Uint8Array(10);
  expect(file.read(bytes, 4)).toBe(4);
  expect([...bytes.subarray(0, 5)]).toEqual([0, 1, 2, 3, 0]);
  file.truncate(6);
  expect(file.size()).toBe(6);
  file.close();
  expect(disk.exists('a')).toBe(true);
  disk.rename('a', 'b');
  disk.open('c', 'write').close();
  disk.syncFolder();
  expect(disk.list()).toEqual(['b', 'c']);
  disk.move('b', 'below');
  expect(disk.list()).toEqual(['c']);
  expect(disk.list('below')).toEqual(['b']);
  expect(disk.list('nowhere')).toEqual([]);
  disk.remove('c');
  expect(disk.list()).toEqual([]);
});

test('errors are those of the system, with their codes', () => {
  const disk = new NodeDisk(folder);
  expect(() => disk.open('none', 'read')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  expect(() => disk.remove('none')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  expect(() => disk.rename('none', 'b')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  const file = disk.open('read-only', 'write');
  file.close();
  const reading = disk.open('read-only', 'read');
  expect(() => reading.write(new Uint8Array(1), 0)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  reading.close();
});

test('the free space is not more than there is, and as df counts it', () => {
  const { freeBytes, totalBytes } = new NodeDisk(folder).space();
  const { bavail, bfree, blocks, bsize } = fs.statfsSync(folder);
  expect(totalBytes).toBe((blocks - bfree + bavail) * bsize);
  expect(freeBytes).toBeGreaterThan(0);
  expect(freeBytes).toBeLessThan(totalBytes);
});

describe('direct access', () => {
  test('the probe says how a folder can be written, and leaves nothing behind', () => {
    const below = path.join(folder, 'probed');
    const { mode, reason } = probeDisk(below);
    expect(fs.readdirSync(below)).toEqual([]);
    expect(['direct', 'buffered']).toContain(mode);
    expect(reason).toMatch(mode === 'direct' ? /takes direct writes/ : /do not work here/);
  });

  test('what the probe calls direct works for blocks, and aligned memory of any length can be had', () => {
    if (probeDisk(folder).mode !== 'direct') return;
    const disk = new NodeDisk(folder);
    const file = disk.open('direct', 'write-direct');
    for (const lengthBytes of [4096, 12_288, 2 * 1024 * 1024]) {
      const bytes = alignedBytes(lengthBytes).fill(lengthBytes / 4096);
      expect(bytes.length).toBe(lengthBytes);
      file.write(bytes, 4096);
      const reading = disk.open('direct', 'read-direct');
      const back = alignedBytes(lengthBytes + 4096);
      expect(reading.read(back, 4096)).toBe(lengthBytes);
      expect(Buffer.compare(back.subarray(0, lengthBytes), bytes)).toBe(0);
      reading.close();
    }
    file.truncate(4096 + 100);
    const tail = alignedBytes(8192);
    expect(file.read(tail, 4096)).toBe(100);
    file.close();
  });
});

describe('a write beside the thread', () => {
  test('ends with what was written, or with the error that write() would have thrown', async () => {
    const disk = new NodeDisk(folder);
    const file = disk.open('beside', 'write');
    const write = file.begin?.(new Uint8Array([4, 5, 6]), 2);
    expect(write).toMatchObject({ ended: false, error: undefined });
    await write?.end;
    expect(write).toMatchObject({ ended: true, error: undefined });
    const bytes = new Uint8Array(9);
    expect(file.read(bytes, 0)).toBe(5);
    expect([...bytes.subarray(0, 5)]).toEqual([0, 0, 4, 5, 6]);
    file.close();
    const reading = disk.open('beside', 'read');
    const refused = reading.begin?.(new Uint8Array(1), 0);
    await refused?.end;
    expect(refused).toMatchObject({ ended: true, error: { code: 'EBADF' } });
    reading.close();
  });

  test('what an interrupted or a short call left over is written all the same', async () => {
    const file = new NodeDisk(folder).open('short', 'write');
    const calls: ((error: Error | null, count: number) => void)[] = [];
    const write = vi.spyOn(fs, 'write').mockImplementation(((...args: unknown[]) => {
      calls.push(args[5] as (typeof calls)[0]);
    }) as never);
    const first = file.begin?.(new Uint8Array([1, 2, 3, 4]), 0);
    const second = file.begin?.(new Uint8Array([5, 6]), 4);
    write.mockRestore();
    fs.writeSync(openForWriting('short'), new Uint8Array([1]), 0, 1, 0);
    calls[0](null, 1);
    calls[1](Object.assign(new Error('EINTR'), { code: 'EINTR' }), 0);
    await Promise.all([first?.end, second?.end]);
    expect([first?.error, second?.error]).toEqual([undefined, undefined]);
    const bytes = new Uint8Array(6);
    file.read(bytes, 0);
    expect([...bytes]).toEqual([1, 2, 3, 4, 5, 6]);
    file.close();
  });

  // Whoever takes over from a dead thread writes at the same place of the same file.
  test.each(['terminate', 'exit', 'throw'])('a thread that dies (%s) has not ended before it has', async (how) => {
    const name = path.join(folder, `fence-${how}`);
    const worker = new Worker(DYING, { eval: true, workerData: { name, how, bytes: FENCE_BYTES } });
    worker.on('error', () => {});
    const ended = new Promise((resolve) => worker.on('exit', resolve));
    await new Promise((resolve) => worker.on('message', resolve));
    if (how === 'terminate') void worker.terminate();
    await ended;
    const bytes = fs.readFileSync(name);
    expect(bytes.length).toBe(FENCE_BYTES);
    expect(bytes.every((byte) => byte === 7)).toBe(true);
  });
});

describe('short transfers', () => {
  const file = new Uint8Array(1000).map((_, i) => i);
  /** Transfers at most `most` bytes at a time and fails every second call as told. */
  function reluctant(most: number, code: string | undefined, move: Transfer): Transfer {
    let calls = 0;
    return (bytes, at, length, position) => {
      if (code !== undefined && calls++ % 2 === 0) throw Object.assign(new Error(code), { code });
      return move(bytes, at, Math.min(length, most), position);
    };
  }
  const read: Transfer = (bytes, at, length, position) => {
    const part = file.subarray(position, position + length);
    bytes.set(part, at);
    return part.length;
  };

  test.each([undefined, 'EINTR', 'EAGAIN'])('a read goes on after short reads and %s', (code) => {
    const bytes = new Uint8Array(300);
    expect(readAll(reluctant(7, code, read), bytes, 100, 1)).toBe(300);
    expect(bytes).toEqual(file.slice(100, 400));
    expect(readAll(reluctant(7, code, read), bytes, 900, 1)).toBe(100);
  });

  test.each([undefined, 'EINTR', 'EAGAIN'])('a write goes on after short writes and %s', (code) => {
    const target = new Uint8Array(1000);
    const write: Transfer = (bytes, at, length, position) => {
      target.set(bytes.subarray(at, at + length), position);
      return length;
    };
    writeAll(reluctant(7, code, write), file, 0, 1);
    expect(target).toEqual(file);
  });

  test('a direct write begins again at the sector where a short one ended', () => {
    const places: number[] = [];
    const write: Transfer = (_, at, length) => {
      places.push(at);
      return Math.min(length, 6000);
    };
    writeAll(write, new Uint8Array(16_384), 0, 4096);
    expect(places).toEqual([0, 4096, 8192, 12_288]);
  });

  test('what never comes to an end is an error', () => {
    const never: Transfer = () => {
      throw Object.assign(new Error('again'), { code: 'EAGAIN' });
    };
    expect(() => writeAll(never, new Uint8Array(10), 0, 1)).toThrow('again');
    expect(() => readAll(never, new Uint8Array(10), 0, 1)).toThrow('again');
    expect(() => writeAll(() => 0, new Uint8Array(10), 0, 1)).toThrow('takes nothing');
    const broken: Transfer = () => {
      throw Object.assign(new Error('broken'), { code: 'EIO' });
    };
    expect(() => readAll(broken, new Uint8Array(10), 0, 1)).toThrow('broken');
  });
});
