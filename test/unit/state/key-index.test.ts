import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KeyEntry, KeyIndexReader, KeyIndexWriter } from '../../../src/state/key-index.ts';
import { keysOf } from '../../../src/state/keyed-records.ts';
import { fractionsFrom } from '../../support/random.ts';
import { stampedBatch, T0 } from '../log/sample-log.ts';

let folder: string;
let wiped: number;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-keys-'));
  wiped = 0;
});

afterEach(() => fs.rmSync(folder, { recursive: true }));

function wipe(): void {
  wiped++;
  for (const name of fs.readdirSync(folder)) fs.unlinkSync(path.join(folder, name));
}

function openWriter(logEnd = Number.MAX_SAFE_INTEGER): KeyIndexWriter {
  return new KeyIndexWriter(folder, wipe, logEnd);
}

/** Applies, and says how far the index is then. */
async function apply(writer: KeyIndexWriter, entries: readonly KeyEntry[], logPosition: number): Promise<number> {
  writer.apply(entries, logPosition);
  await writer.pending;
  return writer.appliedPosition;
}

async function sweep(writer: KeyIndexWriter, ...args: Parameters<KeyIndexWriter['sweep']>): Promise<number> {
  const gone = writer.sweep(...args);
  await writer.pending;
  return gone;
}

function entryOf(offset: number, key: string, extra: Partial<KeyEntry> = {}): KeyEntry {
  return { topicId: 1, partition: 0, offset, storedAt: T0 + offset, epoch: 1, key, ...extra };
}

function matchesOf(entries: readonly KeyEntry[], topicId: number, key: string, from: number, to: number): unknown[] {
  return entries
    .filter((one) => one.topicId === topicId && one.key === key && one.storedAt >= from && one.storedAt < to)
    .sort((a, b) => a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset)
    .map(({ partition, offset, storedAt, epoch }) => ({ partition, offset, storedAt, epoch }));
}

const keys = fc.oneof(
  fc.constantFrom('order-1', 'order-2', 'order-11', 'ä', 'x'.repeat(64), 'x'.repeat(65), 'x'.repeat(1024)),
  fc.string({ minLength: 1, maxLength: 80 }),
);
const entries = fc.array(
  fc.record({
    topicId: fc.integer({ min: 1, max: 3 }),
    partition: fc.integer({ min: 0, max: 4095 }),
    offset: fc.oneof(fc.nat(20), fc.integer({ min: 2 ** 33, max: 2 ** 50 })),
    storedAt: fc.integer({ min: T0, max: T0 + 20 }),
    epoch: fc.nat(3),
    key: keys,
  }),
  { maxLength: 40 },
);

describe('the key index', () => {
  test('finds what a list of all entries has, oldest first, also after it was closed and opened', async () => {
    const unique = (all: readonly KeyEntry[]): KeyEntry[] => {
      const byPlace = new Map(all.map((one) => [JSON.stringify({ ...one, epoch: 0 }), one]));
      return [...byPlace.values()];
    };
    await fc.assert(
      fc.asyncProperty(entries, entries, fc.nat(22), fc.nat(22), async (first, second, from, to) => {
        wipe();
        const before = openWriter();
        expect(await apply(before, first, 1_000)).toBe(1_000);
        await before.close();
        const writer = openWriter();
        expect(writer.appliedPosition).toBe(1_000);
        expect(await apply(writer, second, 2_000)).toBe(2_000);
        const all = unique([...first, ...second]);
        const reader = new KeyIndexReader(folder);
        for (const { topicId, key } of all) {
          const wanted = matchesOf(all, topicId, key, T0 + from, T0 + to);
          expect(reader.find(topicId, key, T0 + from, T0 + to, 1_000)).toEqual(wanted);
          expect(reader.find(topicId, key, T0 + from, T0 + to, 2)).toEqual(wanted.slice(0, 2));
          expect(reader.find(9, key, 0, Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
        }
        reader.close();
        expect(writer.appliedPosition).toBe(2_000);
        await writer.close();
      }),
      { numRuns: 10 },
    );
  }, 60_000);

  test('a reader that was there before the index finds what comes, and none is needed for that', async () => {
    const reader = new KeyIndexReader(folder);
    expect(reader.find(1, 'a', 0, T0 * 2, 10)).toEqual([]);
    const writer = openWriter();
    expect(reader.find(1, 'a', 0, T0 * 2, 10)).toEqual([]);
    await apply(writer, [entryOf(1, 'a')], 10);
    expect(reader.find(1, 'a', 0, T0 * 2, 10)).toHaveLength(1);
    // A reader that closes takes nothing away from the writer of the same process.
    reader.close();
    expect(await apply(writer, [entryOf(2, 'a')], 20)).toBe(20);
    expect(reader.find(1, 'a', 0, T0 * 2, 10)).toHaveLength(2);
    reader.close();
    await writer.close();
  });

  test('nonsense is found nowhere', async () => {
    const writer = openWriter();
    await apply(writer, [entryOf(1, 'a')], 10);
    const reader = new KeyIndexReader(folder);
    expect(reader.find(1, '', 0, T0 * 2, 10)).toEqual([]);
    expect(reader.find(1, 'a', T0 * 2, 0, 10)).toEqual([]);
    expect(reader.find(1, 'a', -5, Number.POSITIVE_INFINITY, 10)).toHaveLength(1);
    expect(reader.find(1, 'a', 0, T0 * 2, 0)).toEqual([]);
    expect(reader.find(1, 'a'.repeat(100_000), 0, T0 * 2, 10)).toEqual([]);
    reader.close();
    await writer.close();
  });

  test('an index that is ahead of the log is thrown away', async () => {
    const before = openWriter();
    await apply(before, [entryOf(1, 'a')], 5_000);
    await before.close();
    const writer = openWriter(4_999);
    expect([writer.appliedPosition, writer.rebuilds, wiped]).toEqual([0, 1, 1]);
    expect(new KeyIndexReader(folder).find(1, 'a', 0, T0 * 2, 10)).toEqual([]);
    await writer.close();
  });

  test('sweeps what retention took, some entries at a time, round and round', async () => {
    const writer = openWriter();
    const all = Array.from({ length: 100 }, (_, i) => entryOf(i, `key ${i % 7}`, { topicId: 1 + (i % 2) }));
    await apply(writer, all, 10);
    const oldest = (topicId: number): number => (topicId === 1 ? 50 : 0);
    let removed = 0;
    for (let i = 0; i < 11; i++) removed += await sweep(writer, oldest, 10);
    expect(removed).toBe(25);
    expect(await sweep(writer, () => Number.MAX_SAFE_INTEGER, 1_000)).toBe(75);
    // The position is no entry: it is still there.
    await writer.close();
    const again = openWriter();
    expect(again.appliedPosition).toBe(10);
    await again.close();
  });

  test('bytes that are no database are thrown away, and the index begins anew', async () => {
    for (const bytes of [Buffer.from('not lmdb'), Buffer.alloc(100_000, 7), Buffer.alloc(0)]) {
      wipe();
      wiped = 0;
      fs.writeFileSync(path.join(folder, 'data.mdb'), bytes);
      const writer = openWriter();
      expect(writer.appliedPosition).toBe(0);
      expect(await apply(writer, [entryOf(1, 'a')], 10)).toBe(10);
      expect(new KeyIndexReader(folder).find(1, 'a', 0, T0 * 2, 10)).toHaveLength(1);
      await writer.close();
    }
  });

  test('a folder that cannot be used leaves the broker without the index and without an exception', async () => {
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, '');
    const writer = new KeyIndexWriter(path.join(file, 'below'), () => {}, 0);
    expect(writer.broken).toBe(true);
    expect(await apply(writer, [entryOf(1, 'a')], 10)).toBe(0);
    expect(await sweep(writer, () => 0, 10)).toBe(0);
    await writer.close();
  });
});

const PAGE = 4096;

/** Damages a database file in one of the ways that disks have. */
function damage(bytes: Buffer, random: () => number): void {
  const pages = bytes.length / PAGE;
  const page = (): number => Math.floor(random() * pages) * PAGE;
  const how = Math.floor(random() * 4);
  const at = page();
  if (how === 0) bytes.fill(0, at, at + PAGE);
  else if (how === 1) {
    const other = page();
    const kept = Buffer.from(bytes.subarray(at, at + PAGE));
    bytes.copy(bytes, at, other, other + PAGE);
    kept.copy(bytes, other);
  } else if (how === 2) for (let i = 0; i < 64; i++) bytes[Math.floor(random() * bytes.length)] ^= 1 << (i & 7);
  else bytes[Math.floor(random() * bytes.length)] ^= 1 << Math.floor(random() * 8);
}

test('a damaged index never ends the process, never shows what is not so, and takes new keys', async () => {
  const writer = openWriter();
  const all = Array.from({ length: 3_000 }, (_, i) => entryOf(i, `key ${i % 7}`));
  for (let i = 0; i < all.length; i += 500) await apply(writer, all.slice(i, i + 500), 5 + i / 500);
  await writer.close();
  const good = fs.readFileSync(path.join(folder, 'data.mdb'));
  const seed = Number(process.env.SEED ?? 7);
  const random = fractionsFrom(seed);
  const folders = Array.from({ length: 16 }, (_, i) => {
    const below = path.join(folder, `damaged-${i}`);
    fs.mkdirSync(below);
    const bytes = Buffer.from(good);
    if (i > 0) damage(bytes, random);
    fs.writeFileSync(path.join(below, 'data.mdb'), bytes);
    return below;
  });
  const script = fileURLToPath(new URL('key-damage.mjs', import.meta.url));
  const outcomes = folders.map((below) => {
    const child = spawnSync(process.execPath, [script, below], { encoding: 'utf8', maxBuffer: 2 ** 28 });
    expect([child.status, child.signal, child.stderr], `seed ${seed}`).toEqual([0, null, '']);
    return JSON.parse(child.stdout);
  });
  for (const { rebuilds, applied, found } of outcomes) {
    expect(applied || rebuilds > 0, `seed ${seed}`).toBe(true);
    for (const [key, matches] of Object.entries(found)) {
      const right = new Set(matchesOf(all, 1, key, 0, T0 * 2).map((match) => JSON.stringify(match)));
      for (const { partition, offset, storedAt, epoch } of matches as KeyEntry[]) {
        expect(right.has(JSON.stringify({ partition, offset, storedAt, epoch })), `seed ${seed}`).toBe(true);
      }
    }
  }
  expect(Object.values(outcomes[0].found).flat()).toHaveLength(3_000);
  expect(outcomes[0].rebuilds).toBe(0);
  expect(outcomes.some((outcome) => outcome.rebuilds > 0)).toBe(true);
}, 60_000);

describe('the keys of batches', () => {
  test('are those of records that have one, in batches that say so', () => {
    const name = 'orders';
    const keyed = stampedBatch(name, 10, 3, T0, { key: (offset) => (offset === 11 ? 'ä'.repeat(500) : `k${offset}`) });
    const plain = stampedBatch(name, 13, 4, T0 + 1);
    const more = stampedBatch(name, 17, 1, T0 + 2, { epoch: 9, key: () => 'last' });
    const bytes = Buffer.concat([new Uint8Array(64), keyed, plain, more]);
    const copy = new Uint8Array(bytes);
    const found = [...keysOf(3, 2, copy, 64, copy.length - 64)];
    expect(found.map((one) => [one.offset, one.key, one.storedAt, one.epoch])).toEqual([
      [10, 'k10', T0, 1],
      [11, 'ä'.repeat(500), T0, 1],
      [12, 'k12', T0, 1],
      [17, 'last', T0 + 2, 9],
    ]);
    expect(found.every((one) => one.topicId === 3 && one.partition === 2)).toBe(true);
  });
});
