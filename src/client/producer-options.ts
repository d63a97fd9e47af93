// A producer's options with defaults and limits.
import { RingmqError } from '../base/codes.ts';
import { ACK_LEVELS, type AckLevel } from '../base/units.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { ProducerOptions } from './connection.ts';

export interface SettledProducerOptions {
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
  if (ack === 'replicated') {
    throw new RingmqError(
      'ack-unsupported',
      `ack 'replicated': this version does not replicate; the most is 'durable'`,
    );
  }
  for (const [name, value] of Object.entries({ batchBytes, bufferBytes, attemptsMax, timeoutMs })) {
    if (!(value >= 1)) throw new RingmqError('illegal-argument', `${name} is ${value}: 1 or more`);
  }
  return { batchBytes, bufferBytes, attemptsMax, timeoutMs };
}

/**
 * Number of the level that is asked for on a topic. Default: `durable` where the topic is, else `accepted`. Throws
 * `ack-unsupported` if the topic cannot give it.
 */
export function ackOn({ topic, durable }: TopicRoute, asked: AckLevel | undefined): number {
  const level = asked ?? (durable ? 'durable' : 'accepted');
  if (!durable && ACK_LEVELS[level] > ACK_LEVELS.accepted) {
    const text = `ack '${level}' needs a durable topic; ${topic} is volatile and acknowledges 'none' or 'accepted'`;
    throw new RingmqError('ack-unsupported', text);
  }
  return ACK_LEVELS[level];
}
