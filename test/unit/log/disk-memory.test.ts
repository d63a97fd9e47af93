import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';

test('files are written, read, cut and listed', () => {
  const disk = new MemoryDisk();
  const file = disk.open('a', 'write');
  file.write(new Uint8Array([1, 2, 3]), 5);
  file.sync();
  expect(file.size()).toBe(8);
  const bytes = new Uint8Array(10);
  expect(file.read(bytes, 4)).toBe(4);
  expect([...bytes.subarray(0, 5)]).toEqual([0, 1, 2, 3, 0]);
  file.truncate(6);
  expect(disk.lengthOf('a')).toBe(6);
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

test('errors are those of a real disk, with their codes', () => {
  const disk = new MemoryDisk();
  const code = (value: string) => expect.objectContaining({ code: value });
  expect(() => disk.open('none', 'read')).toThrow(code('ENOENT'));
  expect(() => disk.remove('none')).toThrow(code('ENOENT'));
  expect(() => disk.rename('none', 'b')).toThrow(code('ENOENT'));
  expect(() => disk.lengthOf('none')).toThrow(code('ENOENT'));
  expect(() => disk.open('direct', 'write-direct')).toThrow(code('EINVAL'));
  disk.open('a', 'write').close();
  const reading = disk.open('a', 'read');
  expect(() => reading.write(new Uint8Array(1), 0)).toThrow(code('EBADF'));
  expect(() => reading.truncate(0)).toThrow(code('EBADF'));
  reading.close();
  expect(() => reading.read(new Uint8Array(1), 0)).toThrow(code('EBADF'));
});

test('writes and cuts at any places, pages passed too, read back as from one array', () => {
  const place = fc.oneof(fc.nat(200), fc.integer({ min: 1_048_500, max: 1_048_650 }));
  const step = fc.oneof(
    fc.record({ at: place, bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }) }),
    fc.record({ length: place }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const file = new MemoryDisk().open('a', 'write');
      let model = new Uint8Array(0);
      const resize = (length: number): void => {
        const next = new Uint8Array(length);
        next.set(model.subarray(0, length));
        model = next;
      };
      for (const one of steps) {
        if ('bytes' in one) {
          if (one.at + one.bytes.length > model.length) resize(one.at + one.bytes.length);
          model.set(one.bytes, one.at);
          file.write(one.bytes, one.at);
        } else {
          resize(one.length);
          file.truncate(one.length);
        }
        expect(file.size()).toBe(model.length);
        const back = new Uint8Array(model.length + 3);
        expect(file.read(back, 0)).toBe(model.length);
        expect(Buffer.compare(back.subarray(0, model.length), model)).toBe(0);
      }
    }),
    { numRuns: 60 },
  );
});

test('space is what is left of a generous whole', () => {
  const disk = new MemoryDisk();
  disk.open('a', 'write').write(new Uint8Array(100_000), 0);
  const { freeBytes, totalBytes } = disk.space();
  expect(totalBytes - freeBytes).toBeGreaterThanOrEqual(100_000);
  expect(totalBytes - freeBytes).toBeLessThan(300_000);
});
