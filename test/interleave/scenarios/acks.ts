// Acks that wait for the disk: the owner appends, notes the position that it waits for and sleeps; the store writes,
// moves the stored position and rings. A lost wake-up shows as a deadlock, because waits never time out here.
import { LEDGER_CONTROL_BYTES, LEDGER_ENTRY_WORDS, LEDGER_HEAD, LEDGER_TAIL } from '../../../native-layout/store.ts';
import { Bells, Doorbell } from '../../../src/memory/bell.ts';
import { FULL } from '../../../src/memory/lane.ts';
import { AckLedger, WaitingAck } from '../../../src/memory/ledger.ts';
import { setStoredPosition, storedPosition } from '../../../src/memory/partition-entry.ts';
import { EMPTY } from '../../../src/memory/ring-reader.ts';
import type { Actor, Scenario, World } from '../engine.ts';
import { adopt, durable } from './journal.ts';
import {
  batchPositions,
  check,
  checkRising,
  fillBatch,
  OWNER,
  RING_REGIONS,
  readSpan,
  ringWriter,
  STARTS,
  type Start,
} from './support.ts';

const ENTRIES = 4;
const REGIONS = { ...RING_REGIONS, ledger: LEDGER_CONTROL_BYTES + ENTRIES * LEDGER_ENTRY_WORDS * 4 };
/** Seat of the store in the scenarios' small control block. */
const STORE = 5;
const REQUEST = 41;
const FILLED = 2;

function attach(at: World['at']): AckLedger {
  return new AckLedger(at.ledger.words, 0, ENTRIES);
}

/** Appends a batch, shows it, shows that its ack waits, and wakes the store. */
function append(at: World['at'], ledger: AckLedger, sequence: number): void {
  const writer = ringWriter(at, 'block');
  check(fillBatch(writer, sequence) !== FULL, 'there is room');
  writer.publish(sequence + 1);
  ledger.push(Object.assign(new WaitingAck(), { position: writer.position, request: REQUEST }));
  ledger.publish();
  new Bells(at.control.words).ring(STORE);
}

/** Answers what waits, asleep while the store has not come so far. Returns how many. */
function answerAll(at: World['at'], ledger: AckLedger): number {
  const bell = new Doorbell(at.control.words, OWNER);
  const ack = new WaitingAck();
  const isStored = (): boolean => ((storedPosition(at.table.words, 0, 'durable') - ack.position) | 0) >= 0;
  let answered = 0;
  while (ledger.peek(ack)) {
    check(ack.request === REQUEST, 'ledger I1: an entry is whole');
    if (!isStored()) {
      bell.park();
      if (isStored()) bell.unpark();
      else bell.wait(1000);
      continue;
    }
    ledger.pop();
    ledger.release();
    answered++;
  }
  return answered;
}

function worker(first: number, more: Partial<Actor> = {}): Actor {
  return {
    name: 'worker',
    ...more,
    run: ({ at }) => {
      const ledger = attach(at);
      append(at, ledger, first);
      return answerAll(at, ledger);
    },
  };
}

/** Writes until batch `last`, asleep in between. */
function sleepyStore(last: number): Actor {
  return {
    name: 'store',
    run: ({ at }) => {
      const reader = adopt(at);
      const bell = new Doorbell(at.control.words, STORE);
      const got: number[] = [];
      while (got.at(-1) !== last) {
        const length = reader.tryPin();
        if (length === EMPTY) {
          bell.park();
          if (reader.hasNews) bell.unpark();
          else bell.wait(1000);
          continue;
        }
        got.push(...readSpan(reader, length));
        setStoredPosition(at.table.words, 0, 'durable', (reader.position + length) | 0);
        reader.advance(length);
        new Bells(at.control.words).ring(OWNER);
      }
      checkRising(got, false);
    },
  };
}

/** Writes what is there, and in the end says that everything that could ever be in the ring is stored. */
function lastCommit(end: number): Actor {
  return {
    name: 'store',
    run: ({ at }) => {
      const reader = adopt(at);
      const length = reader.tryPin();
      setStoredPosition(at.table.words, 0, 'durable', (reader.position + length) | 0);
      reader.advance(length);
      setStoredPosition(at.table.words, 0, 'durable', end);
      new Bells(at.control.words).rouse(OWNER);
    },
  };
}

function ackComes(start: Start): Scenario {
  const first = batchPositions(start, FILLED).length;
  return {
    name: `acks: one comes when the store has moved, both ends sleep, from ${start.name}`,
    regions: REGIONS,
    setup: (at) => durable(at, start, FILLED),
    actors: [worker(first), sleepyStore(first)],
    finish: (_at, [answered]) => check(answered === 1, 'one ack, one answer'),
  };
}

function ackOutlivesWorker(start: Start): Scenario {
  const positions = batchPositions(start, 4);
  const first = batchPositions(start, FILLED).length;
  return {
    name: `acks: a worker dies anywhere and its successor answers what waits, from ${start.name}`,
    regions: REGIONS,
    setup: (at) => durable(at, start, FILLED),
    actors: [
      worker(first, { mortal: true }),
      lastCommit((positions[positions.length - 1] + 32) | 0),
      { name: 'successor', after: 'worker', run: ({ at }) => answerAll(at, attach(at)) },
    ],
    finish: (at, [done, , heir]) => {
      const { words } = at.ledger;
      check(words[LEDGER_TAIL] === words[LEDGER_HEAD], 'nothing waits any more');
      check(done === undefined || done === 1, 'one ack, one answer');
      check(heir === undefined || (heir as number) <= words[LEDGER_TAIL], 'nothing is answered that was not shown');
    },
  };
}

export const ACK_SCENARIOS: readonly Scenario[] = STARTS.flatMap((start) => [
  ackComes(start),
  ackOutlivesWorker(start),
]);
