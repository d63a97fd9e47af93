import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RingmqError } from '../../../src/base/codes.ts';
import type { JournalPart } from '../../../src/coordinator/journal.ts';
import { FileJournal } from '../../../src/coordinator/journal-file.ts';
import { encodeRecord } from '../../../src/state/journal.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

const NAME = 'coordinator.journal';

/** A part that is a table: a record sets (or, with null, removes) a key. */
class Table implements JournalPart {
  readonly name: string;
  readonly rows = new Map<string, unknown>();
  /** Records that were told at the start. */
  told = 0;

  constructor(name: string) {
    this.name = name;
  }

  replay(record: unknown): void {
    const [key, value] = record as [string, unknown];
    if (value === null) this.rows.delete(key);
    else this.rows.set(key, value);
    this.told++;
  }

  snapshot(): Iterable<unknown> {
    return this.rows;
  }
}

function open(disk: FaultDisk, tailBytes?: number): { journal: FileJournal; table: Table } {
  const table = new Table('table');
  const journal = new FileJournal(disk, tailBytes);
  journal.replay([table]);
  return { journal, table };
}

/** Bytes of records: behind them stand zeros. */
function usedOf(disk: FaultDisk): number {
  return disk.bytesOf(NAME).findLastIndex((byte) => byte !== 0) + 1;
}

/** First the journal, then the effect. */
function put({ journal, table }: { journal: FileJournal; table: Table }, key: string, value: unknown): void {
  journal.append('table', [key, value]);
  table.replay([key, value]);
}

function errorOf(run: () => void): RingmqError {
  try {
    run();
  } catch (error) {
    return error as RingmqError;
  }
  throw new Error('expected a failure');
}

describe('what was appended', () => {
  test('is told to a successor in order after kill -9, without any sync', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    for (let i = 0; i < 100; i++) put(one, `k${i % 10}`, i);
    put(one, 'k3', null);
    const next = open(disk.killed()).table;
    expect([...next.rows]).toEqual([...one.table.rows]);
    expect(next.told).toBe(101);
  });

  test('goes to the part that appended it', () => {
    const disk = new FaultDisk();
    const parts = [new Table('a'), new Table('b')];
    const journal = new FileJournal(disk);
    journal.replay(parts);
    journal.append('a', ['x', 1]);
    journal.append('b', ['x', 2]);
    const next = [new Table('a'), new Table('b')];
    new FileJournal(disk).replay(next);
    expect(next.map((part) => [...part.rows])).toEqual([[['x', 1]], [['x', 2]]]);
  });

  test('by a part that this version does not have is not silently dropped', () => {
    const disk = new FaultDisk();
    const { journal } = open(disk);
    journal.append('future', { a: 1 });
    const error = errorOf(() => open(disk));
    expect(error).toMatchObject({ code: 'data-unknown', message: expect.stringContaining("'future'") });
  });

  test('is there after a loss of power as far as it was synced, and the rest is a prefix', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 40 }), fc.nat(), (syncs, seed) => {
        const disk = new FaultDisk();
        const one = open(disk, 1_000);
        let synced = 0;
        syncs.forEach((isSync, i) => {
          put(one, 'n', i + 1);
          put(one, `k${i}`, 'x'.repeat((i * 97) % 300));
          if (isSync) {
            one.journal.sync();
            synced = i + 1;
          }
          if (i % 7 === 0) one.journal.compactIfLong();
        });
        const { table } = open(disk.crash(seed));
        const last = (table.rows.get('n') ?? 0) as number;
        expect(last).toBeGreaterThanOrEqual(synced);
        for (let i = 0; i < last - 1; i++) expect(table.rows.get(`k${i}`)).toBe('x'.repeat((i * 97) % 300));
      }),
      { numRuns: 400 },
    );
  });

  test('goes on after a loss of power, again and again', () => {
    let disk = new FaultDisk();
    for (let seed = 1; seed < 40; seed++) {
      const one = open(disk);
      const before = one.table.rows.size;
      put(one, `s${seed}`, seed);
      one.journal.sync();
      put(one, 'unsynced', 'y'.repeat(9_000));
      put(one, 'unsynced', 'z'.repeat(5_000));
      disk = disk.crash(seed);
      expect(open(disk.killed()).table.rows.size).toBeGreaterThan(before === 0 ? 0 : before - 1);
    }
    const keys = [...open(disk).table.rows.keys()].filter((key) => key !== 'unsynced');
    expect(keys).toEqual(Array.from({ length: 39 }, (_, i) => `s${i + 1}`));
  });
});

describe('the end of the file', () => {
  test('torn at any byte loses the record that was torn, and no other', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    put(one, 'a', 1);
    const whole = disk.bytesOf(NAME).slice();
    put(one, 'b', 'a record to be torn');
    const longer = disk.bytesOf(NAME).slice();
    for (let length = whole.length; length < longer.length; length++) {
      const torn = new FaultDisk();
      torn.open(NAME, 'write').write(longer.subarray(0, length), 0);
      const next = open(torn);
      expect([...next.table.rows]).toEqual([['a', 1]]);
      put(next, 'c', 3);
      expect([...open(torn).table.rows.keys()]).toEqual(['a', 'c']);
    }
  });

  test('that a loss of power filled with zeros is cut off', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    put(one, 'a', 1);
    const file = disk.open(NAME, 'write');
    file.truncate(file.size() + 5_000);
    expect([...open(disk).table.rows]).toEqual([['a', 1]]);
  });
});

describe('damage', () => {
  test('of any byte that was on the disk stops the start and changes nothing', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    put(one, 'a', 1);
    put(one, 'b', 2);
    one.journal.close();
    // The seal itself says nothing that would be missed.
    const sealed = usedOf(disk) - encodeRecord(1, { synced: 100 }).length;
    for (let at = 0; at < sealed; at++) {
      const damaged = disk.killed();
      damaged.flip(NAME, at, 0x10);
      const bytes = damaged.bytesOf(NAME).slice();
      const error = errorOf(() => open(damaged));
      expect([at, error.code]).toEqual([at, 'state-corrupt']);
      expect(damaged.bytesOf(NAME)).toEqual(bytes);
    }
  });

  test('of a snapshot stops the start', () => {
    const disk = new FaultDisk();
    const one = open(disk, 100);
    for (let i = 0; i < 20; i++) put(one, `k${i}`, i);
    one.journal.compactIfLong();
    const damaged = disk.killed();
    damaged.flip(NAME, 200, 1);
    expect(errorOf(() => open(damaged)).code).toBe('state-corrupt');
  });

  test('that a part finds in a record is told', () => {
    const disk = new FaultDisk();
    open(disk).journal.append('table', null);
    expect(errorOf(() => open(disk))).toMatchObject({ code: 'state-corrupt' });
  });

  test('an empty file is no empty journal', () => {
    const disk = new FaultDisk();
    disk.open(NAME, 'write').close();
    expect(errorOf(() => open(disk)).code).toBe('state-corrupt');
  });

  test('another format is left alone', () => {
    const disk = new FaultDisk();
    disk.open(NAME, 'write').write(encodeRecord(1, { format: 2 }), 0);
    expect(errorOf(() => open(disk))).toMatchObject({ code: 'data-unknown', message: expect.stringContaining('2') });
  });
});

describe('writing anew', () => {
  test('keeps what is there and drops what is not', () => {
    const disk = new FaultDisk();
    const one = open(disk, 2_000);
    for (let i = 0; i < 1_000; i++) {
      put(one, `k${i % 5}`, i);
      one.journal.compactIfLong();
    }
    expect(disk.bytesOf(NAME).length).toBeLessThan(5_000);
    put(one, 'last', true);
    const next = open(disk).table;
    expect(new Map(next.rows)).toEqual(one.table.rows);
    expect(disk.list()).toEqual([NAME]);
  });

  test('waits until it has grown by as much as the snapshot has', () => {
    const disk = new FaultDisk();
    const one = open(disk, 1_000);
    for (let i = 0; i < 200; i++) put(one, `k${i}`, 'v'.repeat(50));
    one.journal.compactIfLong();
    const snapshot = usedOf(disk);
    const renames = () => disk.history.filter((what) => what.startsWith('rename')).length;
    const before = renames();
    while (usedOf(disk) < 2 * snapshot - 200) {
      put(one, 'k1', 'w'.repeat(50));
      one.journal.compactIfLong();
    }
    expect(renames()).toBe(before);
    for (let i = 0; i < 4; i++) put(one, 'k1', 'w'.repeat(50));
    one.journal.compactIfLong();
    expect(renames()).toBe(before + 1);
  });

  test('that fails for want of room leaves the journal as it is, and is not tried at once again', () => {
    const disk = new FaultDisk();
    const one = open(disk, 500);
    while (usedOf(disk) < 1_000) put(one, 'k', 'v'.repeat(50));
    disk.plan = { at: 1, code: 'ENOSPC', forever: true };
    expect(errorOf(() => one.journal.compactIfLong()).code).toBe('disk-full');
    one.journal.compactIfLong();
    disk.plan = undefined;
    put(one, 'k', 'after');
    expect(open(disk).table.rows.get('k')).toBe('after');
  });
});

describe('a disk that fails', () => {
  /** Appends and syncs; counts what was acknowledged as written and as synced. */
  function run(disk: FaultDisk): { written: number; synced: number; errors: RingmqError[] } {
    const outcome = { written: 0, synced: 0, errors: [] as RingmqError[] };
    const attempt = (what: () => void): void => {
      try {
        what();
      } catch (error) {
        outcome.errors.push(error as RingmqError);
      }
    };
    let one: ReturnType<typeof open> | undefined;
    attempt(() => {
      one = open(disk, 600);
    });
    const opened = one;
    if (!opened) return outcome;
    for (let i = 1; i <= 30; i++) {
      attempt(() => {
        put(opened, `k${i}`, 'v'.repeat(40));
        outcome.written = i;
      });
      if (i % 3 === 0) {
        attempt(() => {
          opened.journal.sync();
          outcome.synced = outcome.written;
        });
      }
      attempt(() => opened.journal.compactIfLong());
    }
    return outcome;
  }

  function keysOf(disk: FaultDisk): string[] {
    return [...open(disk).table.rows.keys()];
  }

  test.each(['ENOSPC', 'EIO'] as const)('with %s at any call refuses, and loses nothing acknowledged', (code) => {
    for (let at = 1; at < 200; at++) {
      const disk = new FaultDisk();
      disk.plan = { at, code };
      const { written, synced, errors } = run(disk);
      const { faults } = disk;
      disk.plan = undefined;
      if (faults === 0) {
        expect(at).toBeGreaterThan(30);
        return;
      }
      expect(errors.length, `call ${at} fails and nobody is told`).toBeGreaterThan(0);
      for (const error of errors) expect(['disk-full', 'store-failed', 'closed']).toContain(error.code);
      const killed = keysOf(disk.killed());
      if (written > 0) expect(killed).toContain(`k${written}`);
      if (synced > 0) for (const seed of [1, 2, 3, 4, 5]) expect(keysOf(disk.crash(seed))).toContain(`k${synced}`);
    }
    throw new Error('the plan reached no end');
  });

  test('for good lets nothing more be appended', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    put(one, 'a', 1);
    disk.plan = { at: 1, code: 'EIO' };
    expect(errorOf(() => one.journal.sync()).code).toBe('store-failed');
    expect(errorOf(() => one.journal.append('table', ['b', 2])).code).toBe('store-failed');
    expect(errorOf(() => one.journal.sync()).code).toBe('store-failed');
  });

  test('for want of room takes the next append when there is room again', () => {
    const disk = new FaultDisk();
    const one = open(disk);
    disk.plan = { at: 1, code: 'ENOSPC' };
    expect(errorOf(() => put(one, 'a', 1)).code).toBe('disk-full');
    put(one, 'b', 2);
    expect([...open(disk).table.rows]).toEqual([['b', 2]]);
  });
});

test('a journal that is closed takes nothing more', () => {
  const { journal } = open(new FaultDisk());
  journal.close();
  expect(errorOf(() => journal.append('table', ['a', 1])).code).toBe('closed');
});
