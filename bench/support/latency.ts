// Latencies across threads: clocks of threads of one process agree when their origins are added.
import { createHistogram } from 'node:perf_hooks';
import type { Latency } from './bench.ts';

/** Milliseconds on one clock for all threads of the process. */
export function sharedNow(): number {
  return performance.timeOrigin + performance.now();
}

/** Collects latencies given in milliseconds. */
export class LatencyRecorder {
  private readonly histogram = createHistogram({ lowest: 1, highest: 60_000_000_000, figures: 3 });

  record(ms: number): void {
    this.histogram.record(Math.max(1, Math.round(ms * 1e6)));
  }

  result(): Latency {
    const us = (percentile: number): number => this.histogram.percentile(percentile) / 1_000;
    return { p50Us: us(50), p99Us: us(99), p999Us: us(99.9), maxUs: this.histogram.max / 1_000 };
  }
}
