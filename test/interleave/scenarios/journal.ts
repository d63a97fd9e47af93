// Durable partitions: the store's slot holds while others are evicted, is adopted after a death, and given up after a
// deletion.
import { SEAT_STORE } from '../../../native-layout/control.ts';
import {
  PARTITION_DURABLE,
  PARTITION_EPOCH,
  PARTITION_STATE,
  PARTITION_STATES,
  PLACE_READY,
  RING_TAIL,
  SLOT_BASE,
  SLOT_MASK,
  SLOT_OWNER,
} from '../../../native-layout/partition-table.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { openJournalSlot, releaseJournalSlot } from '../../../src/memory/journal.ts';
import { FULL } from '../../../src/memory/lane.ts';
import {
  activatePartition,
  partitionState,
  publishPlace,
  setPartitionState,
  setStoredPosition,
  storedPosition,
  tryRetire,
} from '../../../src/memory/partition-entry.ts';
import { EMPTY, EVICTED, RingReader } from '../../../src/memory/ring-reader.ts';
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
  ringPlace,
  ringWriter,
  STARTS,
  type Start,
} from './support.ts';

const EPOCH = 7;

/** A durable partition that the store holds from its oldest batch on. */
export function durable(at: World['at'], start: Start, filled: number): void {
  const { words } = at.table;
  words[PARTITION_STATE] = PARTITION_STATES.active;
  words[PARTITION_DURABLE] = 1;
  words[PARTITION_EPOCH] = EPOCH;
  words[RING_TAIL] = start.position;
  check(openJournalSlot(words, 0), 'the slot is free');
  prefill(at, start, filled);
  words[PLACE_READY] = 1;
}

/** The store's reader. */
export function adopt(at: World['at']): RingReader {
  const reader = RingReader.tryAdopt(at.table.words, 0, ringPlace(at), new Bells(at.control.words));
  if (!reader) throw new Error('the store has no slot');
  return reader;
}

/** Publishes batches from `first` on, trying each `tries` times. Returns how many. */
function owner(first: number, count: number, tries: number): Actor {
  return {
    name: 'owner',
    run: ({ at }) => {
      const writer = ringWriter(at, 'block');
      for (let sent = 0; sent < count; sent++) {
        let left = tries;
        while (fillBatch(writer, first + sent) === FULL) if (--left === 0) return sent;
        writer.publish(first + sent + 1);
      }
      return count;
    },
  };
}

/** Reads as the store does: keeps what it copied pinned until it is "written", then says so and moves on. */
function storeThread(name: string, polls: number, more: Partial<Actor> = {}): Actor {
  return {
    name,
    ...more,
    run: ({ at }) => {
      const reader = adopt(at);
      const got: number[] = [];
      for (let poll = 0; poll < polls; poll++) {
        const length = reader.tryPin();
        if (length === EMPTY) continue;
        check(length !== EVICTED, 'I3: the store is never evicted');
        got.push(...readSpan(reader, length));
        setStoredPosition(at.table.words, 0, 'durable', (reader.position + length) | 0);
        reader.advance(length);
      }
      checkRising(got, false);
      return got;
    },
  };
}

/** An ordinary reader, which the writer may evict from a durable partition. */
function follower(polls: number): Actor {
  return {
    name: 'reader',
    run: ({ at }) => {
      const reader = open(at, { seat: READER });
      reader.joinHead();
      const got: number[] = [];
      let evictions = 0;
      for (let poll = 0; poll < polls; poll++) {
        const length = reader.tryPin();
        if (length === EMPTY) continue;
        if (length === EVICTED) {
          evictions++;
          reader.joinHead();
          continue;
        }
        got.push(...readSpan(reader, length));
        reader.advance(length);
      }
      checkRising(got, evictions > 0);
    },
  };
}

function holds(start: Start): Scenario {
  const first = batchPositions(start, 4).length;
  return {
    name: `journal: the store holds what it has not written while others are evicted, from ${start.name}`,
    regions: RING_REGIONS,
    setup: (at) => durable(at, start, 4),
    actors: [owner(first, 2, 2), storeThread('store', 2), follower(2)],
    preemptions: 4,
    finish: (_at, [sent, got]) => {
      const read = got as number[];
      check(read[0] === 0, 'nothing leaves the ring before the store has it');
      check(read.length <= first + (sent as number), 'nothing is read that was not published');
    },
  };
}

/** The store dies anywhere, its successor goes on where the cursor stands: no batch is passed over. */
function adoption(start: Start): Scenario {
  const first = batchPositions(start, 4).length;
  return {
    name: `journal: the store dies anywhere and its successor goes on at its cursor, from ${start.name}`,
    regions: RING_REGIONS,
    setup: (at) => durable(at, start, 4),
    actors: [
      owner(first, 1, 2),
      storeThread('store', 1, { mortal: true }),
      storeThread('successor', 2, { after: 'store' }),
    ],
    finish: (at, [, , got]) => {
      if (got === undefined) return;
      const read = got as number[];
      const stored = storedPosition(at.table.words, 0, 'durable');
      // What the dead one had not moved past comes (again); what it moved past was stored before.
      if (read[0] !== undefined && read[0] > 0) {
        const position = batchPositions(start, 4)[read[0]] ?? stored;
        check(((stored - position) | 0) >= 0, 'the successor begins at the latest where the stored position stands');
      }
    },
  };
}

/** Deleted while it is opened: whatever the order, the store gives the slot up and the entry lives again whole. */
function retire(start: Start): Scenario {
  const next = { topic: 2, number: 0, owner: OWNER, epoch: EPOCH + 1, permission: 6, overflow: 0, ringBytes: 128 };
  return {
    name: `journal: a deleted partition is retired when the store gave its slot up, opened anew, from ${start.name}`,
    regions: RING_REGIONS,
    setup: (at) => {
      durable(at, start, 2);
      setPartitionState(at.table.words, 0, PARTITION_STATES.deleted);
    },
    actors: [
      {
        name: 'owner',
        run: ({ at }) => {
          const { words } = at.table;
          if (!tryRetire(words, 0) && !tryRetire(words, 0)) return 'kept';
          activatePartition(words, 0, { ...next, durable: true });
          for (let word = 0; word < RING_REGIONS.ring / 4; word++) at.ring.words[word] = 0x0bad;
          if (!openJournalSlot(words, 0)) return 'waits';
          publishPlace(words, 0, 1, 0, RING_REGIONS.ring);
          check(fillBatch(ringWriter(at, 'block'), 50) !== FULL, 'a fresh ring has room');
          return 'opened';
        },
      },
      {
        name: 'store',
        run: ({ at }) => {
          const { words } = at.table;
          const reader = adopt(at);
          const length = reader.tryPin();
          if (length > 0) {
            // The entry keeps its life as long as the store has the slot (I7).
            check(readSpan(reader, length)[0] === 0, 'a slot that is held keeps the ring');
            setStoredPosition(words, 0, 'durable', (reader.position + length) | 0);
            reader.advance(length);
          }
          if (partitionState(words, 0) === PARTITION_STATES.deleted) releaseJournalSlot(words, 0);
          // Once more, as after every change of routes: a life that came since keeps its slot.
          releaseJournalSlot(words, 0);
        },
      },
      {
        name: 'reader',
        run: ({ at }) => {
          const options = { seat: READER, epoch: EPOCH + 1 };
          const bells = new Bells(at.control.words);
          const reader = RingReader.tryOpen(at.table.words, 0, ringPlace(at), bells, options);
          reader?.close();
        },
      },
    ],
    preemptions: 4,
    finish: (at, [what]) => {
      const { words } = at.table;
      if (what !== 'opened') return;
      check(words[SLOT_BASE + SLOT_OWNER] === SEAT_STORE + 1, 'the store has the slot of the new life');
      check((words[SLOT_MASK] & 1) === 1, 'I6: the new ring is held');
      check(storedPosition(words, 0, 'durable') === 0, 'nothing of the new life is said to be stored');
    },
  };
}

export const JOURNAL_SCENARIOS: readonly Scenario[] = STARTS.flatMap((start) => [
  holds(start),
  adoption(start),
  retire(start),
]);
