// A random life of a broker, and the books that show whether anything was lost, doubled or reordered.
//
// Every body begins with two int32: the number of its producer and its sequence there. Topics are never made again
// under an old name, so that a name, a partition and an offset name one message for ever.
import { randomFillSync } from 'node:crypto';
import type { Gap } from '../../src/client/connection.ts';
import type { RingConsumer } from '../../src/client/consumer.ts';
import type { InProcessConnection } from '../../src/client/in-process.ts';
import type { Message } from '../../src/client/message.ts';

/** What a send may fail with while topics are deleted, rings are full and threads die. */
const MAY_FAIL = new Set(['timeout', 'unknown-topic', 'route-stale', 'ring-full', 'buffer-full', 'out-of-order']);

/** One consumer's books. */
class Reader {
  readonly consumer: RingConsumer<Uint8Array>;
  readonly got = new Map<string, string>();
  readonly gaps: Gap[] = [];
  private readonly next = new Map<number, number>();
  private readonly sequences = new Map<string, number>();
  private readonly topic: TortureTopic;

  constructor(topic: TortureTopic, connection: InProcessConnection, slow: boolean) {
    this.topic = topic;
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    this.consumer = connection.consumer(topic.name, {
      from: 'earliest',
      onMessage: (message) => {
        this.take(message);
        return slow ? turn() : undefined;
      },
      onGap: (gap) => this.gap(gap),
      onError: (error) => {
        if (!topic.deleted) topic.faults.push(`${topic.name}: ${error.message}`);
      },
    });
  }

  private take(message: Message): void {
    const { partition, offset, body } = message;
    const [producer, sequence] = new Int32Array(body.buffer, body.byteOffset, 2);
    const expected = this.next.get(partition) ?? 0;
    if (offset !== expected) this.topic.fault(`${partition}: offset ${offset}, expected ${expected}`);
    this.next.set(partition, offset + 1);
    const line = `${producer}@${partition}`;
    const last = this.sequences.get(line) ?? -1;
    if (sequence <= last) this.topic.fault(`${partition}: ${producer} sent ${sequence} after ${last}`);
    this.sequences.set(line, sequence);
    this.got.set(`${partition}:${offset}`, `${producer}:${sequence}`);
  }

  private gap(gap: Gap): void {
    if (this.topic.overflow !== 'drop-oldest')
      this.topic.fault(`gap ${gap.from}-${gap.to} with ${this.topic.overflow}`);
    this.gaps.push(gap);
    this.next.set(gap.partition, gap.to);
  }
}

export class TortureTopic {
  readonly name: string;
  readonly overflow: 'block' | 'drop-oldest' | 'reject';
  readonly faults: string[];
  readonly readers: Reader[];
  readonly acked: { readonly place: string | undefined; readonly id: string }[] = [];
  deleted = false;
  private readonly random: (below: number) => number;
  private readonly underWay = new Set<PromiseLike<unknown>>();

  constructor(
    name: string,
    overflow: TortureTopic['overflow'],
    faults: string[],
    connections: readonly InProcessConnection[],
    random: (below: number) => number,
  ) {
    this.name = name;
    this.overflow = overflow;
    this.faults = faults;
    this.random = random;
    this.readers = connections.map((connection) => new Reader(this, connection, random(4) === 0));
  }

  fault(what: string): void {
    this.faults.push(`${this.name} (${this.overflow}): ${what}`);
  }

  /** Sends a burst and books its receipts. */
  burst(connection: InProcessConnection, producer: number, count: number): void {
    const sender = connection.producer(this.name, { createTopic: false, timeoutMs: 10_000 });
    for (let sequence = 0; sequence < count; sequence++) {
      const body = Buffer.alloc(8 + this.random(this.random(8) === 0 ? 3_000 : 100));
      randomFillSync(body);
      body.writeInt32LE(producer, 0);
      body.writeInt32LE(sequence, 4);
      const key = this.random(2) === 0 ? `key-${this.random(8)}` : undefined;
      const sent = sender.send(body, key === undefined ? undefined : { key }).then(
        ({ partition, offset }) => {
          const place = offset < 0 ? undefined : `${partition}:${offset}`;
          this.acked.push({ place, id: `${producer}:${sequence}` });
        },
        (error: Error & { code?: string }) => {
          if (!MAY_FAIL.has(error.code ?? '')) this.fault(`send: ${error.code} ${error.message}`);
        },
      );
      this.underWay.add(sent);
      void sent.then(() => this.underWay.delete(sent));
    }
    void sender.close().catch(() => {});
  }

  async settled(): Promise<void> {
    await Promise.all(this.underWay);
  }

  /** True when every reader has got everything that was acknowledged, or knows that it is gone. */
  get complete(): boolean {
    return this.readers.every((reader) => this.missing(reader).length === 0);
  }

  /** Books everything that does not agree. */
  check(): void {
    for (const reader of this.readers) {
      for (const { place, id } of this.acked) {
        const got = place === undefined ? undefined : reader.got.get(place);
        if (got !== undefined && got !== id) this.fault(`${place} is ${got}, but its sender was told it is ${id}`);
      }
      if (this.deleted) continue;
      const missing = this.missing(reader);
      if (missing.length > 0) this.fault(`${missing.length} of ${this.acked.length} were lost, first ${missing[0]}`);
    }
  }

  private missing(reader: Reader): string[] {
    const ids = new Set(reader.got.values());
    return this.acked
      .filter(({ place, id }) => !ids.has(id) && !isGone(reader.gaps, place))
      .map(({ place, id }) => `${place}=${id}`);
  }
}

function isGone(gaps: readonly Gap[], place: string | undefined): boolean {
  if (place === undefined) return gaps.length > 0;
  const [partition, offset] = place.split(':').map(Number);
  return gaps.some((gap) => gap.partition === partition && gap.from <= offset && offset < gap.to);
}
