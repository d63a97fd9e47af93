// The log reader: knows where everything is in the log, answers what other threads ask about it, removes what is too
// old, and keeps the key index. See ADR 7 "Two threads".
//
// Order of a turn: what the store has written, then one answer for every thread that asks, then, if nobody wanted
// anything, a short step of the key index.
import { CONTROL_STATES, SEAT_STATES, SEAT_STORE } from '../../native-layout/control.ts';
import { Counters } from '../memory/counters.ts';
import type { Regions } from '../memory/regions.ts';
import { beat, brokerState, seatState } from '../memory/seats.ts';
import type { Agent } from '../thread/agent.ts';
import type { HistoryDesk } from './history-desk.ts';
import type { KeyFollower } from './key-follower.ts';
import type { LogFollower } from './log-follower.ts';
import type { LogKeeper } from './log-keeper.ts';

export interface LogReaderContext {
  readonly regions: Regions;
  readonly seat: number;
  readonly follower: LogFollower;
  readonly desk: HistoryDesk;
  readonly keeper: LogKeeper;
  readonly keys: KeyFollower;
}

export class LogReaderAgent implements Agent {
  readonly name = 'log-reader';
  private readonly context: LogReaderContext;
  private readonly counters: Counters;

  constructor(context: LogReaderContext) {
    this.context = context;
    this.counters = new Counters(context.regions.control, context.seat);
  }

  /** After the store, when everything that it wrote is in the index. */
  get finished(): boolean {
    const { control } = this.context.regions;
    if (brokerState(control) < CONTROL_STATES.stopped) return false;
    return seatState(control, SEAT_STORE) !== SEAT_STATES.taken && !this.context.follower.hasNews;
  }

  /** Requests that wait while the disk is left to the store ring no bell when their time has come. */
  get sleepMaxMs(): number {
    return this.context.desk.restMs || Number.POSITIVE_INFINITY;
  }

  /** A transaction of the key index is under way, in another thread. */
  get pending(): Promise<void> | undefined {
    return this.context.keys.pending;
  }

  work(nowMs: number): number {
    const { follower, desk, keys, keeper } = this.context;
    const did = follower.work() + desk.work();
    return did > 0 ? did : keys.work(follower.end, nowMs) + keeper.work(nowMs);
  }

  housekeep(nowMs: number): void {
    const { regions, seat, keeper } = this.context;
    beat(regions.control, seat);
    this.counters.publish();
    keeper.housekeep(nowMs);
  }

  /** Orderly stop: the next start finds the index as it is. Resolves when all of it is on the disk. */
  close(): Promise<void> {
    const { keeper, keys, follower } = this.context;
    follower.work(); // The store may have shown its last end after its last notice was taken.
    keeper.close(follower.end);
    return keys.close();
  }
}
