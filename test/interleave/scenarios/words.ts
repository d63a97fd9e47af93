// Single words and groups of words: counters past 2^32, identities and places of entries that change hands, seats.
import {
  CONTROL_HEADER_BYTES,
  SEAT_BYTES,
  SEAT_COUNTERS,
  SEAT_GENERATION,
  SEAT_THREAD,
} from '../../../native-layout/control.ts';
import {
  NEXT_OFFSET_HIGH,
  NEXT_OFFSET_LOW,
  PARTITION_ENTRY_BYTES,
  PARTITION_STATES,
} from '../../../native-layout/partition-table.ts';
import { seatWord } from '../../../src/memory/bell.ts';
import { COUNTER, Counters, readCounter } from '../../../src/memory/counters.ts';
import { NONE } from '../../../src/memory/lane.ts';
import {
  activatePartition,
  nextOffset,
  type PartitionIdentity,
  placeNumbers,
  publishPlace,
  readIdentity,
  setPartitionState,
  tryRetire,
} from '../../../src/memory/partition-entry.ts';
import { claimSeat, releaseSeat } from '../../../src/memory/seats.ts';
import type { Scenario, World } from '../engine.ts';
import { CONTROL_BYTES, check, fillBatch, OWNER, prefill, RING_REGIONS, ringWriter, STARTS } from './support.ts';

const TWO_32 = 4_294_967_296;
const BEFORE = TWO_32 - 5;
const AFTER = TWO_32 + 3;
const LAST = 2 * TWO_32 + 1;

/** Answers never fall, and each lies between what was stored and what is being stored. */
function checkPassing(answers: readonly number[]): void {
  let least = BEFORE;
  for (const answer of answers) {
    check(answer >= least && answer <= LAST, `counter I1: ${answer} was never the value`);
    check([BEFORE, TWO_32, AFTER, 2 * TWO_32, LAST].includes(answer), `counter I1: ${answer} mixes two sums`);
    least = answer;
  }
}

const counters: Scenario = {
  name: 'words: a counter that passes 2^32 is never read half old, half new',
  regions: { control: CONTROL_BYTES },
  setup: ({ control }) => {
    control.words[seatWord(OWNER) + SEAT_COUNTERS + COUNTER.bytesIn * 2] = BEFORE | 0;
  },
  actors: [
    {
      name: 'writer',
      mortal: true,
      run: ({ at }) => {
        const mine = new Counters(at.control.words, OWNER);
        mine.add(COUNTER.bytesIn, AFTER - BEFORE);
        mine.publish();
        mine.add(COUNTER.bytesIn, LAST - AFTER);
        mine.publish();
      },
    },
    {
      name: 'reader',
      run: ({ at }) => checkPassing([1, 2, 3].map(() => readCounter(at.control.words, OWNER, COUNTER.bytesIn))),
    },
  ],
};

const offsets: Scenario = {
  name: 'words: the next offset passes 2^32 in one piece, also where the writer dies',
  regions: RING_REGIONS,
  setup: (at) => {
    prefill(at, STARTS[0], 1);
    at.table.words[NEXT_OFFSET_LOW] = BEFORE | 0;
    at.table.words[NEXT_OFFSET_HIGH] = 0;
  },
  actors: [
    {
      name: 'writer',
      mortal: true,
      run: ({ at }) => {
        const writer = ringWriter(at, 'block');
        fillBatch(writer, 1);
        writer.publish(AFTER);
      },
    },
    {
      name: 'successor',
      after: 'writer',
      run: ({ at }) => {
        const writer = ringWriter(at, 'block');
        fillBatch(writer, 2);
        writer.publish(AFTER);
        return nextOffset(at.table.words, 0);
      },
    },
    { name: 'reader', run: ({ at }) => checkPassing([1, 2].map(() => nextOffset(at.table.words, 0))) },
  ],
  finish: (at, results) => {
    check(nextOffset(at.table.words, 0) === AFTER, 'the offset stands at its end');
    check(results[1] === undefined || results[1] === AFTER, 'a successor leaves a whole offset');
  },
};

function identity(life: number): PartitionIdentity {
  const overflow = life % 3;
  const rest = { overflow, ringBytes: life * 1024, durable: life % 2 === 1, reserved: life % 2 === 0 };
  return { topic: life, number: life, owner: life, epoch: life, permission: life, ...rest };
}

function checkOneLife(at: World['at']): void {
  const found = readIdentity(at.table.words, 0);
  if (found) check(JSON.stringify(found) === JSON.stringify(identity(found.epoch)), 'an identity of two lives');
  const place = placeNumbers(at.table.words, 0);
  if (place) check(place.byte === place.arena * 4096 && place.capacity === place.arena * 512, 'a place of two lives');
}

const lives: Scenario = {
  name: 'words: identity and place of an entry are of one life',
  regions: { table: PARTITION_ENTRY_BYTES },
  setup: ({ table }) => {
    activatePartition(table.words, 0, identity(1));
    publishPlace(table.words, 0, 1, 4096, 512);
  },
  actors: [
    {
      name: 'nameserver and owner',
      run: ({ at }) => {
        setPartitionState(at.table.words, 0, PARTITION_STATES.deleted);
        check(tryRetire(at.table.words, 0), 'nobody reads');
        activatePartition(at.table.words, 0, identity(2));
        publishPlace(at.table.words, 0, 2, 8192, 1024);
      },
    },
    { name: 'reader', run: ({ at }) => checkOneLife(at) },
  ],
};

const seats: Scenario = {
  name: 'words: seats I1: no two threads hold one seat, and a seat given back can be taken',
  regions: { control: CONTROL_HEADER_BYTES + 2 * SEAT_BYTES },
  actors: [11, 22, 33].map((thread) => ({
    name: `thread ${thread}`,
    run: ({ at }) => {
      const seat = claimSeat(at.control.words, 0, 1, 'embedded', thread);
      if (seat === NONE) return seat;
      check(Atomics.load(at.control.words, seatWord(seat) + SEAT_THREAD) === thread, 'seats I1: one holder at a time');
      releaseSeat(at.control.words, seat);
      return seat;
    },
  })),
  finish: (at, results) => {
    const taken = at.control.words[seatWord(0) + SEAT_GENERATION] + at.control.words[seatWord(1) + SEAT_GENERATION];
    check(taken === results.filter((seat) => seat !== NONE).length, 'each claim counts one generation');
  },
};

export const WORD_SCENARIOS: readonly Scenario[] = [counters, offsets, lives, seats];
