import { describe, expect, test } from 'vitest';
import { alignedBytes } from '../../../src/log/disk-node.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

const SECTOR = 4096;

function filled(lengthBytes: number, value: number): Uint8Array<ArrayBuffer> {
  return alignedBytes(lengthBytes).fill(value);
}

/** A disk with a file of two synced sectors of ones, under a synced name. */
function diskWithFile(): FaultDisk {
  const disk = new FaultDisk();
  const file = disk.open('a', 'write');
  file.write(filled(2 * SECTOR, 1), 0);
  file.sync();
  disk.syncFolder();
  return disk;
}

function outcomes<T>(make: () => FaultDisk, look: (disk: FaultDisk) => T): Set<T> {
  const seen = new Set<T>();
  for (let seed = 0; seed < 300; seed++) seen.add(look(make().crash(seed)));
  return seen;
}

const firstBytes = (disk: FaultDisk) => `${disk.bytesOf('a')[0]}${disk.bytesOf('a')[SECTOR]}`;

describe('a loss of power', () => {
  test('keeps what was synced', () => {
    expect(outcomes(diskWithFile, firstBytes)).toEqual(new Set(['11']));
  });

  test('keeps, drops and reorders what was not, sector by sector', () => {
    const make = () => {
      const disk = diskWithFile();
      disk.open('a', 'write').write(filled(2 * SECTOR, 2), 0);
      return disk;
    };
    expect(outcomes(make, firstBytes)).toEqual(new Set(['11', '12', '21', '22']));
  });

  test('keeps what was written directly, whatever was pending there', () => {
    const make = () => {
      const disk = diskWithFile();
      disk.open('a', 'write').write(filled(2 * SECTOR, 2), 0);
      disk.open('a', 'write-direct').write(filled(SECTOR, 3), 0);
      return disk;
    };
    expect(outcomes(make, firstBytes)).toEqual(new Set(['31', '32']));
  });

  test('may undo names that were not synced, each for itself', () => {
    const make = () => {
      const disk = diskWithFile();
      disk.open('b', 'write').sync();
      disk.rename('a', 'c');
      return disk;
    };
    const seen = outcomes(make, (disk) => disk.list().join(' '));
    expect(seen).toEqual(new Set(['a', 'a b', 'c', 'b c']));
  });

  test('may undo a removal and a length', () => {
    const removed = () => {
      const disk = diskWithFile();
      disk.remove('a');
      return disk;
    };
    expect(outcomes(removed, (disk) => disk.list().join())).toEqual(new Set(['', 'a']));
    const longer = () => {
      const disk = diskWithFile();
      disk.open('a', 'write').truncate(5 * SECTOR);
      return disk;
    };
    expect(outcomes(longer, (disk) => disk.bytesOf('a').length)).toEqual(new Set([2 * SECTOR, 5 * SECTOR]));
  });

  test('is the same for the same seed', () => {
    const disk = diskWithFile();
    disk.open('a', 'write').write(filled(2 * SECTOR, 2), 0);
    for (let seed = 0; seed < 20; seed++) expect(firstBytes(disk.crash(seed))).toBe(firstBytes(disk.crash(seed)));
  });
});

test('kill -9 keeps all writes and names, and they are still not durable', () => {
  const disk = diskWithFile();
  disk.open('a', 'write').write(filled(2 * SECTOR, 2), 0);
  disk.rename('a', 'b');
  const killed = disk.killed();
  expect(killed.list()).toEqual(['b']);
  expect(killed.bytesOf('b')[0]).toBe(2);
  expect(
    outcomes(
      () => killed,
      (left) => left.list().join(),
    ),
  ).toEqual(new Set(['a', 'b']));
  disk.open('b', 'write').write(filled(SECTOR, 9), 0);
  expect(killed.bytesOf('b')[0]).toBe(2);
});

describe('faults', () => {
  test('the n-th call fails, once or for good', () => {
    const disk = diskWithFile();
    const file = disk.open('a', 'write');
    disk.plan = { at: 2, code: 'EIO' };
    file.write(filled(SECTOR, 2), 0);
    expect(() => file.write(filled(SECTOR, 3), 0)).toThrow('EIO');
    file.write(filled(SECTOR, 4), 0);
    expect(disk.faults).toBe(1);
    disk.calls = 0;
    disk.plan = { at: 1, code: 'EIO', forever: true };
    expect(() => file.write(filled(SECTOR, 5), 0)).toThrow('EIO');
    expect(() => disk.syncFolder()).toThrow('EIO');
    expect(() => file.read(filled(SECTOR, 5), 0)).toThrow('EIO');
  });

  test('a full disk does not keep from reading and removing', () => {
    const disk = diskWithFile();
    disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    expect(() => disk.open('new', 'write')).toThrow('ENOSPC');
    expect(disk.open('a', 'read').read(filled(SECTOR, 0), 0)).toBe(SECTOR);
    disk.remove('a');
  });

  test('a write that fails has written a part of it', () => {
    const disk = diskWithFile();
    disk.plan = { at: 1, code: 'ENOSPC' };
    expect(() => disk.open('a', 'write-direct').write(filled(2 * SECTOR, 2), 0)).toThrow('ENOSPC');
    expect(firstBytes(disk)).toBe('21');
  });

  test('a sync that fails drops what was pending, for good, though it can still be read', () => {
    const make = () => {
      const disk = diskWithFile();
      const file = disk.open('a', 'write');
      file.write(filled(2 * SECTOR, 2), 0);
      disk.plan = { at: 1, code: 'EIO' };
      expect(() => file.sync()).toThrow('EIO');
      expect(firstBytes(disk)).toBe('22');
      return disk;
    };
    expect(outcomes(make, firstBytes)).toEqual(new Set(['11']));
  });
});

test('direct access takes aligned memory, places and lengths only, and may be refused as a whole', () => {
  const disk = diskWithFile();
  const file = disk.open('a', 'write-direct');
  expect(() => file.write(filled(SECTOR, 1), 512)).toThrow('EINVAL');
  expect(() => file.write(filled(SECTOR + 8, 1), 0)).toThrow('EINVAL');
  expect(() => file.write(alignedBytes(2 * SECTOR).subarray(8, SECTOR + 8), 0)).toThrow('EINVAL');
  disk.takesDirect = false;
  expect(() => disk.open('a', 'read-direct')).toThrow('EINVAL');
});

test('files and names behave as on a real disk', () => {
  const disk = diskWithFile();
  expect(() => disk.open('none', 'read')).toThrow('ENOENT');
  expect(() => disk.rename('none', 'b')).toThrow('ENOENT');
  expect(() => disk.remove('none')).toThrow('ENOENT');
  disk.move('a', 'below');
  expect(disk.list()).toEqual([]);
  expect(disk.list('below')).toEqual(['a']);
  const file = disk.open('b', 'write');
  file.write(new Uint8Array([1, 2, 3]), 5);
  expect(file.size()).toBe(8);
  const bytes = new Uint8Array(10);
  expect(file.read(bytes, 4)).toBe(4);
  expect([...bytes.subarray(0, 5)]).toEqual([0, 1, 2, 3, 0]);
  expect(() => disk.open('b', 'read').write(bytes, 0)).toThrow('EBADF');
  file.close();
  expect(() => file.close()).toThrow('EBADF');
});
