// The plan of kills: every second one at a named place in the code, each place in its turn, the process and only the
// thread that comes by alternately; the others at random moments.
import { CRASH_POINTS, type CrashPoint } from '../src/log/crash-point.ts';

/** What is to end where. */
export interface Crash {
  readonly point: CrashPoint;
  /** The n-th time that a thread comes by. */
  readonly count: number;
  /** Only the thread: the process lives on. */
  readonly threadOnly: boolean;
}

/** Nothing is old enough to be removed here: unit tests stop retention at every step. */
const NEVER_PASSED: ReadonlySet<CrashPoint> = new Set(['log.retained']);

/** Passed by the main thread: it cannot end alone. */
const MAIN_THREAD: ReadonlySet<CrashPoint> = new Set(['recovery.verified', 'recovery.done']);

/** How often the place is passed before it ends something: rare places at once, busy ones after a while. */
const POINT_COUNTS: Partial<Record<CrashPoint, number>> = {
  'broker.appended': 200,
  'broker.released': 200,
  'store.staged': 60,
  'store.torn-write': 60,
  'store.written': 60,
  'store.noticed': 60,
  'state.offsets-committed': 5,
  'journal.appended': 200,
  'journal.synced': 40,
  'journal.snapshot-written': 2,
  'journal.snapshot-named': 2,
  'move.intended': 60,
  'move.published': 60,
  'move.done': 40,
  'lease.written': 20,
  'timer.stored': 20,
  'timer.recalled': 10,
  'timer.bucket-written': 40,
  'timer.bucket-synced': 2,
  'timer.checkpointed': 2,
  'transaction.prepared': 20,
  'transaction.checked': 2,
};

export class Plan {
  /** 0 to 1; the same seed gives the same numbers. */
  readonly random: () => number;
  /** In the order in which their turn comes. */
  private readonly points: readonly CrashPoint[];

  /** `points`: only these. Default: all. */
  constructor(seed: number, points: readonly CrashPoint[] = CRASH_POINTS) {
    this.random = mulberry(seed);
    const passed = points.filter((point) => !NEVER_PASSED.has(point));
    this.points = shuffled(passed, this.random);
  }

  /** The n-th kill, from 1 on; undefined: at a random moment. */
  kill(number: number): Crash | undefined {
    if (number % 2 !== 0 || this.points.length === 0) return undefined;
    const turn = number / 2;
    const place = turn % this.points.length;
    const point = this.points[place];
    // A place that the process ended at in one round ends the thread in the next one.
    const round = Math.floor(turn / this.points.length);
    const threadOnly = (place + round) % 2 === 0 && !MAIN_THREAD.has(point);
    return { point, count: 1 + Math.floor(this.random() * (POINT_COUNTS[point] ?? 1)), threadOnly };
  }
}

function shuffled<T>(all: readonly T[], random: () => number): readonly T[] {
  const left = [...all];
  return all.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
}

/** mulberry32, 0 to 1. */
function mulberry(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
