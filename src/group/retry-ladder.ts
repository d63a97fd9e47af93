// How long failed messages wait before they are delivered again.
import { RingmqError } from '../base/codes.ts';
import { DELAY_MAX_MS } from '../wire/services.ts';

/** Entries that the settings of a group take. */
const DELAYS_MAX = 64;

export interface ExponentialDelays {
  /** Before the second delivery. Default 5 s, as in RocketMQ. */
  readonly firstMs?: number;
  /** Each delay is so many times the one before. Default 2. */
  readonly factor?: number;
  /** None is longer. Default 2 h. */
  readonly maxMs?: number;
}

/**
 * Delays for `retryDelaysMs` of a group's settings that grow exponentially: 5 s, 10 s, 20 s ... 2 h. The last one
 * counts for all later attempts.
 */
export function exponentialDelays(options: ExponentialDelays = {}): number[] {
  const { firstMs = 5_000, factor = 2, maxMs = 7_200_000 } = options;
  if (!(firstMs >= 1 && maxMs >= firstMs && maxMs <= DELAY_MAX_MS && factor >= 1 && Number.isFinite(factor))) {
    const text = `exponentialDelays: firstMs ${firstMs}, factor ${factor}, maxMs ${maxMs}`;
    throw new RingmqError(
      'illegal-argument',
      `${text}: 1 <= firstMs <= maxMs <= ${DELAY_MAX_MS}, and factor 1 or more`,
    );
  }
  if (firstMs === maxMs) return [Math.round(firstMs)];
  const delays = [Math.round(firstMs)];
  for (let delay = firstMs * factor; delay > (delays.at(-1) ?? 0) && delays.length < DELAYS_MAX; delay *= factor) {
    if (delay >= maxMs) return [...delays, Math.round(maxMs)];
    delays.push(Math.round(delay));
  }
  return delays;
}
