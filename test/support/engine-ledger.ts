// What a broker has promised, and whether it keeps it: acknowledged messages by partition and offset, compared with
// what a reader is given.
import type { Connection, Producer } from '../../src/client/connection.ts';

export interface Delivered {
  readonly partition: number;
  readonly offset: number;
  text(): string;
}

const FAILED_MAX = 1_000;

/** Sends numbered messages and keeps what was acknowledged. */
export class Load {
  /** `partition@offset` -> body. */
  readonly acked = new Map<string, string>();
  readonly failed: string[] = [];
  private readonly producer: Producer;
  private readonly prefix: string;
  private running = false;
  private ended: Promise<void> = Promise.resolve();
  private next = 0;

  constructor(producer: Producer, prefix = 'm') {
    this.producer = producer;
    this.prefix = prefix;
  }

  /** Sends in blocks of `block`, one after the other, until stop(). */
  start(block = 50, bodyBytes = 0): void {
    this.running = true;
    const rest = '.'.repeat(bodyBytes);
    this.ended = (async () => {
      // A producer that is closed refuses at once, for ever: without an end nothing else would have a turn.
      while (this.running && this.failed.length < FAILED_MAX) await this.sendBlock(block, rest);
    })();
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.ended;
  }

  /** Sends `count` messages and waits for their receipts. */
  async sendBlock(count: number, rest = ''): Promise<void> {
    const sent = Array.from({ length: count }, () => {
      const body = `${this.prefix}${this.next++}${rest}`;
      return this.producer.send(body, { key: `k${this.next % 16}` }).then(
        ({ partition, offset }) => {
          // A duplicate that the broker has forgotten has no offset.
          if (offset < 0) return;
          const place = `${partition}@${offset}`;
          if (this.acked.has(place)) this.failed.push(`two receipts for ${place}`);
          this.acked.set(place, body);
        },
        (error: Error) => void this.failed.push(error.message),
      );
    });
    await Promise.all(sent);
  }
}

/** Takes what a consumer is given and looks for what is wrong with it: twice, out of order, left out. */
export class Check {
  readonly got = new Map<string, string>();
  readonly faults: string[] = [];
  private readonly next = new Map<number, number>();

  readonly take = (message: Delivered): void => {
    const { partition, offset } = message;
    const expected = this.next.get(partition);
    if (expected !== undefined && offset !== expected) this.faults.push(`${partition}: ${offset} came for ${expected}`);
    this.next.set(partition, offset + 1);
    this.got.set(`${partition}@${offset}`, message.text());
  };

  readonly gap = (gap: object): void => {
    this.faults.push(`gap ${JSON.stringify(gap)}`);
  };

  /** Acknowledged messages that are not where their receipt says. */
  missing(acked: ReadonlyMap<string, string>): string[] {
    return [...acked]
      .filter(([place, body]) => this.got.get(place) !== body)
      .map(([place, body]) => `${place} ${body}`);
  }

  /** Bodies that stand at two places. */
  doubled(): string[] {
    const seen = new Map<string, string>();
    const twice: string[] = [];
    for (const [place, body] of this.got) {
      if (seen.has(body)) twice.push(`${body}: ${seen.get(body)} and ${place}`);
      seen.set(body, place);
    }
    return twice;
  }
}

/** Reads a topic from its beginning up to the end that its route names now. */
export async function readAll(connection: Connection, topic: string): Promise<Check> {
  const check = new Check();
  const route = await connection.route(topic);
  const wanted = route.partitions.reduce((sum, one) => sum + one.nextOffset - one.oldestOffset, 0);
  if (wanted === 0) return check;
  await new Promise<void>((resolve, reject) => {
    const consumer = connection.consumer(topic, {
      from: 'earliest',
      onMessage: (message) => {
        check.take(message);
        if (check.got.size >= wanted) void consumer.close().then(resolve);
      },
      onGap: check.gap,
      onError: reject,
    });
    setTimeout(() => reject(new Error(`${check.got.size} of ${wanted} messages came`)), 30_000).unref();
  });
  return check;
}
