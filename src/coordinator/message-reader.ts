// Reads single messages again, wherever they are: for retries, dead letters, and moves that were not finished.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Message } from '../client/message.ts';

/** A log that has much to do is asked so often. What it has and did not say in time is not what it has not. */
const TRIES_MAX = 10;
const AGAIN_MS = 200;
/** A partition has 32 places for readers, of all threads. */
const READS_MAX = 8;

/** Nothing is wrong with what is to be read: a person ends these. */
const MENDED: ReadonlySet<CodeName> = new Set(['no-read-permission', 'store-failed']);

/**
 * Reads until it can be done, or until it is over: what cannot be read for now (a busy log, say) is not lost. Rejects
 * with what is wrong for good.
 */
export async function insist<T>(read: () => Promise<T>, isOver: () => boolean): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (isOver() || !(error instanceof RingmqError && (error.retryable || MENDED.has(error.code)))) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

type ReadingConnection = Pick<InProcessConnection, 'pull' | 'route' | 'nextOffset'>;

export class MessageReader {
  private readonly connection: ReadingConnection;
  private reads = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(connection: ReadingConnection) {
    this.connection = connection;
  }

  /** The message at an offset. Rejects with `not-found` if it is not kept any more. */
  async one(topic: string, partition: number, epoch: number, offset: number): Promise<Message> {
    const [message] = await this.some(topic, partition, epoch, offset, 1);
    if (message !== undefined) return message;
    throw new RingmqError('not-found', `${topic}/${partition} does not have offset ${offset} (any more)`);
  }

  /** Up to `max` messages that follow each other from an offset on; none if the first is not there. */
  async some(topic: string, partition: number, epoch: number, offset: number, max: number): Promise<Message[]> {
    const messages = await this.next(topic, partition, epoch, offset, max);
    return messages[0]?.offset === offset ? messages : [];
  }

  /** The same, from the first offset on that is kept. */
  async next(topic: string, partition: number, epoch: number, offset: number, max: number): Promise<Message[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.read(topic, partition, epoch, offset, max);
      } catch (error) {
        if (tries === TRIES_MAX || !(error instanceof RingmqError && error.retryable)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  private async read(topic: string, partition: number, epoch: number, offset: number, max: number): Promise<Message[]> {
    while (this.reads >= READS_MAX) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.reads++;
    try {
      const request = { topic, partition, epoch, from: { offset }, max, waitMs: 0 };
      const { messages, nextOffset, gap } = await this.connection.pull(request);
      const isOpen = messages.length === 0 && !gap && nextOffset <= offset;
      if (isOpen && (await this.has(topic, partition, offset))) {
        throw new RingmqError('log-busy', `offset ${offset} of ${topic}/${partition} cannot be read just now`);
      }
      const first = messages[0]?.offset;
      return messages.slice(0, max).filter((message, i) => message.offset === first + i);
    } finally {
      this.reads--;
      this.waiting.shift()?.();
    }
  }

  /** True if the partition has given the offset to a message. */
  private async has(topic: string, partition: number, offset: number): Promise<boolean> {
    const { partitions } = await this.connection.route(topic);
    const one = partitions.find(({ number }) => number === partition);
    return one !== undefined && this.connection.nextOffset(one) > offset;
  }
}
