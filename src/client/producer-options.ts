// A producer's options with defaults and limits.
import { RingmqError } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import type { ProducerOptions } from './connection.ts';

export interface SettledProducerOptions {
  /** Number of the ack level. */
  readonly ack: number;
  readonly batchBytes: number;
  readonly bufferBytes: number;
  readonly attemptsMax: number;
  readonly timeoutMs: number;
}

const BATCH_BYTES = 64 * 1024;
const BUFFER_BYTES = 8 * 1024 * 1024;
const ATTEMPTS_MAX = 3;
const TIMEOUT_MS = 3_000;

/** Fills in defaults. Throws `illegal-argument` naming the option, or `ack-unsupported`. */
export function settleProducerOptions(options: Omit<ProducerOptions<unknown>, 'codec'>): SettledProducerOptions {
  const { batchBytes = BATCH_BYTES, bufferBytes = BUFFER_BYTES } = options;
  const { attemptsMax = ATTEMPTS_MAX, timeoutMs = TIMEOUT_MS, ack = 'accepted' } = options;
  if (!Object.hasOwn(ACK_LEVELS, ack)) throw new RingmqError('illegal-argument', `ack level ${String(ack)}`);
  if (ack !== 'none' && ack !== 'accepted') {
    throw new RingmqError(
      'ack-unsupported',
      `ack '${ack}' needs a durable topic; volatile topics acknowledge 'none' or 'accepted'`,
    );
  }
  for (const [name, value] of Object.entries({ batchBytes, bufferBytes, attemptsMax, timeoutMs })) {
    if (!(value >= 1)) throw new RingmqError('illegal-argument', `${name} is ${value}: 1 or more`);
  }
  return { ack: ACK_LEVELS[ack], batchBytes, bufferBytes, attemptsMax, timeoutMs };
}
