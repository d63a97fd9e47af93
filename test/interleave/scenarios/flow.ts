// A whole partition at work: writer with notices and a doorbell, reader that sleeps, writer that blocks, readers that
// die.
import { LANE_HEAD, LANE_TAIL, NOTICE_CONTROL_BYTES } from '../../../native-layout/lane.ts';
import { Bells, Doorbell } from '../../../src/memory/bell.ts';
import { FULL, NONE } from '../../../src/memory/lane.ts';
import { NoticeReader, NoticeWriter } from '../../../src/memory/notice.ts';
import { type RingReader, releaseSlotsOf } from '../../../src/memory/ring-reader.ts';
import type { RingWriter } from '../../../src/memory/ring-writer.ts';
import type { Actor, Scenario, World } from '../engine.ts';
import { open } from './ring.ts';
import {
  batchPositions,
  check,
  checkRising,
  fillBatch,
  OWNER,
  prefill,
  READER,
  RING_REGIONS,
  readSpan,
  ringWriter,
  STARTS,
  type Start,
} from './support.ts';

type Policy = 'block' | 'drop-oldest';
const NOTICE_ENTRIES = 4;
const NOTICES = { byte: 0, capacity: NOTICE_ENTRIES * 4 };
const REGIONS = { ...RING_REGIONS, notices: NOTICE_CONTROL_BYTES + NOTICES.capacity };

/** Blocks until the batch is in place. */
function fillOrSleep(writer: RingWriter, bell: Doorbell, sequence: number): void {
  while (fillBatch(writer, sequence) === FULL) {
    writer.setBlocked(true);
    bell.park();
    if (fillBatch(writer, sequence) !== FULL) {
      bell.unpark();
      writer.setBlocked(false);
      return;
    }
    bell.wait(1000);
    writer.setBlocked(false);
  }
}

/** Publishes batches `first`..`last`; notices its readers; with 'block' it sleeps while the ring is full. */
function owner(policy: Policy, first: number, last: number, oneNotice: boolean): Actor {
  return {
    name: 'owner',
    run: ({ at }) => {
      const writer = ringWriter(at, policy);
      const notices = new NoticeWriter(at.notices.words, NOTICES);
      const bells = new Bells(at.control.words);
      const bell = new Doorbell(at.control.words, OWNER);
      const news = (seat: number): void => {
        if (oneNotice) checkNoneUnderWay(at);
        notices.push(0);
        bells.ring(seat);
      };
      for (let sequence = first; sequence <= last; sequence++) {
        fillOrSleep(writer, bell, sequence);
        writer.publish(sequence + 1);
        writer.eachNews(news);
      }
    },
  };
}

function checkNoneUnderWay(at: World['at']): void {
  const { words } = at.notices;
  const underWay = Atomics.load(words, LANE_TAIL) - Atomics.load(words, LANE_HEAD);
  check(underWay === 0, 'notice I1: at most one notice per partition is under way');
}

function drain(reader: RingReader, got: number[], gapsAllowed: boolean): void {
  for (let length = reader.tryPin(); length !== 0; length = reader.tryPin()) {
    if (length < 0) {
      check(gapsAllowed, 'I3: evicted although the policy is block');
      reader.joinHead();
      continue;
    }
    got.push(...readSpan(reader, length));
    reader.advance(length);
  }
}

/** Reads until batch `last`, asleep between notices. */
function subscriber(last: number, gapsAllowed: boolean): Actor {
  return {
    name: 'subscriber',
    run: ({ at }) => {
      const bell = new Doorbell(at.control.words, READER);
      const notices = new NoticeReader(at.notices.words, NOTICES);
      const reader = open(at, { seat: READER });
      reader.joinHead();
      const got: number[] = [];
      drain(reader, got, gapsAllowed);
      while (got[got.length - 1] !== last) {
        if (notices.take() !== NONE) {
          reader.noticed();
          drain(reader, got, gapsAllowed);
          continue;
        }
        bell.park();
        if (notices.hasNews) bell.unpark();
        else bell.wait(1000);
      }
      checkRising(got, gapsAllowed);
      return got;
    },
  };
}

/** Polls without sleeping and may die anywhere: its pins must not stop the owner for ever. */
function mortalReader(polls: number): Actor {
  return {
    name: 'victim',
    mortal: true,
    run: ({ at }) => {
      const reader = open(at, { seat: READER });
      reader.joinHead();
      for (let poll = 0; poll < polls; poll++) {
        const length = reader.tryPin();
        if (length <= 0) break;
        readSpan(reader, length);
        reader.advance(length);
      }
      reader.close();
    },
  };
}

const UNDERTAKER: Actor = {
  name: 'undertaker',
  after: 'victim',
  run: ({ at }) => {
    releaseSlotsOf(at.table.words, 0, READER);
    new Bells(at.control.words).rouse(OWNER);
  },
};

function flow(start: Start, policy: Policy, filled: number, more: number): Scenario {
  const first = batchPositions(start, filled).length;
  const last = first + more - 1;
  return {
    name: `flow: a ring of 4 holds ${first}, ${more} more come, ${policy}, both ends sleep, from ${start.name}`,
    regions: REGIONS,
    setup: (at) => prefill(at, start, filled),
    actors: [owner(policy, first, last, true), subscriber(last, policy !== 'block')],
    finish: (_at, results) => check((results[1] as number[]).at(-1) === last, 'the last batch arrives'),
  };
}

function death(start: Start, policy: Policy, more: number): Scenario {
  const first = batchPositions(start, 4).length;
  return {
    name: `flow: a reader dies anywhere and the owner publishes ${more} more, ${policy}, from ${start.name}`,
    regions: REGIONS,
    setup: (at) => prefill(at, start, 4),
    actors: [owner(policy, first, first + more - 1, false), mortalReader(1), UNDERTAKER],
    finish: (at) => {
      const slot = at.table.words.subarray(128, 160);
      check(slot[0] === 0 && slot[1] === 0, 'nothing of a dead or closed reader is left');
    },
  };
}

/** A reader closes and opens again on the same slot: a notice too many may be under way, but none is lost. */
function reopen(start: Start): Scenario {
  const second = subscriber(3, false);
  return {
    name: `flow: a slot changes hands while the owner notices, from ${start.name}`,
    regions: REGIONS,
    setup: (at) => prefill(at, start, 2),
    actors: [
      owner('block', 2, 3, false),
      {
        name: 'subscriber',
        run: (world) => {
          const reader = open(world.at, { seat: READER });
          reader.joinHead();
          reader.close();
          return second.run(world);
        },
      },
    ],
  };
}

export const FLOW_SCENARIOS: readonly Scenario[] = STARTS.flatMap((start) => [
  flow(start, 'block', 1, 2),
  flow(start, 'block', 4, 1),
  flow(start, 'drop-oldest', 4, 1),
  death(start, start.position === 0 ? 'block' : 'drop-oldest', 1),
  ...(start.position === 0 ? [reopen(start)] : []),
]);
export const FLOW_DEEP: readonly Scenario[] = STARTS.flatMap((start) => [
  death(start, start.position === 0 ? 'drop-oldest' : 'block', 1),
  death(start, 'drop-oldest', 2),
  reopen(start),
  flow(start, 'block', 1, 3),
  flow(start, 'block', 4, 2),
  flow(start, 'drop-oldest', 4, 2),
]);
