// Named places at which a test may have the process killed: RINGMQ_CRASH=point:n ends it with SIGKILL the n-th time
// that a thread comes by. Without the variable a call costs one comparison.

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

const [wanted, count] = parse(process.env.RINGMQ_CRASH);
let left = count;

/** Ends the process here and now if this is the place and the time. */
export function crashPoint(point: CrashPoint): void {
  if (point === wanted && --left === 0) process.kill(process.pid, 'SIGKILL');
}

/** True if the next crashPoint() of this place will end the process: to tear what is under way first. */
export function crashesNext(point: CrashPoint): boolean {
  return point === wanted && left === 1;
}

function parse(text: string | undefined): [CrashPoint | undefined, number] {
  if (text === undefined || text === '') return [undefined, 0];
  const [name, number = '1'] = text.split(':');
  const point = CRASH_POINTS.find((one) => one === name);
  if (point === undefined || !(Number(number) >= 1)) {
    throw new Error(`RINGMQ_CRASH is ${text}: one of ${CRASH_POINTS.join(', ')}, then :n from 1 on`);
  }
  return [point, Number(number)];
}
