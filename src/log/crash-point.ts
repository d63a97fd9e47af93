// Named places at which a test may have the process killed: RINGMQ_CRASH=point:n ends it with SIGKILL the n-th time
// that a thread comes by. With point:n:thread only that thread ends, like one that is terminated: the rest of the
// process lives on, and no thread dies there again. (On the main thread it is the process all the same.) Without the
// variable a call costs one comparison.
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import { tryClaim, unclaimed } from '../memory/once.ts';

// Every place there is, so that a misspelt one is an error and not a test that tests nothing.

/** Of the engine, the log and the state. */
export const STORE_CRASH_POINTS = [
  'broker.appended',
  'broker.released',
  'store.staged',
  'store.torn-write',
  'store.written',
  'store.noticed',
  'store.sealed',
  'store.segment-created',
  'log.index-written',
  'log.retained',
  'state.topic-created',
  'state.offsets-committed',
  'recovery.verified',
  'recovery.done',
] as const;

/** Of the coordinator: its journal, moves, leases, timers and transactions. */
export const COORDINATOR_CRASH_POINTS = [
  'journal.appended',
  'journal.synced',
  'journal.snapshot-written',
  'journal.snapshot-named',
  'move.intended',
  'move.published',
  'move.done',
  'lease.written',
  'timer.stored',
  'timer.recalled',
  'timer.bucket-written',
  'timer.bucket-synced',
  'timer.checkpointed',
  'transaction.prepared',
  'transaction.checked',
] as const;

export const CRASH_POINTS = [...STORE_CRASH_POINTS, ...COORDINATOR_CRASH_POINTS] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

interface Crash {
  readonly point: CrashPoint | undefined;
  readonly count: number;
  readonly threadOnly: boolean;
}

const ONCE = 'ringmq-crash';
const THREAD = 'thread';

const { point: wanted, count, threadOnly } = parse(process.env.RINGMQ_CRASH);
let left = count;
// The main thread of a broker with data comes here before it starts others, which are given the same word.
const once = (getEnvironmentData(ONCE) as Int32Array | undefined) ?? unclaimed();
if (threadOnly && isMainThread) setEnvironmentData(ONCE, once);

/** Ends the process, or this thread, here and now if this is the place and the time. */
export function crashPoint(point: CrashPoint): void {
  if (point !== wanted || --left !== 0) return;
  if (!threadOnly || isMainThread) process.kill(process.pid, 'SIGKILL');
  else if (tryClaim(once)) process.exit(1);
}

/** True if the next crashPoint() of this place will end what it ends: to tear what is under way first. */
export function crashesNext(point: CrashPoint): boolean {
  return point === wanted && left === 1;
}

function parse(text: string | undefined): Crash {
  if (text === undefined || text === '') return { point: undefined, count: 0, threadOnly: false };
  const [name, number = '1', whom] = text.split(':');
  const point = CRASH_POINTS.find((one) => one === name);
  if (point === undefined || !(Number(number) >= 1) || (whom !== undefined && whom !== THREAD)) {
    throw new Error(`RINGMQ_CRASH is ${text}: one of ${CRASH_POINTS.join(', ')}, then :n from 1 on, then :${THREAD}`);
  }
  return { point, count: Number(number), threadOnly: whom === THREAD };
}
