// What the broker's threads have counted, gathered out of shared memory: for /metrics, sys.metrics and /health.
import { CONTROL_STATES, SEAT_FIRST_WORKER, SEAT_ROLES, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
import { COUNTER, type CounterName, readCounter } from '../memory/counters.ts';
import { placeNumbers, readIdentity, ringUsedBytes } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import {
  brokerState,
  heartbeat,
  partitionsUsed,
  routeVersion,
  type SeatRole,
  seatRole,
  seatState,
} from '../memory/seats.ts';
import { type StoreFigures, type StoreStateName, storeFigures, storeStateName } from './store-figures.ts';

/** Sums over all seats. */
export type CounterTotals = Readonly<Record<CounterName, number>>;

/** One thread that takes part. */
export interface SeatFigures {
  readonly seat: number;
  readonly role: SeatRole;
  /** It has given a sign of life since the last look (at the first look: it sits there). */
  readonly alive: boolean;
}

/** Partitions of all topics together. */
export interface PartitionFigures {
  readonly topics: number;
  readonly partitions: number;
  /** Bytes of their rings, and how much of them holds messages. */
  readonly ringBytes: number;
  readonly ringUsedBytes: number;
}

const NAMES = Object.keys(COUNTER) as CounterName[];
const ROLE_NAMES = Object.keys(SEAT_ROLES) as SeatRole[];

export class BrokerFigures {
  private readonly regions: Regions;
  private readonly beats = new Map<number, number>();
  private routesSeen = -1;
  private active: { readonly topics: number; readonly ids: readonly number[] } = { topics: 0, ids: [] };

  constructor(regions: Regions) {
    this.regions = regions;
  }

  /** One of CONTROL_STATES, by name. */
  get state(): string {
    const state = brokerState(this.regions.control);
    return Object.entries(CONTROL_STATES).find(([, number]) => number === state)?.[0] ?? 'unknown';
  }

  /** Undefined if the broker keeps no data. */
  get store(): StoreFigures | undefined {
    return storeFigures(this.regions);
  }

  /** `off` if the broker keeps no data. */
  get storeState(): StoreStateName {
    return storeStateName(this.regions);
  }

  /** One counter of one seat. */
  counter(seat: number, name: CounterName): number {
    return readCounter(this.regions.control, seat, COUNTER[name]);
  }

  /** Seats keep their sums when threads come and go, so totals only grow. */
  totals(): CounterTotals {
    const totals = {} as Record<CounterName, number>;
    for (const name of NAMES) {
      totals[name] = 0;
      for (let seat = 0; seat < SEATS_MAX; seat++) totals[name] += this.counter(seat, name);
    }
    return totals;
  }

  /** Seats that were ever counted at, with the role of who sits there now. */
  roles(): { readonly seat: number; readonly role: SeatRole }[] {
    return Array.from({ length: SEATS_MAX }, (_, seat) => {
      return { seat, role: ROLE_NAMES[seatRole(this.regions.control, seat)] ?? 'none' };
    });
  }

  /** Who sits there. The signs of life are compared with the last call: leave a quarter of a second between two. */
  seats(): SeatFigures[] {
    const { control } = this.regions;
    const seats: SeatFigures[] = [];
    for (let seat = 0; seat < SEATS_MAX; seat++) {
      if (seatState(control, seat) !== SEAT_STATES.taken) continue;
      const beat = heartbeat(control, seat);
      const alive = this.beats.get(seat) !== beat;
      this.beats.set(seat, beat);
      seats.push({ seat, role: ROLE_NAMES[seatRole(control, seat)] ?? 'none', alive });
    }
    return seats;
  }

  /** Broker workers that sit at their seats, and how many there should be. */
  workers(): { readonly alive: number; readonly expected: number } {
    const { control, sizes } = this.regions;
    let alive = 0;
    for (let i = 0; i < sizes.workerCount; i++) {
      if (seatState(control, SEAT_FIRST_WORKER + i) === SEAT_STATES.taken) alive++;
    }
    return { alive, expected: sizes.workerCount };
  }

  partitions(): PartitionFigures {
    const { table } = this.regions;
    const { topics, ids } = this.activePartitions();
    let ringBytes = 0;
    let used = 0;
    for (const id of ids) {
      const place = placeNumbers(table, id);
      if (!place) continue;
      ringBytes += place.capacity;
      used += ringUsedBytes(table, id);
    }
    return { topics, partitions: ids.length, ringBytes, ringUsedBytes: used };
  }

  /** Looked up again when routes have changed. */
  private activePartitions(): { readonly topics: number; readonly ids: readonly number[] } {
    const { control, table } = this.regions;
    const version = routeVersion(control);
    if (version === this.routesSeen) return this.active;
    this.routesSeen = version;
    const topics = new Set<number>();
    const ids: number[] = [];
    for (let id = 0; id < partitionsUsed(control); id++) {
      const identity = readIdentity(table, id);
      if (!identity) continue;
      ids.push(id);
      topics.add(identity.topic);
    }
    this.active = { topics: topics.size, ids };
    return this.active;
  }
}
