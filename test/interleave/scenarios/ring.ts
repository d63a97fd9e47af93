// The partition ring: publish, pin, evict, join, retire.
import {
  PARTITION_EPOCH,
  PARTITION_STATE,
  PARTITION_STATES,
  PLACE_READY,
  RING_HEAD,
  RING_TAIL,
} from '../../../native-layout/partition-table.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { FULL } from '../../../src/memory/lane.ts';
import { tryRetire } from '../../../src/memory/partition-entry.ts';
import { EMPTY, EVICTED, type ReaderOptions, RingReader } from '../../../src/memory/ring-reader.ts';
import type { Actor, Scenario, World } from '../engine.ts';
import {
  BATCH_BYTES,
  batchPositions,
  check,
  checkRising,
  fillBatch,
  OTHER,
  prefill,
  READER,
  RING_REGIONS,
  readSpan,
  ringPlace,
  ringWriter,
  STARTS,
  type Start,
} from './support.ts';

type Policy = 'block' | 'drop-oldest';

/** Opens a slot and joins before the actor does anything else. */
export function open(at: World['at'], options: ReaderOptions): RingReader {
  const reader = RingReader.tryOpen(at.table.words, 0, ringPlace(at), new Bells(at.control.words), options);
  if (reader === undefined) throw new Error('no slot');
  return reader;
}

/** Publishes batches `first`..`last`, giving up on one after `tries` answers of FULL. */
function publisher(policy: Policy, first: number, lengths: readonly number[], tries = 1): Actor {
  return {
    name: 'writer',
    run: ({ at }) => {
      const writer = ringWriter(at, policy);
      let sent = 0;
      for (const length of lengths) {
        let left = tries;
        while (fillBatch(writer, first + sent, length) === FULL) if (--left === 0) return sent;
        sent++;
        check(writer.publish(first + sent), 'publish must have news');
      }
      return sent;
    },
  };
}

/** Joins at the oldest batch, then polls; rejoins where it was evicted. Returns the sequences. */
function poller(name: string, options: ReaderOptions, polls: number, close = false): Actor {
  return {
    name,
    run: ({ at }) => {
      const reader = open(at, options);
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
      if (close) reader.close();
      return { got, evictions };
    },
  };
}

function scenario(
  name: string,
  start: Start,
  filled: number,
  actors: readonly Actor[],
  more: Partial<Scenario> = {},
): Scenario {
  return {
    name: `${name}, from ${start.name}`,
    regions: RING_REGIONS,
    setup: (at) => void prefill(at, start, filled),
    actors,
    ...more,
  };
}

/** Batches that fill the ring from there. */
function fits(start: Start): number {
  return batchPositions(start, 4).length;
}

const FULL_BATCHES = [BATCH_BYTES, BATCH_BYTES, BATCH_BYTES];

function basics(start: Start): Scenario[] {
  const holding = { seat: READER, holds: true };
  return [
    scenario('ring: publish and pin with padding at the wrap', start, 3, [
      publisher('block', 3, [24, 24, 24], 2),
      poller('reader', holding, 4),
    ]),
    scenario('ring: a reader that joins a writing ring reads whole batches only', start, 4, [
      publisher('drop-oldest', fits(start), FULL_BATCHES),
      poller('reader', { seat: READER }, 2),
    ]),
    scenario('ring: a pinned reader is never overwritten, an idle one is evicted', start, 4, [
      publisher('drop-oldest', fits(start), FULL_BATCHES, 2),
      poller('reader', { seat: READER }, 3, true),
    ]),
    scenario(
      'ring: a holding reader is never evicted, whatever the policy',
      start,
      4,
      [publisher('drop-oldest', fits(start), [BATCH_BYTES, 24], 2), poller('reader', holding, 3)],
      {
        finish: (_at, results) =>
          check((results[1] as { evictions: number }).evictions === 0, 'I3: holds means never evicted'),
      },
    ),
  ];
}

/** A second look at the order of slot, mask and HEAD: joining at a remembered position. */
function joinRemembered(start: Start): Scenario {
  return scenario('ring: joining at a remembered position succeeds only while its bytes are there', start, 4, [
    publisher('drop-oldest', fits(start), FULL_BATCHES),
    {
      name: 'reader',
      run: ({ at }) => {
        const reader = open(at, { seat: READER });
        if (!reader.tryJoin(batchPositions(start, 2)[1])) return 'gone';
        const length = reader.tryPin();
        if (length === EVICTED) return 'evicted';
        const got = readSpan(reader, length);
        check(got[0] === 1, 'a join at batch 1 reads batch 1 first');
        reader.advance(length);
        return 'read';
      },
    },
  ]);
}

/** The room that padding takes is room that a reader may hold. */
function paddingCounts(): Scenario {
  const start = STARTS[0];
  const small = 16;
  return {
    name: 'ring: padding is not written over a reader either',
    regions: RING_REGIONS,
    setup: (at) => prefill(at, start, 7, small),
    actors: [
      publisher('block', 7, [24], 2),
      {
        name: 'reader',
        run: ({ at }) => {
          const reader = open(at, { seat: READER });
          if (!reader.tryJoin(batchPositions(start, 2, small)[1])) return;
          const length = reader.tryPin();
          check(readSpan(reader, length)[0] === 1, 'a join at batch 1 reads batch 1 first');
          reader.advance(length);
        },
      },
    ],
  };
}

function twoReaders(start: Start): Scenario {
  return scenario(
    'ring: two readers, one of them closes and its slot is taken again',
    start,
    4,
    [
      publisher('drop-oldest', fits(start), [BATCH_BYTES, 24]),
      poller('first', { seat: READER }, 1, true),
      poller('second', { seat: OTHER }, 1),
    ],
    { preemptions: 3 },
  );
}

/** The writer dies; its successor must respect slots that lie behind the HEAD that it finds. */
function heir(start: Start, policy: Policy): Scenario {
  const successor = publisher(policy, 50, [BATCH_BYTES]);
  return scenario(`ring: the writer dies and its successor respects the readers (${policy})`, start, 4, [
    { ...publisher(policy, fits(start), [BATCH_BYTES, 24], 1), mortal: true },
    { ...successor, name: 'successor', after: 'writer' },
    {
      name: 'reader',
      run: ({ at }) => {
        const reader = open(at, { seat: READER });
        reader.joinHead();
        const got: number[] = [];
        for (let poll = 0; poll < 2; poll++) {
          const length = reader.tryPin();
          if (length === EMPTY || length === EVICTED) continue;
          got.push(...readSpan(reader, length));
          reader.advance(length);
        }
        for (let i = 1; i < got.length; i++) check(got[i] > got[i - 1], 'batches out of order');
      },
    },
  ]);
}

/** A partition is deleted and its ring given away while a reader opens: nobody reads a ring that was returned. */
function retire(start: Start): Scenario {
  return {
    name: `ring: no reader opens a retired partition, from ${start.name}`,
    regions: RING_REGIONS,
    setup: (at) => {
      prefill(at, start, 2);
      at.table.words[PARTITION_STATE] = PARTITION_STATES.active;
      at.table.words[PARTITION_EPOCH] = 7;
      at.table.words[PLACE_READY] = 1;
    },
    actors: [
      {
        name: 'owner',
        run: ({ at }) => {
          Atomics.store(at.table.words, PARTITION_STATE, PARTITION_STATES.deleted);
          if (!tryRetire(at.table.words, 0) && !tryRetire(at.table.words, 0)) return 'kept';
          // Given to another ring.
          for (let word = 0; word < RING_REGIONS.ring / 4; word++) at.ring.words[word] = 0x0bad;
          return 'retired';
        },
      },
      {
        name: 'reader',
        run: ({ at }) => {
          const options = { seat: READER, epoch: 7 };
          const reader = RingReader.tryOpen(at.table.words, 0, ringPlace(at), new Bells(at.control.words), options);
          if (reader === undefined) return 'declined';
          reader.joinHead();
          const length = reader.tryPin();
          check(length > 0, 'an open partition keeps its batches');
          readSpan(reader, length);
          reader.advance(length);
          // Out for a while (reading from the log), then back: the slot is still held, so the ring must be there.
          if (reader.tryJoin((start.position - BATCH_BYTES) | 0)) throw new Error('joined before HEAD');
          check(reader.tryJoin(start.position), 'a slot that is held keeps the ring');
          readSpan(reader, reader.tryPin());
          reader.close();
          return 'read';
        },
      },
    ],
    finish: (at, [owner]) => {
      if (owner !== 'retired') return;
      check(at.table.words[RING_HEAD] === 0 && at.table.words[RING_TAIL] === 0, 'a retired entry is at rest');
    },
  };
}

const BOTH_STARTS: readonly Scenario[] = STARTS.flatMap((start) => [
  ...basics(start),
  joinRemembered(start),
  twoReaders(start),
  heir(start, 'drop-oldest'),
  heir(start, 'block'),
  retire(start),
]);

export const RING_SCENARIOS: readonly Scenario[] = [...BOTH_STARTS, paddingCounts()];

export const RING_DEEP: readonly Scenario[] = STARTS.flatMap((start) => [
  scenario('ring: a long run of padded batches', start, 3, [
    publisher('block', 3, [24, 24, 24, 32], 2),
    poller('reader', { seat: READER, holds: true }, 5),
  ]),
  scenario(
    'ring: two readers are evicted and rejoin',
    start,
    4,
    [
      publisher('drop-oldest', fits(start), FULL_BATCHES),
      poller('first', { seat: READER }, 2),
      poller('second', { seat: OTHER }, 2),
    ],
    { preemptions: 4 },
  ),
]);
