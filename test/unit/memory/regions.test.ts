import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  CONTROL_LAYOUT_VERSION,
  CONTROL_MAGIC,
  CONTROL_PARTITION_MAX,
  CONTROL_WORKER_COUNT,
  SEAT_COORDINATOR,
  SEAT_FIRST_WORKER,
  SEAT_NAMESERVER,
  SEATS_MAX,
} from '../../../native-layout/control.ts';
import { LANE_CONTROL_BYTES, NOTICE_CONTROL_BYTES } from '../../../native-layout/lane.ts';
import { LINE_BYTES } from '../../../native-layout/layout.ts';
import { PARTITION_ENTRY_BYTES } from '../../../native-layout/partition-table.ts';
import {
  attachRegions,
  createRegions,
  laneBack,
  laneTo,
  noticesFrom,
  type RegionSizes,
} from '../../../src/memory/regions.ts';

const SIZES: RegionSizes = {
  workerCount: 2,
  frontendCount: 1,
  partitionMax: 64,
  laneBytes: 4096,
  replyBytes: 1024,
  controlLaneBytes: 2048,
};

/** Every lane and notice ring: first byte, and bytes with its control words. */
function allPlaces(sizes: RegionSizes): { byte: number; length: number; capacity: number }[] {
  const places: { byte: number; length: number; capacity: number }[] = [];
  const add = (place: { byte: number; capacity: number }, control: number): void => {
    places.push({ ...place, length: place.capacity + control });
  };
  for (let seat = 0; seat < SEATS_MAX; seat++) {
    for (let server = SEAT_NAMESERVER; server < SEAT_FIRST_WORKER + sizes.workerCount; server++) {
      add(laneTo(sizes, seat, server), LANE_CONTROL_BYTES);
      add(laneBack(sizes, seat, server), LANE_CONTROL_BYTES);
      if (server >= SEAT_FIRST_WORKER) add(noticesFrom(sizes, seat, server), NOTICE_CONTROL_BYTES);
    }
    add(laneTo(sizes, seat, SEAT_COORDINATOR), LANE_CONTROL_BYTES);
    add(laneBack(sizes, seat, SEAT_COORDINATOR), LANE_CONTROL_BYTES);
  }
  return places.sort((a, b) => a.byte - b.byte);
}

const powerOfTwo = (least: number, most: number): fc.Arbitrary<number> =>
  fc.integer({ min: least, max: most }).map((exponent) => 2 ** exponent);

test('lanes of all seats fill their region without a gap and without overlapping, on lines of their own', () => {
  const sizes = fc.record({
    workerCount: fc.integer({ min: 1, max: 16 }),
    frontendCount: fc.integer({ min: 0, max: 8 }),
    partitionMax: powerOfTwo(4, 8),
    laneBytes: powerOfTwo(7, 10),
    replyBytes: powerOfTwo(7, 10),
    controlLaneBytes: powerOfTwo(7, 10),
  });
  fc.assert(
    fc.property(sizes, (some) => {
      let end = 0;
      for (const place of allPlaces(some)) {
        if (place.byte !== end) throw new Error(`a place at ${place.byte} where the one before ends at ${end}`);
        if (place.byte % LINE_BYTES !== 0) throw new Error(`a place at ${place.byte} shares a line`);
        end = place.byte + place.length;
      }
      expect(createRegions('test', some).lanes.byteLength).toBe(end);
    }),
    { numRuns: 30 },
  );
});

test('lanes have the sizes that were asked for, and notices two entries for every partition', () => {
  expect(laneTo(SIZES, 5, SEAT_NAMESERVER).capacity).toBe(2048);
  expect(laneBack(SIZES, 5, SEAT_NAMESERVER).capacity).toBe(2048);
  expect(laneTo(SIZES, 5, SEAT_FIRST_WORKER).capacity).toBe(4096);
  expect(laneBack(SIZES, 5, SEAT_FIRST_WORKER + 1).capacity).toBe(1024);
  expect(noticesFrom(SIZES, 5, SEAT_FIRST_WORKER).capacity).toBe(64 * 2 * 4);
});

test('a call with the largest message that a worker takes fits into a lane to and from the coordinator', () => {
  const messageMaxBytes = SIZES.laneBytes / 2;
  expect(laneTo(SIZES, 5, SEAT_COORDINATOR).capacity / 2).toBeGreaterThan(messageMaxBytes);
  expect(laneBack(SIZES, 5, SEAT_COORDINATOR).capacity / 2).toBeGreaterThan(messageMaxBytes);
});

test('regions carry their sizes and version, and attach', () => {
  const attachment = createRegions('one', SIZES);
  const regions = attachRegions(attachment);
  expect([regions.control[CONTROL_WORKER_COUNT], regions.control[CONTROL_PARTITION_MAX]]).toEqual([2, 64]);
  expect(regions.table.length * 4).toBe(64 * PARTITION_ENTRY_BYTES);
  expect(regions.laneWords.buffer).toBe(regions.laneBytes.buffer);
  expect([regions.id, regions.sizes]).toEqual(['one', SIZES]);
});

test('foreign memory and another layout version are refused', () => {
  const attachment = createRegions('one', SIZES);
  const header = new Int32Array(attachment.control);
  header[CONTROL_LAYOUT_VERSION]++;
  expect(() => attachRegions(attachment)).toThrow('use one version');
  header[CONTROL_MAGIC] = 0;
  expect(() => attachRegions(attachment)).toThrow('no ringmq attachment');
});

test('sizes that would break the layout are Faults', () => {
  const broken: Partial<RegionSizes>[] = [
    { workerCount: 0 },
    { workerCount: 17 },
    { partitionMax: 100 },
    { laneBytes: 3000 },
    { replyBytes: 0 },
    { controlLaneBytes: 48 },
  ];
  for (const part of broken) expect(() => createRegions('one', { ...SIZES, ...part })).toThrow();
  const huge = { ...SIZES, workerCount: 16, laneBytes: 2 ** 22 };
  expect(() => createRegions('one', huge)).toThrow('must fit an int32');
  const answers = { ...SIZES, workerCount: 1, laneBytes: 2 ** 24, durable: true };
  expect(() => createRegions('one', answers)).toThrow('must fit an int32');
});
