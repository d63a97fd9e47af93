import { afterEach, describe, expect, test } from 'vitest';
import { STORE_INDEXED_LOW } from '../../../native-layout/store.ts';
import { NodeDisk } from '../../../src/log/disk-node.ts';
import { storeNumber } from '../../../src/memory/store-state.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { KeyIndexReader } from '../../../src/state/key-index.ts';
import { ReaderRig } from './reader-rig.ts';

const rigs: ReaderRig[] = [];

function keyedRig(...args: ConstructorParameters<typeof ReaderRig>): ReaderRig {
  const rig = new ReaderRig(...args);
  rigs.push(rig);
  rig.table.activateDurable(1);
  rig.settle();
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

/** Publishes one message for each key; undefined: without one. */
function publish(rig: ReaderRig, keys: readonly (string | undefined)[]): void {
  const builder = new BatchBuilder(64 * 1024);
  for (const key of keys) builder.tryAdd(new Uint8Array(8), { key }, 1);
  builder.close({
    partition: 1,
    epoch: 1,
    request: 0,
    ack: 1,
    requestFlags: 1,
    producerId: 0,
    baseSequence: 0,
    checksum: false,
  });
  rig.publisher.send(builder);
  rig.append();
  expect(rig.answers()).toEqual([expect.stringMatching(/^0:ok@/)]);
}

/** Offsets of the messages that have a key. */
function found(rig: ReaderRig, key: string): number[] {
  const reader = new KeyIndexReader(rig.folder);
  try {
    return reader.find(1, key, 0, 1e12, 1_000).map((match) => match.offset);
  } finally {
    reader.close();
  }
}

/** Quiet turns until the index has everything. */
async function catchUp(rig: ReaderRig): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    rig.now += 100;
    rig.reader.work(rig.now);
    await rig.reader.pending;
  }
  expect(storeNumber(rig.regions.store, STORE_INDEXED_LOW)).toBe(rig.writer.end);
}

describe('key index', () => {
  test('it has the keys of what the store writes, however many in a run', async () => {
    const rig = keyedRig();
    publish(rig, ['a', undefined, 'b', 'a']);
    rig.settle();
    publish(rig, [undefined]);
    rig.settle();
    // More than one step of the index takes, and a run of many keys is cut in the middle.
    const many = Array.from({ length: 50 }, (_, i) => `many ${i % 2}`);
    for (let i = 0; i < 12; i++) {
      publish(rig, many);
      if (i % 3 === 2) rig.store.work(rig.now);
    }
    rig.settle();
    expect(rig.ends()).toEqual({ 1: 5 + 12 * 50 });
    await catchUp(rig);
    expect(found(rig, 'a')).toEqual([0, 3]);
    expect(found(rig, 'b')).toEqual([2]);
    expect(found(rig, 'many 1')).toHaveLength(12 * 25);
    expect(found(rig, 'c')).toEqual([]);
  });

  test('a successor goes on where the index is, with what only the file has', async () => {
    const rig = keyedRig({ segmentBytes: 256 * 1024 });
    publish(rig, ['first']);
    rig.settle();
    await catchUp(rig);
    for (let i = 0; i < 100; i++) {
      publish(rig, [`k${i}`, ...Array.from({ length: 60 }, () => undefined)]);
      rig.store.work(rig.now);
      // The lane is read, the index has no turn for it.
      if (i % 10 === 9) rig.reader.work(rig.now);
    }
    rig.settle();
    await rig.reader.close();
    rig.startReader();
    await catchUp(rig);
    expect(found(rig, 'first')).toEqual([0]);
    for (let i = 0; i < 100; i++) expect(found(rig, `k${i}`)).toEqual([1 + i * 61]);
  });

  test('a successor that has to begin it anew does not let it count as up to date', async () => {
    const rig = keyedRig();
    publish(rig, ['first']);
    rig.settle();
    await catchUp(rig);
    await rig.reader.close();
    const disk = new NodeDisk(rig.folder);
    for (const name of disk.list()) disk.remove(name);
    rig.startReader();
    expect(storeNumber(rig.regions.store, STORE_INDEXED_LOW)).toBe(0);
    await catchUp(rig);
    expect(found(rig, 'first')).toEqual([0]);
  });

  test('runs that a store died over are found in the file', async () => {
    const rig = keyedRig();
    publish(rig, ['before']);
    rig.settle();
    publish(rig, ['lost notice']);
    const append = rig.writer.append.bind(rig.writer);
    rig.writer.append = (builder) => {
      append(builder);
      throw new TypeError('killed');
    };
    expect(() => rig.store.work(rig.now)).toThrow('killed');
    rig.startStore();
    rig.settle();
    publish(rig, ['after']);
    rig.settle();
    await catchUp(rig);
    expect(['before', 'lost notice', 'after'].map((key) => found(rig, key))).toEqual([[0], [1], [2]]);
  });
});
