// Reads the log of a broker that was just started again: everything below the epoch that it began with is settled.
import { connect, type TopicRoute, type WsConnection } from '../src/client/node.ts';
import type { Checker } from './checker.ts';
import { nameOf } from './message.ts';

const REQUEST_MS = 60_000;
const READ_MAX_MS = 120_000;

export class Audit {
  private readonly checker: Checker;
  /** Offset up to which each partition was read. */
  private readonly read = new Map<string, number>();

  constructor(checker: Checker) {
    this.checker = checker;
  }

  /**
   * Reads what was settled by the last start. With `all`, everything that is there: nobody publishes any more. Rejects
   * soon after `signal`: the broker has died.
   */
  async run(url: string, topics: readonly string[], all: boolean, signal?: AbortSignal): Promise<Map<string, number>> {
    const connection = connect(url, { requestTimeoutMs: REQUEST_MS });
    // Or a request would wait for the next broker, which comes when this audit is over.
    const died = (): void => void connection.close();
    signal?.addEventListener('abort', died, { once: true });
    const ends = new Map<string, number>();
    try {
      const known = await connection.topics();
      for (const route of known.filter((one) => topics.includes(one.topic))) {
        await this.readTopic(connection, route, all, ends, signal);
      }
    } finally {
      signal?.removeEventListener('abort', died);
      await connection.close();
    }
    return ends;
  }

  private async readTopic(
    connection: WsConnection,
    route: TopicRoute,
    all: boolean,
    ends: Map<string, number>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const left = new Map<number, number>();
    for (const one of route.partitions) {
      const place = `${route.topic}/${one.number}`;
      const end = all ? one.nextOffset : (one.epochs.at(-1)?.offset ?? 0);
      ends.set(place, end);
      if (end > (this.read.get(place) ?? 0)) left.set(one.number, end);
    }
    if (left.size === 0) return;
    await this.readUpTo(connection, route, left, signal);
  }

  private async readUpTo(
    connection: WsConnection,
    route: TopicRoute,
    left: Map<number, number>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { topic } = route;
    const positions = [...left.keys()].map((partition) => ({
      partition,
      epoch: route.partitions.find((one) => one.number === partition)?.epoch ?? 0,
      offset: this.read.get(`${topic}/${partition}`) ?? 0,
    }));
    let died = (): void => {};
    let late: NodeJS.Timeout | undefined;
    const reading = new Promise<void>((resolve, reject) => {
      died = () => reject(new Error('the broker died'));
      signal?.addEventListener('abort', died, { once: true });
      const fail = (text: string): void => reject(new Error(`audit of ${topic}: ${text}`));
      late = setTimeout(() => fail(`still waiting for ${JSON.stringify([...left])}`), READ_MAX_MS);
      const consumer = connection.consumer(topic, {
        partitions: [...left.keys()],
        from: { positions },
        onMessage: (message) => {
          const end = left.get(message.partition);
          if (end === undefined || message.offset >= end || signal?.aborted) return;
          const place = `${topic}/${message.partition}`;
          this.checker.stored(place, message.offset, nameOf(message.body));
          this.read.set(place, message.offset + 1);
          if (message.offset + 1 < end) return;
          left.delete(message.partition);
          if (left.size === 0) {
            void consumer.close().then(resolve, reject);
          }
        },
        onGap: (gap) => fail(`gap ${gap.from} to ${gap.to} of partition ${gap.partition} (${gap.reason})`),
        onError: (error) => fail(error.message),
      });
    });
    await reading.finally(() => {
      clearTimeout(late);
      signal?.removeEventListener('abort', died);
    });
  }
}
