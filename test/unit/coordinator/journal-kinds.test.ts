// What the journal promises its parts, whatever its file is on: a disk, or memory that outlives the coordinator.
import { describe, expect, test } from 'vitest';
import type { JournalPart } from '../../../src/coordinator/journal.ts';
import { FileJournal } from '../../../src/coordinator/journal-file.ts';
import type { Disk } from '../../../src/log/disk.ts';
import { MemoryDisk } from '../../../src/log/disk-memory.ts';
import { FileBook } from '../../../src/memory/shared-file.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

const TAIL_BYTES = 20_000;

/** A disk, and what its thread leaves on it when it dies. */
interface Kind {
  readonly disk: Disk;
  readonly left: () => Disk;
}

function onDisk(): Kind {
  let disk = new FaultDisk();
  const left = (): Disk => {
    disk = disk.killed();
    return disk;
  };
  return { disk, left };
}

function inMemory(): Kind {
  const book = new FileBook();
  const open = (): Disk => new MemoryDisk(book.files, (change) => book.hear(structuredClone(change)));
  return { disk: open(), left: open };
}

class Counts implements JournalPart {
  readonly name: string;
  readonly counts = new Map<string, number>();

  constructor(name: string) {
    this.name = name;
  }

  replay(record: unknown): void {
    const [key, count] = record as [string, number];
    this.counts.set(key, count);
  }

  snapshot(): Iterable<unknown> {
    return this.counts;
  }
}

function open(disk: Disk): { journal: FileJournal; parts: readonly Counts[] } {
  const parts = [new Counts('a'), new Counts('b')];
  const journal = new FileJournal(disk, TAIL_BYTES);
  journal.replay(parts);
  return { journal, parts };
}

function put({ journal, parts }: ReturnType<typeof open>, part: 0 | 1, key: string, count: number): void {
  journal.append(parts[part].name, [key, count]);
  parts[part].replay([key, count]);
}

describe.each([
  ['on a disk', onDisk],
  ['in memory that outlives its thread', inMemory],
])('a journal %s', (_, kind) => {
  test('tells a successor all that was appended, to the part that appended it', () => {
    const { disk, left } = kind();
    const one = open(disk);
    for (let i = 0; i < 1_000; i++) put(one, i % 3 === 0 ? 0 : 1, `k${i % 10}`, i);
    const next = open(left());
    expect(next.parts.map(({ counts }) => [...counts])).toEqual(one.parts.map(({ counts }) => [...counts]));
    expect(next.parts[1].counts.get('k8')).toBe(998);
  });

  test('is written anew when it has grown, and a successor goes on with what it holds', () => {
    let { disk, left } = kind();
    const expected = new Map<string, number>();
    for (let life = 0; life < 5; life++) {
      const one = open(disk);
      for (let i = 0; i < 4_000; i++) {
        put(one, 0, `k${i % 7}`, life * 4_000 + i);
        expected.set(`k${i % 7}`, life * 4_000 + i);
        one.journal.compactIfLong();
      }
      const { freeBytes, totalBytes } = disk.space();
      if (disk instanceof MemoryDisk) expect(totalBytes - freeBytes).toBeLessThan(4 * TAIL_BYTES);
      disk = left();
      expect(disk.list()).toEqual(['coordinator.journal']);
      expect(disk.lengthOf?.('coordinator.journal') ?? 0).toBeLessThan(2 * TAIL_BYTES);
    }
    expect(open(disk).parts[0].counts).toEqual(expected);
  });

  test('whose writing anew was cut short is the one from before', () => {
    const { disk, left } = kind();
    const one = open(disk);
    for (let i = 0; i < 1_000; i++) put(one, 0, `k${i % 10}`, i);
    disk.open('coordinator.tmp', 'write').write(new Uint8Array(5_000).fill(1), 0);
    const next = open(left());
    expect(next.parts[0].counts).toEqual(one.parts[0].counts);
    for (let i = 0; i < 2_000; i++) put(next, 0, `k${i % 10}`, i);
    next.journal.compactIfLong();
    put(next, 1, 'after', 1);
    expect(next.parts[0].counts.size).toBe(10);
  });
});
