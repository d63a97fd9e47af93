// Real threads on the built modules, tiny rings and lanes, self-checking payloads, random stalls. Finds what a model of
// memory cannot: compilers, caches, futexes. Prints its seed; RINGMQ_STRESS_S and RINGMQ_STRESS_SEED change the run.
import { expect, test } from 'vitest';
import { CONTROL_HEADER_BYTES, SEAT_BYTES, SEATS_MAX } from '../../native-layout/control.ts';
import { LANE_CONTROL_BYTES, LANE_HEAD, LANE_TAIL, NOTICE_CONTROL_BYTES } from '../../native-layout/lane.ts';
import {
  OVERFLOW_CODES,
  type OverflowPolicy,
  PARTITION_ENTRY_BYTES,
  PARTITION_OWNER,
  RING_HEAD,
  RING_TAIL,
  SLOT_MASK,
} from '../../native-layout/partition-table.ts';
import { Bells } from '../../src/memory/bell.ts';
import { releaseSlotsOf } from '../../src/memory/ring-reader.ts';
import { until } from '../support/until.ts';
import { SIZES, START } from './sizes.ts';
import { type Buffers, runFor, SEED, STRESS_MS, stop, Thread, withDeadline } from './threads.ts';

console.log(`stress: RINGMQ_STRESS_SEED=${SEED} RINGMQ_STRESS_S=${STRESS_MS / 1000}`);

const { LANE_CAPACITY, NOTICE_ENTRIES, OWNER_SEAT, PROGRESS, READER_SEAT, RING_CAPACITY } = SIZES;
const NOTICE_BYTES = NOTICE_CONTROL_BYTES + NOTICE_ENTRIES * 4;
const VICTIM_SEAT = 20;
const VICTIMS = 6;

function buffers(more: Record<string, number>): Buffers {
  const sizes = { control: CONTROL_HEADER_BYTES + SEATS_MAX * SEAT_BYTES, signals: 64, ...more };
  const made = Object.entries(sizes).map(([name, bytes]) => [name, new SharedArrayBuffer(bytes)]);
  return Object.fromEntries(made) as Buffers;
}

function ringBuffers(readers: number): Buffers {
  const regions = buffers({
    table: PARTITION_ENTRY_BYTES,
    ring: RING_CAPACITY,
    notices: NOTICE_BYTES * readers,
  });
  const table = new Int32Array(regions.table);
  table[RING_TAIL] = table[RING_HEAD] = START;
  table[PARTITION_OWNER] = OWNER_SEAT;
  return regions;
}

interface Tally {
  readonly read: number;
  readonly evictions: number;
  readonly joins: number;
}

/** One writer and three readers; the first one holds. */
function ringThreads(regions: Buffers, policy: OverflowPolicy, holds: boolean): Thread[] {
  const readers = [0, 1, 2].map((i) => READER_SEAT + i);
  const shared = { overflow: OVERFLOW_CODES[policy], readers, noticeBytes: NOTICE_BYTES };
  return [
    new Thread('writer', regions, SEED, shared),
    ...readers.map((seat, i) => {
      const holding = holds && i === 0;
      const evictable = policy === 'drop-oldest' && !holding;
      return new Thread('reader', regions, SEED + seat, { ...shared, seat, holds: holding, evictable });
    }),
  ];
}

test.each([START, 0])('lane I1, I2: every frame arrives whole and in order, from %i', async (start) => {
  const regions = buffers({ lane: LANE_CONTROL_BYTES + LANE_CAPACITY });
  const words = new Int32Array(regions.lane);
  words[LANE_TAIL] = words[LANE_HEAD] = start;
  const options = { place: { byte: 0, capacity: LANE_CAPACITY } };
  const threads = ['laneProducer', 'laneConsumer'].map((role, i) => new Thread(role, regions, SEED + i, options));
  const [sent, received] = await runFor(STRESS_MS, regions, threads);
  console.log(`stress: lane carried ${sent} frames`);
  expect(received).toBe(sent);
  expect(sent).toBeGreaterThan(100);
});

test('ring I1 to I4: under block three readers get every batch', async () => {
  const regions = ringBuffers(3);
  const [written, ...tallies] = await runFor(STRESS_MS, regions, ringThreads(regions, 'block', false));
  console.log(`stress: block ${JSON.stringify([written, ...tallies])}`);
  const { sequence, blocked } = written as { sequence: number; blocked: number };
  expect(sequence).toBeGreaterThan(100);
  expect(blocked).toBeGreaterThan(0);
  for (const tally of tallies as Tally[]) expect(tally.read).toBeGreaterThan(0);
});

test('ring I2, I3: under drop-oldest slow readers are evicted and nobody reads overwritten bytes', async () => {
  const regions = ringBuffers(3);
  const [written, ...tallies] = await runFor(STRESS_MS, regions, ringThreads(regions, 'drop-oldest', false));
  console.log(`stress: drop-oldest ${JSON.stringify([written, ...tallies])}`);
  for (const tally of tallies as Tally[]) expect(tally.read).toBeGreaterThan(0);
  expect((tallies as Tally[]).reduce((sum, tally) => sum + tally.evictions, 0)).toBeGreaterThan(0);
});

test('ring I3: a holding reader loses nothing while the others are evicted', async () => {
  const regions = ringBuffers(3);
  const [written, ...tallies] = await runFor(STRESS_MS, regions, ringThreads(regions, 'drop-oldest', true));
  console.log(`stress: holding ${JSON.stringify([written, ...tallies])}`);
  expect((tallies as Tally[])[0].read).toBeGreaterThan(100);
  expect((tallies as Tally[])[0].evictions).toBe(0);
});

test('bell I1: two threads that sleep in turn never miss each other', async () => {
  const regions = buffers({});
  const seats = [OWNER_SEAT, READER_SEAT];
  const threads = seats.map((seat, first) => {
    return new Thread('player', regions, SEED + first, { seat, partner: seats[1 - first], first });
  });
  const [one, other] = (await runFor(STRESS_MS, regions, threads)) as [number, number];
  console.log(`stress: ${one + other} turns of park and ring`);
  expect(Math.abs(one - other)).toBeLessThanOrEqual(1);
  expect(one).toBeGreaterThan(100);
});

test('a reader that is terminated while it pins stops the writer only until its slots are released', async () => {
  const regions = ringBuffers(3);
  const threads = ringThreads(regions, 'drop-oldest', false);
  const [table, signals] = [new Int32Array(regions.table), new Int32Array(regions.signals)];
  const bells = new Bells(new Int32Array(regions.control));
  const progress = (): number => Atomics.load(signals, PROGRESS);
  for (let round = 0; round < VICTIMS; round++) {
    const seat = VICTIM_SEAT + round;
    const victim = new Thread('victim', regions, SEED + seat, { seat });
    const pinned = await withDeadline(Promise.race([victim.pinned, threads[0].result]), 'the victim did not pin');
    await until(() => isHeldAt(pinned as number), 'the writer did not fill the ring');
    const before = progress();
    await victim.worker.terminate();
    expect(progress() - before).toBeLessThanOrEqual(RING_CAPACITY / 32);
    expect(releaseSlotsOf(table, 0, seat)).toBe(1);
    bells.rouse(OWNER_SEAT);
    await until(() => progress() > before + 100, 'the writer did not go on');
  }
  await stop(regions, threads);
  expect(Atomics.load(table, SLOT_MASK) >>> 3).toBe(0);

  /** The newest batch leaves no room for the largest one while `position` is held. */
  function isHeldAt(position: number): boolean {
    return ((Atomics.load(table, RING_TAIL) - position) | 0) > RING_CAPACITY / 2;
  }
});
