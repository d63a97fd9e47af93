// Topics that messages are scheduled for: they must be there, or be made on first use, before a message waits for them.
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { TopicRoute } from '../wire/commands.ts';

/** Bytes of header and padding that a record may have besides what counts as the message. */
const RECORD_OVERHEAD_BYTES = 24 + 8;
/** How long an answer is good: calls that schedule come in thousands. */
const KNOWN_MS = 1_000;
const KNOWN_MAX = 1_024;

/** What of a connection is used. */
type TargetConnection = Pick<InProcessConnection, 'route' | 'producer'>;

interface Known {
  readonly recordMax: number;
  readonly until: number;
}

export class TargetTopics {
  private readonly connection: TargetConnection;
  private readonly known = new Map<string, Known>();

  constructor(connection: TargetConnection) {
    this.connection = connection;
  }

  /**
   * Longest record that the topic takes. Rejects with `unknown-topic`, `auto-create-off`, `illegal-topic`,
   * `direct-only` or the like.
   */
  async recordMax(topic: string): Promise<number> {
    const known = this.known.get(topic);
    if (known !== undefined && known.until > performance.now()) return known.recordMax;
    this.known.delete(topic);
    const route = (await this.find(topic)) ?? (await this.make(topic));
    if (route.direct) throw new RingmqError('direct-only', `${topic} is written by an embedding thread alone`);
    const recordMax = route.messageMaxBytes + RECORD_OVERHEAD_BYTES;
    if (this.known.size >= KNOWN_MAX) this.known.clear();
    this.known.set(topic, { recordMax, until: performance.now() + KNOWN_MS });
    return recordMax;
  }

  private async find(topic: string): Promise<TopicRoute | undefined> {
    try {
      return await this.connection.route(topic);
    } catch (error) {
      if (error instanceof RingmqError && error.code === 'unknown-topic') return undefined;
      throw error;
    }
  }

  /** As a producer's first message does. */
  private async make(topic: string): Promise<TopicRoute> {
    const producer = this.connection.producer(topic);
    try {
      await producer.ready();
    } finally {
      await producer.close();
    }
    return this.connection.route(topic);
  }
}
