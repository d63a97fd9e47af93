// When a message may be delivered: the one limit of delays on every protocol, and the ten minutes that share a file.
import { RingmqError } from '../base/codes.ts';
import { DELAY_MAX_MS } from '../wire/services.ts';

/** How much time one bucket covers. Buckets begin at multiples of it. */
export const BUCKET_MS = 600_000;
const DAY_MS = 24 * 3_600_000;

/** Begin of the bucket that a time belongs to. HOT */
export function bucketOf(timeMs: number): number {
  return timeMs - (timeMs % BUCKET_MS);
}

/** Refuses with `delay-out-of-range` what lies further ahead than may be; a time that has passed is at once. */
export function checkDeliverAt(deliverAt: number, nowMs: number): void {
  if (!Number.isSafeInteger(deliverAt) || deliverAt < 0) {
    throw new RingmqError('illegal-argument', `deliverAt is ${deliverAt}: whole milliseconds since 1970`);
  }
  if (deliverAt - nowMs <= DELAY_MAX_MS) return;
  const days = ((deliverAt - nowMs) / DAY_MS).toFixed(1);
  const most = `the limit is ${DELAY_MAX_MS / DAY_MS} days (${DELAY_MAX_MS} ms)`;
  throw new RingmqError('delay-out-of-range', `a delivery ${days} days ahead: ${most}`);
}

/** What a user may say about the time of a delivery. */
export interface DeliverOptions {
  readonly deliverAt?: number | undefined;
  readonly delayMs?: number | undefined;
}

/** The time that is meant. Throws `illegal-argument`, or `delay-out-of-range` which names the limit. */
export function deliverTime({ deliverAt, delayMs }: DeliverOptions, nowMs: number): number {
  if ((deliverAt === undefined) === (delayMs === undefined)) {
    throw new RingmqError('illegal-argument', 'give deliverAt (milliseconds since 1970) or delayMs, one of the two');
  }
  if (delayMs !== undefined && !(Number.isFinite(delayMs) && delayMs >= 0)) {
    throw new RingmqError('illegal-argument', `delayMs is ${delayMs}: a number of milliseconds, 0 or more`);
  }
  const at = deliverAt ?? Math.ceil(nowMs + (delayMs as number));
  checkDeliverAt(at, nowMs);
  return at;
}
