import { afterEach, describe, expect, test } from 'vitest';
import { CONTROL_STATES, SEAT_LOG_READER, SEAT_STORE } from '../../../native-layout/control.ts';
import { STORE_DAMAGED, STORE_OLDEST_LOW } from '../../../native-layout/store.ts';
import { segmentBases, segmentName } from '../../../src/log/segment-files.ts';
import { oldestOffset } from '../../../src/memory/partition-entry.ts';
import { burySeat, openLanes, releaseSeat, setBrokerState } from '../../../src/memory/seats.ts';
import { storeCount, storeNumber, storeRefusal } from '../../../src/memory/store-state.ts';
import { History } from '../../../src/thread/history.ts';
import { WORKER } from '../../support/engine-table.ts';
import { randomFrom } from '../../support/random.ts';
import { ReaderRig } from './reader-rig.ts';
import { LEVEL } from './rig.ts';

const rigs: ReaderRig[] = [];

function durableRig(...args: ConstructorParameters<typeof ReaderRig>): ReaderRig {
  const rig = new ReaderRig(...args);
  rigs.push(rig);
  rig.table.activateDurable(1);
  rig.table.activateDurable(2);
  rig.settle();
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

/** Publishes numbered messages, some in every block; returns what a reader must see of them. */
function fill(rig: ReaderRig, id: number, count: number, from = 0, bodyBytes = 200): string[] {
  const expected: string[] = [];
  for (let i = from; i < from + count; i++) {
    const body = `${id}.${i}`.padEnd(bodyBytes, '.');
    rig.send(id, [body], LEVEL.none);
    expected.push(`${i}:${body}`);
    if (i % 7 === 6) rig.settle();
  }
  rig.settle();
  return expected;
}

describe('history', () => {
  test.each([1, 1_000, 1 << 20])('everything that left the ring is there, in answers of %i bytes', (maxBytes) => {
    const rig = durableRig();
    const one = fill(rig, 1, 300);
    const two = fill(rig, 2, 50);
    expect(rig.readAll(1, 0, maxBytes)).toEqual(one);
    expect(rig.readAll(2, 20, maxBytes)).toEqual(two.slice(20));
  });

  test('an offset that is not there yet is answered with nothing, later with what has come', () => {
    const rig = durableRig();
    fill(rig, 1, 3);
    expect(rig.read(1, 3)).toMatchObject({ code: 'ok', next: 3, texts: [] });
    const more = fill(rig, 1, 1, 3);
    expect(rig.read(1, 3)).toMatchObject({ code: 'ok', base: 3, next: 4, texts: more });
    expect(rig.read(9, 0)).toMatchObject({ code: 'ok', texts: [] });
  });

  test('a time leads to the first batch that was stored then or later', () => {
    const rig = durableRig();
    fill(rig, 1, 5);
    rig.now = 2_000;
    fill(rig, 1, 5, 5);
    expect(rig.locate(1, 0)).toBe(0);
    expect(rig.locate(1, 1_001)).toBe(5);
    expect(rig.locate(1, 2_000)).toBe(5);
    expect(rig.locate(1, 2_001)).toBe(10);
  });

  test('damaged runs are not served: the answer says where to go on', () => {
    const rig = durableRig();
    const expected = fill(rig, 1, 21);
    const bytes = rig.disk.bytesOf(segmentName(0));
    const damaged = Buffer.from(bytes.buffer).indexOf('1.10...');
    bytes[damaged] ^= 1;
    expect(rig.read(1, 0, 1).code).toBe('ok');
    const told = rig.read(1, 10);
    expect(told.code).toBe('log-damaged');
    expect(told.next).toBeGreaterThan(10);
    expect(rig.readAll(1, told.next)).toEqual(expected.slice(told.next));
    expect(storeCount(rig.regions.store, STORE_DAMAGED)).toBe(1);
    expect(rig.said.map((one) => one.type)).toEqual(['damaged']);
  });

  test('threads that ask take turns, and one that does not take its answers holds nobody up', () => {
    const rig = durableRig();
    const expected = fill(rig, 1, 200, 0, 4_000);
    let answers = 0;
    for (let i = 0; i < 100; i++) rig.history.read(1, 1, 0, 1 << 20, () => answers++);
    const other = new History(rig.regions, 22, rig.table.bells);
    let mine = '';
    other.read(1, 1, 7, 1, (answer) => {
      mine = `${answer.baseOffset}-${answer.nextOffset}`;
    });
    for (let turn = 0; mine === ''; turn++) {
      expect(turn).toBeLessThan(20);
      rig.reader.work(rig.now);
      other.work();
    }
    expect(mine).toBe('7-8');
    expect(answers).toBe(0);
    for (let turn = 0; turn < 200; turn++) {
      rig.reader.work(rig.now);
      rig.history.work();
    }
    expect(answers).toBe(100);
    expect(rig.readAll(1)).toEqual(expected);
  });

  test('what is forgotten is not called, and a full lane is said', () => {
    const rig = durableRig();
    fill(rig, 1, 3);
    const request = rig.history.read(1, 1, 0, 1, () => {
      throw new Error('it was forgotten');
    });
    rig.history.forget(request);
    rig.reader.work(rig.now);
    rig.history.work();
    let accepted = 0;
    while (rig.history.read(1, 1, 0, 1, () => {}) !== 0) accepted++;
    expect(accepted).toBeGreaterThan(1_000);
    expect(rig.history.pending).toBe(accepted);
  });

  test('the lane of a thread that ended is closed, and its successor gets its own answers only', () => {
    const rig = durableRig();
    fill(rig, 1, 3);
    rig.history.read(1, 1, 0, 1, () => {});
    rig.reader.work(rig.now); // Answered, and nobody takes it.
    rig.history.read(1, 1, 0, 1, () => {});
    burySeat(rig.regions.control, 21);
    rig.reader.work(rig.now);
    expect(openLanes(rig.regions.control, SEAT_LOG_READER, 0) & (1 << 21)).toBe(0);
    releaseSeat(rig.regions.control, 21);
    const next = new History(rig.regions, 21, rig.table.bells);
    const told: number[] = [];
    next.read(1, 1, 2, 1, (answer) => told.push(answer.baseOffset));
    for (let turn = 0; turn < 3; turn++) {
      rig.reader.work(rig.now);
      next.work();
    }
    expect(told).toEqual([2]);
  });
});

describe('a log reader that died', () => {
  test('its successor answers what was asked of it, and knows the log', () => {
    const rig = durableRig({ segmentBytes: 256 * 1024 });
    const expected = fill(rig, 1, 400, 0, 1_000);
    expect(segmentBases(rig.disk).length).toBeGreaterThan(1);
    let told = 0;
    rig.history.read(1, 1, 0, 1, () => told++);
    rig.startReader();
    rig.reader.work(rig.now);
    rig.history.work();
    expect(told).toBe(1);
    expect(rig.readAll(1)).toEqual(expected);
  });

  test('it indexes what the store wrote while nobody read the lane', () => {
    const rig = durableRig({ segmentBytes: 256 * 1024 });
    const first = fill(rig, 1, 20);
    for (let i = 0; i < 5; i++) {
      rig.send(1, [`late ${i}`], LEVEL.none);
      rig.append();
      rig.store.work(rig.now);
    }
    rig.startReader();
    expect(rig.readAll(1)).toEqual([...first, ...[0, 1, 2, 3, 4].map((i) => `${20 + i}:late ${i}`)]);
  });
});

describe('deaths of both threads at random places', () => {
  test.each([1, 2, 3, 4, 5, 6])('the index has every run once, in order (seed %i)', (seed) => {
    const random = randomFrom(seed);
    const rig = durableRig({ segmentBytes: 256 * 1024, mode: seed % 2 === 0 ? 'direct' : 'buffered' });
    const expected: Record<number, string[]> = { 1: [], 2: [] };
    for (let step = 0; step < 250; step++) {
      const dice = random(20);
      if (dice < 10) {
        const id = 1 + random(2);
        const body = 'x'.repeat(random(3_000));
        rig.send(id, [body], LEVEL.none);
        rig.append();
        expected[id].push(`${expected[id].length}:${body}`);
        if (expected[id].length % 4 === 0) rig.settle();
      } else if (dice < 14) rig.store.work(rig.now);
      else if (dice < 17) rig.reader.work(rig.now);
      else if (dice === 17) rig.startReader();
      else if (dice === 18) rig.startStore();
      else killInCommit(rig, random(3));
      rig.now++;
    }
    rig.settle();
    expect(rig.readAll(1)).toEqual(expected[1]);
    expect(rig.readAll(2)).toEqual(expected[2]);
    expect(rig.said).toEqual([]);
    expect(segmentBases(rig.disk).length).toBeGreaterThan(1);
  });
});

/** The store dies before its write, behind it, or with some of its notices sent. */
function killInCommit(rig: ReaderRig, where: number): void {
  const die = (): never => {
    throw new TypeError('killed');
  };
  const { writer } = rig;
  const append = writer.append.bind(writer);
  writer.append = (builder) => {
    if (where > 0) append(builder);
    if (where < 2) die();
    builder.runs.length = Math.min(1, builder.runs.length);
    Object.assign(rig.store, { complete: die });
  };
  try {
    rig.store.work(rig.now);
  } catch (error) {
    expect(String(error)).toContain('killed');
  }
  // The log reader may look at what it left before there is a successor.
  if (where === 2) rig.reader.work(rig.now);
  rig.startStore();
}

function later(rig: ReaderRig, ms: number): ReaderRig['reader'] {
  rig.now += ms;
  return rig.reader;
}

describe('upkeep', () => {
  test('what is too much is removed, oldest first, and readers are told', () => {
    const rig = durableRig({ segmentBytes: 256 * 1024, retentionBytes: 1024 * 1024 });
    setBrokerState(rig.regions.control, CONTROL_STATES.running);
    const expected = fill(rig, 1, 400, 0, 4_000);
    for (let i = 0; i < 5; i++) later(rig, 10_000).housekeep(rig.now);
    const oldest = oldestOffset(rig.regions.table, 1);
    expect(oldest).toBeGreaterThan(0);
    expect(rig.read(1, 0)).toMatchObject({ code: 'offset-out-of-range', oldest });
    expect(rig.readAll(1, oldest)).toEqual(expected.slice(oldest));
    expect(storeNumber(rig.regions.store, STORE_OLDEST_LOW)).toBe(segmentBases(rig.disk)[0]);
    expect(rig.said.map((one) => one.type)).toContain('removed');
  });

  test('a disk above the watermark refuses messages until it is below it again', () => {
    const rig = durableRig();
    setBrokerState(rig.regions.control, CONTROL_STATES.running);
    let freeBytes = 5;
    rig.disk.space = () => ({ freeBytes, totalBytes: 100 });
    later(rig, 10_000).housekeep(rig.now);
    rig.send(1, ['refused']);
    rig.settle();
    expect(rig.answers()).toEqual(['1:disk-full']);
    freeBytes = 50;
    later(rig, 10_000).housekeep(rig.now);
    expect(storeRefusal(rig.regions.store)).toBe(0);
    rig.send(1, ['accepted']);
    rig.settle();
    expect(rig.answers()).toEqual(['2:ok@0']);
    expect(rig.said).toEqual([
      { type: 'watermark', full: true },
      { type: 'watermark', full: false },
    ]);
  });

  test('goes on when somebody sets the clock back', () => {
    const rig = durableRig();
    setBrokerState(rig.regions.control, CONTROL_STATES.running);
    later(rig, 10_000_000).housekeep(rig.now);
    rig.disk.space = () => ({ freeBytes: 5, totalBytes: 100 });
    later(rig, -3_600_000).housekeep(rig.now);
    expect(rig.said).toEqual([{ type: 'watermark', full: true }]);
  });

  test('a spare segment is made in quiet turns', () => {
    const rig = durableRig({ segmentBytes: 256 * 1024 });
    for (let i = 0; i < 10; i++) later(rig, 10).work(rig.now);
    expect(rig.disk.list()).toContain('spare-1.tmp');
  });

  test('an orderly stop leaves nothing to be verified', async () => {
    const rig = durableRig();
    const expected = fill(rig, 1, 30);
    setBrokerState(rig.regions.control, CONTROL_STATES.stopped);
    releaseSeat(rig.regions.control, WORKER);
    rig.settle();
    expect(rig.reader.finished).toBe(false);
    expect(rig.store.finished).toBe(true);
    rig.store.close();
    releaseSeat(rig.regions.control, SEAT_STORE);
    expect(rig.reader.finished).toBe(true);
    await rig.reader.close();
    const found = rig.recovered();
    expect(found).toMatchObject({ clean: true, report: { verifiedBlocks: 0 } });
    expect(found.queues).toMatchObject([{ partition: 1, nextOffset: expected.length }]);
    rig.startReader(found);
    expect(rig.readAll(1)).toEqual(expected);
  });
});
