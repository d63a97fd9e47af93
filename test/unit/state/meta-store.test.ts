import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { encodeRecord } from '../../../src/state/journal.ts';
import type { MetaChanges, MetaStore, StoredTopic } from '../../../src/state/meta.ts';
import { MemoryMetaStore } from '../../../src/state/meta.ts';
import { openMetaStore, openMetaStoreOn } from '../../../src/state/meta-store.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

const NAME = 'meta.journal';
const folders: string[] = [];

function temporary(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-meta-'));
  folders.push(folder);
  return folder;
}

afterAll(() => {
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});

function topic(topicId: number, more: Partial<StoredTopic> = {}): StoredTopic {
  const partitions = [{ id: topicId, number: 0, permission: 6, epochs: [{ epoch: topicId + 100, offset: 5 }] }];
  const settings = { overflow: 'block', ringBytes: 65_536, direct: false, durable: true } as const;
  return { topic: `t${topicId}`, topicId, ...settings, retentionMs: 0, retentionBytes: 0, partitions, ...more };
}

function offsets(topicId: number, group: string, offset: number) {
  return { topicId, group, positions: [{ partition: 0, epoch: 1, offset }] };
}

/** All that a store knows, to be compared. */
function contents(store: MetaStore, groups: readonly string[] = ['g', 'h']): object {
  const topics = [...store.topics()].sort((a, b) => a.topicId - b.topicId);
  const ids = Array.from({ length: 30 }, (_, id) => id);
  return {
    generation: store.generation,
    nextTopicId: store.nextTopicId,
    count: store.offsetCount,
    topics,
    offsets: ids.flatMap((id) => groups.map((group) => store.offsets(id, group))),
    marks: ids.map((id) => store.marks(id)),
  };
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (!(error instanceof RingmqError)) throw error;
    return error.code;
  }
  return 'none';
}

/** What a life of a store consists of: one step a transaction. */
const STEPS: readonly MetaChanges[] = [
  { topics: [topic(1), topic(2)], nextTopicId: 3 },
  { offsets: [offsets(1, 'g', 7), offsets(2, 'g', 8)] },
  { topics: [topic(3, { durable: false, direct: true, partitions: [] })], nextTopicId: 4 },
  { marks: [{ topicId: 1, nextOffsets: [9, 10] }] },
  { offsets: [offsets(1, 'g', 5), offsets(1, 'h', 6)] },
  { deleted: [2] },
  { topics: [topic(1, { retentionMs: 60_000 })] },
];

/** `STEPS` up to and without `count`, in memory. */
function model(count: number, generation: number): object {
  const memory = new MemoryMetaStore();
  for (const step of STEPS.slice(0, count)) memory.commit(step);
  memory.generation = generation;
  return contents(memory);
}

describe('a store on the disk', () => {
  test('is empty when it is new, and knows everything when it is opened again', () => {
    const folder = path.join(temporary(), 'state', 'meta');
    let store = openMetaStore(folder);
    expect([store.topics(), store.nextTopicId, store.generation]).toEqual([[], 1, 0]);
    expect(store.nextGeneration()).toBe(1);
    for (const [i, step] of STEPS.entries()) {
      store.commit(step);
      expect(contents(store)).toEqual(model(i + 1, 1));
    }
    store.close();
    store = openMetaStore(folder);
    expect(contents(store)).toEqual(model(STEPS.length, 1));
    expect(store.nextGeneration()).toBe(2);
    store.close();
    expect(codeOf(() => store.commit({}))).toBe('closed');
  });

  test('takes a deleted topic and what belongs to it, also what the same transaction brings', () => {
    const store = openMetaStoreOn(new FaultDisk());
    store.commit({ topics: [topic(1)], offsets: [offsets(1, 'g', 1)], marks: [{ topicId: 1, nextOffsets: [3] }] });
    store.commit({ deleted: [1], offsets: [offsets(1, 'h', 2)] });
    expect([store.topics(), store.offsets(1, 'g'), store.offsets(1, 'h')]).toEqual([[], undefined, undefined]);
    expect([store.marks(1), store.offsetCount]).toEqual([undefined, 0]);
  });

  test('is written anew when its journal is long, and loses nothing by it', () => {
    const disk = new FaultDisk();
    const store = openMetaStoreOn(disk, 2_000);
    for (let i = 0; i < 500; i++) store.commit({ offsets: [offsets(1, 'g', i)] });
    expect(disk.bytesOf(NAME).length).toBeLessThan(3_000);
    store.close();
    expect(disk.list()).toEqual([NAME]);
    expect(openMetaStoreOn(disk).offsets(1, 'g')?.positions[0].offset).toBe(499);
  });

  test('of another format is not touched', () => {
    const later = encodeRecord(1, { format: 2, generation: 1, everything: 'else' });
    expect(codeOf(() => openMetaStoreOn(diskWith(later)))).toBe('data-unknown');
    const folder = temporary();
    fs.writeFileSync(path.join(folder, 'meta.journal'), '');
    expect(codeOf(() => openMetaStore(folder))).toBe('state-corrupt');
    expect(() => openMetaStore(folder)).toThrow(/Nothing was changed.*lost\.<id>/s);
  });

  test('that cannot be opened says so', () => {
    const file = path.join(temporary(), 'file');
    fs.writeFileSync(file, '');
    expect(codeOf(() => openMetaStore(file))).toBe('store-failed');
  });
});

/** A disk that has this journal for good. */
function diskWith(bytes: Uint8Array): FaultDisk {
  const disk = new FaultDisk();
  const file = disk.open(NAME, 'write');
  file.write(bytes, 0);
  file.sync();
  file.close();
  disk.syncFolder();
  return disk;
}

/** Commits the steps until one fails; returns how many did not. */
function live(disk: FaultDisk, tailBytes = 1_000_000): { done: number; generation: number; codes: string[] } {
  const codes: string[] = [];
  let store: MetaStore;
  try {
    store = openMetaStoreOn(disk, tailBytes);
  } catch (error) {
    return { done: -1, generation: 0, codes: [(error as RingmqError).code] };
  }
  let generation = 0;
  const started = codeOf(() => {
    generation = store.nextGeneration();
  });
  if (started !== 'none') return { done: 0, generation: 0, codes: [started] };
  for (const [i, step] of STEPS.entries()) {
    const code = codeOf(() => store.commit(step));
    if (code === 'none') continue;
    expect(contents(store), 'a commit that failed changes nothing').toEqual(model(i, generation));
    return { done: i, generation, codes: [code] };
  }
  return { done: STEPS.length, generation, codes };
}

describe('S1: what was committed is there', () => {
  test('after every loss of power', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const disk = new FaultDisk();
      const { done } = live(disk, seed % 2 === 0 ? 300 : 1_000_000);
      expect(done).toBe(STEPS.length);
      const store = openMetaStoreOn(disk.crash(seed));
      expect(contents(store), `seed ${seed}`).toEqual(model(done, 1));
    }
  });

  test.each(['ENOSPC', 'EIO'] as const)('after %s on the n-th call, for every n, once and for good', (code) => {
    for (const forever of [false, true]) {
      let fired = true;
      for (let n = 1; fired; n++) {
        expect(n).toBeLessThan(200);
        const disk = new FaultDisk();
        disk.plan = { at: n, code, forever };
        const { done, generation, codes } = live(disk, 400);
        fired = disk.faults > 0;
        for (const one of codes) expect(['disk-full', 'store-failed']).toContain(one);
        if (!fired) expect(done).toBe(STEPS.length);
        for (const after of [disk.killed(), disk.crash(n)]) {
          after.plan = undefined;
          if (done < 0 && !after.exists(NAME)) continue;
          const store = openMetaStoreOn(after);
          // A commit that was refused because the disk failed may be there or not: nobody was told that it is.
          const possible = [model(Math.max(done, 0), generation), model(Math.max(done, 0) + 1, generation)];
          if (done <= 0) possible.push(model(0, 0), model(0, 1));
          expect(possible, `${code} at call ${n}`).toContainEqual(contents(store));
        }
      }
    }
  });

  test('a full disk refuses, and takes the same change once there is room', () => {
    const disk = new FaultDisk();
    const store = openMetaStoreOn(disk);
    store.commit(STEPS[0]);
    disk.calls = 0;
    disk.plan = { at: 1, code: 'ENOSPC' };
    expect(codeOf(() => store.commit(STEPS[1]))).toBe('disk-full');
    disk.plan = undefined;
    store.commit(STEPS[1]);
    expect(contents(openMetaStoreOn(disk.crash(1)))).toEqual(model(2, 0));
  });

  test('after a failed disk nothing more is written', () => {
    const disk = new FaultDisk();
    const store = openMetaStoreOn(disk);
    disk.calls = 0;
    disk.plan = { at: 1, code: 'EIO' };
    expect(codeOf(() => store.commit(STEPS[0]))).toBe('store-failed');
    disk.plan = undefined;
    const written = disk.history.length;
    expect(codeOf(() => store.commit(STEPS[0]))).toBe('store-failed');
    store.close();
    expect(disk.history.slice(written).filter((one) => one.startsWith('write'))).toEqual([]);
  });
});

test('without a file left to open a new journal waits, and then goes on', () => {
  const disk = new FaultDisk();
  const store = openMetaStoreOn(disk, 200);
  const syncFolder = disk.syncFolder.bind(disk);
  let refusals = 0;
  disk.syncFolder = () => {
    if (refusals-- > 0) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    syncFolder();
  };
  let refused = 0;
  for (let id = 1; id <= 30; id++) {
    if (id % 5 === 0) refusals = 3;
    const kept = codeOf(() => store.commit({ topics: [topic(id)], nextTopicId: id + 1 }));
    if (kept === 'none') continue;
    expect(kept).toBe('store-failed');
    refused++;
    id--;
  }
  expect(refused).toBeGreaterThan(0);
  expect(openMetaStoreOn(disk.crash(1)).topics()).toHaveLength(30);
});

test('record numbers begin again after the largest one', () => {
  const disk = new FaultDisk();
  openMetaStoreOn(disk).close();
  const memory = new MemoryMetaStore();
  const file = disk.open(NAME, 'write');
  file.truncate(0);
  file.write(encodeRecord(0xffff_fffe, { format: 1, ...memory.everything() }), 0);
  file.sync();
  file.close();
  for (let life = 1; life <= 3; life++) {
    const store = openMetaStoreOn(disk);
    expect(store.generation).toBe(life - 1);
    store.commit({ topics: [topic(life)], nextTopicId: life + 1 });
    expect(store.nextGeneration()).toBe(life);
    expect(store.topics()).toHaveLength(life);
    store.close();
  }
  // What is bad and has newer records behind it is damaged, on either side of the turn.
  disk.bytesOf(NAME)[60] ^= 1;
  expect(codeOf(() => openMetaStoreOn(disk))).toBe('state-corrupt');
});

describe('S2: damage', () => {
  const disk = new FaultDisk();
  live(disk);
  const good = Buffer.from(disk.bytesOf(NAME));
  const [last, before] = [model(STEPS.length, 1), model(STEPS.length - 1, 1)];

  /** Opens the bytes: `state-corrupt`, or contents. */
  function opened(bytes: Uint8Array): object | string {
    const damaged = diskWith(bytes);
    const saved = Buffer.from(damaged.bytesOf(NAME));
    try {
      return contents(openMetaStoreOn(damaged));
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      expect(saved.equals(damaged.bytesOf(NAME)), 'nothing was changed').toBe(true);
      return error.code;
    }
  }

  const lastRecord = good.lastIndexOf('rmst');

  test('a torn write at every byte ends the journal before it, and nowhere else', () => {
    for (let length = lastRecord; length < good.length; length++) {
      expect(opened(good.subarray(0, length))).toEqual(before);
    }
    expect(opened(good)).toEqual(last);
    expect(opened(Buffer.concat([good, Buffer.alloc(300)]))).toEqual(last);
  });

  test('every flipped bit is told, or is in the last record and taken for a torn write', () => {
    for (let at = 0; at < good.length; at++) {
      const bytes = Buffer.from(good);
      bytes[at] ^= 1 << (at % 8);
      const found = opened(bytes);
      if (at < lastRecord) expect(found, `byte ${at}`).toBe('state-corrupt');
      else if (found !== 'state-corrupt') expect(found, `byte ${at}`).toEqual(before);
    }
  });

  test('after an orderly stop every flipped bit is told, or harmless', () => {
    const stopped = new FaultDisk();
    const store = openMetaStoreOn(stopped);
    store.nextGeneration();
    for (const step of STEPS) store.commit(step);
    store.close();
    const sealed = Buffer.from(stopped.bytesOf(NAME));
    for (let at = 0; at < sealed.length; at++) {
      const bytes = Buffer.from(sealed);
      bytes[at] ^= 1 << (at % 8);
      const found = opened(bytes);
      if (found !== 'state-corrupt') expect(found, `byte ${at}`).toEqual(last);
    }
  });

  test('records that are missing, doubled, swapped or zeroed are told', () => {
    const places: number[] = [];
    for (let at = good.indexOf('rmst'); at >= 0; at = good.indexOf('rmst', at + 1)) places.push(at);
    const record = (i: number): Buffer => good.subarray(places[i], places[i + 1] ?? good.length);
    const all = places.map((_, i) => record(i));
    for (let i = 0; i < all.length - 1; i++) {
      expect(opened(Buffer.concat(all.filter((_, j) => j !== i))), `without ${i}`).toBe('state-corrupt');
      expect(opened(Buffer.concat(all.flatMap((one, j) => (j === i ? [one, one] : [one])))), `twice ${i}`).toBe(
        'state-corrupt',
      );
      const zeroed = all.map((one, j) => (j === i ? Buffer.alloc(one.length) : one));
      expect(opened(Buffer.concat(zeroed)), `zeros at ${i}`).toBe('state-corrupt');
    }
  });

  test('random bytes are told, or end the journal where they begin', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(good.length), (noise, at) => {
        const found = opened(Buffer.concat([good.subarray(0, at), noise]));
        const possible: unknown[] = ['state-corrupt'];
        for (let count = 0; count <= STEPS.length; count++) possible.push(model(count, 1), model(count, 0));
        expect(possible).toContainEqual(found);
      }),
      { numRuns: 500 },
    );
  });
});
