// Reads single messages again, wherever they are: for retries, dead letters, and moves that were not finished.
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Message } from '../client/message.ts';

/** A partition has 32 places for readers, of all threads. */
const READS_MAX = 8;

export class MessageReader {
  private readonly connection: Pick<InProcessConnection, 'pull'>;
  private reads = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(connection: Pick<InProcessConnection, 'pull'>) {
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
    while (this.reads >= READS_MAX) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.reads++;
    try {
      const { messages } = await this.connection.pull({ topic, partition, epoch, from: { offset }, max, waitMs: 0 });
      const first = messages[0]?.offset;
      return messages.slice(0, max).filter((message, i) => message.offset === first + i);
    } finally {
      this.reads--;
      this.waiting.shift()?.();
    }
  }
}
