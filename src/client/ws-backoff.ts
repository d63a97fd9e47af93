// When to try again: exponential with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), so that a thousand
// clients of a restarted broker come back spread out.
import { RingmqError } from '../base/codes.ts';

/** How a connection comes back. */
export interface ReconnectOptions {
  /** The first wait is random between 0 and this many milliseconds; it doubles each time. Default 250. */
  readonly minMs?: number;
  /** Longest wait in milliseconds. Default 20,000. */
  readonly maxMs?: number;
  /** Attempts in a row before giving up. Default: never. */
  readonly attemptsMax?: number;
}

const MIN_MS = 250;
const MAX_MS = 20_000;
/** A session that lasted this long starts the waits anew. */
const STEADY_MS = 5_000;

export class Backoff {
  private readonly minMs: number;
  private readonly maxMs: number;
  private readonly attemptsMax: number;
  private readonly random: () => number;
  private failures = 0;

  /** `false`: one attempt. Throws `illegal-argument`. */
  constructor(options: ReconnectOptions | false = {}, random: () => number = Math.random) {
    const { minMs = MIN_MS, maxMs = MAX_MS, attemptsMax = Number.POSITIVE_INFINITY } = options || { attemptsMax: 0 };
    if (!(minMs >= 0 && maxMs >= minMs && attemptsMax >= 0)) {
      throw new RingmqError('illegal-argument', 'reconnect: 0 <= minMs <= maxMs and attemptsMax >= 0');
    }
    this.minMs = minMs;
    this.maxMs = maxMs;
    this.attemptsMax = attemptsMax;
    this.random = random;
  }

  /** Milliseconds to wait after one more failure; undefined: give up. */
  next(): number | undefined {
    if (this.failures >= this.attemptsMax) return undefined;
    // 2^31 ms is beyond any limit, and the power must not reach Infinity times 0.
    const ceiling = Math.min(this.maxMs, this.minMs * 2 ** Math.min(this.failures, 31));
    this.failures++;
    return Math.round(this.random() * ceiling);
  }

  /** A session ended that had lasted this long. */
  lasted(ms: number): void {
    if (ms >= STEADY_MS) this.failures = 0;
  }
}
