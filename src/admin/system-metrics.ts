// What goes out on `sys.metrics` once a second: one JSON message with the machine's and the broker's figures.
import type { CounterName } from '../memory/counters.ts';
import type { BrokerFigures, CounterTotals, PartitionFigures, SeatFigures } from './broker-figures.ts';
import type { HostFigures, HostMeter } from './host-figures.ts';
import type { StoreFigures } from './store-figures.ts';

export const SYSTEM_TOPIC = 'sys.metrics';
export const SYSTEM_TOPIC_RING_BYTES = 256 * 1024;
export const SYSTEM_METRICS_MS = 1_000;

/** What does not change while the broker runs. */
export interface BrokerFacts {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Package that serves WebSocket. */
  readonly transport: string;
}

/** Counters whose rates are shown. */
const RATES = ['messagesIn', 'messagesOut', 'bytesIn', 'bytesOut', 'batchesIn', 'batchesOut'] as const;
type RateName = (typeof RATES)[number];

/** One message. */
export interface SystemSample extends HostFigures {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly uptimeS: number;
  readonly broker: {
    readonly name: string;
    readonly version: string;
    readonly transport: string;
    readonly node: string;
  };
  /** Sums since the start. */
  readonly totals: CounterTotals;
  /** The same a second, since the last message. */
  readonly rates: Readonly<Record<RateName, number>>;
  readonly connections: number;
  readonly partitions: PartitionFigures;
  readonly seats: readonly SeatFigures[];
  /** Missing if the broker keeps no data. */
  readonly store?: StoreSample | undefined;
}

/** The store's figures, and how fast they grew since the last message. */
export interface StoreSample extends StoreFigures {
  readonly writtenBytesPerS: number;
  readonly commitsPerS: number;
}

export class SystemMetrics {
  private readonly facts: BrokerFacts;
  private readonly broker: BrokerFigures;
  private readonly host: HostMeter;
  private before: CounterTotals;
  private storeBefore: StoreFigures | undefined;
  private at: number;

  constructor(facts: BrokerFacts, broker: BrokerFigures, host: HostMeter, nowMs: number) {
    this.facts = facts;
    this.broker = broker;
    this.host = host;
    this.before = broker.totals();
    this.storeBefore = broker.store;
    this.at = nowMs;
  }

  /** Figures since the last call. */
  sample(nowMs: number): SystemSample {
    const { facts, broker, before } = this;
    const seconds = Math.max(nowMs - this.at, 1) / 1_000;
    const totals = broker.totals();
    this.before = totals;
    this.at = nowMs;
    const { name, version, transport, startedAt } = facts;
    return {
      at: nowMs,
      uptimeS: Math.round((nowMs - startedAt) / 1_000),
      broker: { name, version, transport, node: process.version },
      ...this.host.read(nowMs),
      totals,
      rates: ratesOf(totals, before, seconds),
      connections: totals.connectionsOpened - totals.connectionsClosed,
      partitions: broker.partitions(),
      seats: broker.seats(),
      store: this.storeSample(seconds),
    };
  }

  private storeSample(seconds: number): StoreSample | undefined {
    const { store } = this.broker;
    const before = this.storeBefore ?? store;
    this.storeBefore = store;
    if (!store || !before) return undefined;
    const rate = (now: number, then: number) => Math.round(Math.max(0, now - then) / seconds);
    return {
      ...store,
      writtenBytesPerS: rate(store.writtenPosition, before.writtenPosition),
      commitsPerS: rate(store.commits, before.commits),
    };
  }
}

function ratesOf(now: CounterTotals, before: CounterTotals, seconds: number): Readonly<Record<RateName, number>> {
  const rate = (name: CounterName) => Math.round((now[name] - before[name]) / seconds);
  return Object.fromEntries(RATES.map((name) => [name, rate(name)])) as Record<RateName, number>;
}
