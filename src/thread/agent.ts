// What runs on a server thread, and the two ways to run it: as a loop that owns its thread, or inside an event loop.
// Agents know nothing of threads (the shape is Agrona's).
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Doorbell } from '../memory/bell.ts';

/** One thread's work. */
export interface Agent {
  readonly name: string;
  /** Takes what is there, in bounded amounts, and returns how much it did, in bytes or so: 0 means nothing to do. */
  work(nowMs: number): number;
  /** Called about every `housekeepMs`: what need not happen every turn. */
  housekeep(nowMs: number): void;
  /** Milliseconds after which it has work although nobody rings, at the latest. Default: never. */
  readonly sleepMaxMs?: number;
  /** Something that only the event loop brings is under way, until the promise is kept. Default: never. */
  readonly pending?: Promise<void> | undefined;
  /** True when the loop should end. */
  readonly finished: boolean;
}

/** What a thread does while there is nothing to do. */
export interface IdleStrategy {
  /** Turns without work before sleeping. Each costs well under a microsecond. */
  readonly spinTurns: number;
  /** Milliseconds to sleep at most: the safety net, not the mechanism. */
  readonly parkMs: number;
}

/** `park` sleeps soon (the default: right when threads outnumber cores); `spin` burns a core for the lowest latency. */
export const IDLE_STRATEGIES = {
  park: { spinTurns: 50, parkMs: 100 },
  yield: { spinTurns: 2_000, parkMs: 100 },
  spin: { spinTurns: 1_000_000_000, parkMs: 100 },
} as const satisfies Record<string, IdleStrategy>;
export type IdleName = keyof typeof IDLE_STRATEGIES;

/**
 * A thread that did this much since it last slept is a stage of a busy pipeline: it naps before it parks. A stage that
 * parks between any two batches makes its neighbours ring for each of them, at 14-20 us a ring; a nap lets work pile up
 * and costs them nothing. Light traffic never gets here, so its latency stays that of a ring.
 */
export const HEAVY_WORK = 32 * 1024;

/** Naps in a row without work before it parks after all: the next stage's batch may be a little late. */
export const NAPS_MAX = 4;

/** Milliseconds between two calls of housekeep(). */
export const HOUSEKEEP_MS = 50;
const CLOCK_TURNS = 64;

/**
 * Milliseconds since 1970 as of now, counted on by a clock that nobody sets: for agents that measure how long something
 * takes. (Who stamps messages asks the wall clock.)
 */
export function steadyClock(): () => number {
  const start = Date.now() - performance.now();
  return () => start + performance.now();
}

/** Between two turns of an agent that waits for the event loop and has nothing else to do. */
const PENDING_MS = 1;

/** Like runBlocking(), for an agent that now and then has something pending: meanwhile the event loop turns too. */
export async function runYielding(agent: Agent, doorbell: Doorbell, idle: IdleStrategy, clock: () => number) {
  for (;;) {
    runBlocking(agent, doorbell, idle, clock);
    if (agent.finished) return;
    let housekeepAt = clock() + HOUSEKEEP_MS;
    while (agent.pending) {
      const did = agent.work(clock());
      if (clock() >= housekeepAt) {
        agent.housekeep(clock());
        housekeepAt = clock() + HOUSEKEEP_MS;
      }
      if (did > 0) await nextTurn();
      else await Promise.race([agent.pending, delay(PENDING_MS)]);
    }
  }
}

/** Runs an agent until it is finished or has something pending, sleeping on its doorbell. Blocks the thread. */
export function runBlocking(agent: Agent, doorbell: Doorbell, idle: IdleStrategy, clock: () => number): void {
  let now = clock();
  let housekeepAt = now;
  let idleTurns = 0;
  let turns = 0;
  let since = 0;
  let naps = 0;
  while (!agent.finished && !agent.pending) {
    if ((++turns & (CLOCK_TURNS - 1)) === 0 || idleTurns > 0) now = clock();
    const did = agent.work(now);
    // Due also where the clock was set back: it would be due in an hour otherwise.
    if (now >= housekeepAt || now < housekeepAt - HOUSEKEEP_MS) {
      agent.housekeep(now);
      housekeepAt = now + HOUSEKEEP_MS;
    }
    if (did > 0) {
      since += did;
      idleTurns = 0;
      continue;
    }
    if (++idleTurns <= idle.spinTurns) continue;
    idleTurns = 0;
    if (since >= HEAVY_WORK) naps = NAPS_MAX;
    since = 0;
    if (naps > 0) {
      naps--;
      doorbell.nap();
    } else sleep(agent, doorbell, Math.min(idle.parkMs, agent.sleepMaxMs ?? idle.parkMs), clock);
    now = clock();
  }
}

function sleep(agent: Agent, doorbell: Doorbell, parkMs: number, clock: () => number): void {
  doorbell.park();
  // News that came before park() rang no bell: look once more.
  if (agent.work(clock()) > 0 || agent.finished || agent.pending) doorbell.unpark();
  else doorbell.wait(parkMs);
}
