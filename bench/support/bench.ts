// What a bench is, and what its result says. Every result is of checked runs: a run that lost, doubled, reordered or
// changed a message throws.

/** Sizes of one bench session. */
export interface Scale {
  /** Milliseconds that a throughput run sends for. */
  readonly durationMs: number;
  readonly runs: number;
  readonly bodyBytes: number;
}

export const FULL: Scale = { durationMs: 3_000, runs: 5, bodyBytes: 64 };
/**
 * Of a run's time, sent before it and not counted, where a bench says so. A process that has just started spends a
 * quarter of its processor time compiling what it runs; a broker is started once and runs for months.
 */
export const WARM_UP = 0.5;
/** For the test suite: keeps benches from rotting, measures nothing. */
export const TINY: Scale = { durationMs: 60, runs: 1, bodyBytes: 64 };

/** One run. */
export interface Measured {
  readonly messagesPerSecond: number;
  /** Microseconds, where the bench measures latency. */
  readonly latency?: Latency;
  /** Anything else worth reading: memory, CPU seconds. */
  readonly notes?: Readonly<Record<string, number | string>>;
}

export interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/** Something that can be measured. */
export interface Contestant {
  readonly name: string;
  /** Why it cannot be measured here; undefined if it can. */
  missing?(): string | undefined;
  measure(scale: Scale): Promise<Measured>;
}

export interface Bench extends Contestant {
  /** What it shows, in one line. */
  readonly what: string;
  /** Measured in turn with the bench in the same session; the first one is the baseline. */
  readonly peers: readonly Contestant[];
  /** Most runs, for benches that take long. */
  readonly runsMax?: number;
}

export interface PeerResult {
  readonly name: string;
  readonly messagesPerSecond: number;
}

/** One line of `--json`. */
export interface Result {
  readonly bench: string;
  readonly messagesPerSecond: number;
  readonly spread: readonly [number, number];
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly p999Us: number | null;
  readonly maxUs: number | null;
  readonly bodyBytes: number;
  readonly runs: number;
  readonly baseline: PeerResult | null;
  readonly ratio: number | null;
  readonly peers: readonly PeerResult[];
  readonly checked: true;
  readonly notes: Readonly<Record<string, number | string>>;
  readonly cores: number;
  readonly node: string;
  readonly cpu: string;
  readonly commit: string;
}

/** Fails a run. */
export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`bench result is wrong: ${what}`);
}

/** Middle value; of an even number the lower one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}
