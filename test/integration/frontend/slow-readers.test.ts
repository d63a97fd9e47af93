import { afterEach, describe, expect, test } from 'vitest';
import type { OverflowPolicy } from '../../../native-layout/partition-table.ts';
import type { Broker } from '../../../src/server/broker.ts';
import type { PartitionRoute } from '../../../src/wire/commands.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, FrontEndThread, KINDS, start, stopAll } from './harness.ts';

afterEach(stopAll);

const BODY = 'b'.repeat(4_000);

/** Publishes until told to stop, batch after batch, whatever is answered; `busy` ones again. */
class Firehose {
  readonly client: BinaryClient;
  readonly partition: PartitionRoute;
  /** Messages accepted. */
  accepted = 0;
  private running = true;
  private done: Promise<void> | undefined;

  constructor(client: BinaryClient, partition: PartitionRoute) {
    this.client = client;
    this.partition = partition;
  }

  start(): this {
    this.done = this.run().catch((error: unknown) => {
      // The end of its connection is the end of it.
      if (this.client.closed === undefined) throw error;
    });
    return this;
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.done;
  }

  private async run(): Promise<void> {
    while (this.running && this.client.closed === undefined) {
      const requests = Array.from({ length: 20 }, () => this.client.publish(this.partition, [BODY, BODY, BODY]));
      const entries = await Promise.all(requests.map((request) => this.client.ack(request, 30_000)));
      this.client.acks.length = 0;
      for (const entry of entries) if (entry.status === 0) this.accepted += entry.count;
    }
  }
}

async function begin(transport: (typeof KINDS)[number], overflow: OverflowPolicy, config: object = {}) {
  const broker = await start({ transport });
  const thread = await new FrontEndThread(broker, { transport, ...config }).listening();
  const publisher = await BinaryClient.connect(broker.url as string);
  const [partition] = (await publisher.createTopic('t', { overflow, ringBytes: 1024 * 1024 })).partitions;
  return { broker, thread, partition, hose: new Firehose(publisher, partition) };
}

const offsetsOf = (client: BinaryClient) => client.delivered.map((one) => one.offset);

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function isRising(offsets: readonly number[]): boolean {
  return offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]);
}

function isRun(offsets: readonly number[]): boolean {
  return offsets.every((offset, i) => i === 0 || offset === offsets[i - 1] + 1);
}

describe.each(KINDS)('slow readers over %s', (transport) => {
  test('drop-oldest: a reader that stops is told exactly what it missed', async () => {
    const { thread, hose } = await begin(transport, 'drop-oldest');
    const slow = await BinaryClient.connect(thread.url);
    const good = await BinaryClient.connect(thread.url);
    await slow.subscribe('t');
    await good.subscribe('t');
    slow.raw.pause();
    hose.start();
    await until(() => hose.accepted > 20_000, 'twenty thousand are published', 60_000);
    await hose.stop();
    slow.raw.resume();
    await until(() => good.delivered.at(-1)?.offset === hose.accepted - 1, 'the good one has all', 30_000);
    await until(() => slow.delivered.at(-1)?.offset === hose.accepted - 1, 'the slow one is at the end', 30_000);
    const gaps = slow.news('gap');
    expect(gaps.length).toBeGreaterThan(0);
    for (const client of [slow, good]) {
      // What came and what was said to be missing make up the whole, in order and without overlap. (The good one misses
      // something only where the machine gives the front end no time for a whole ring.)
      const missing = client.news('gap').flatMap((gap) => range(gap.fromOffset, gap.toOffset));
      expect(isRising(offsetsOf(client))).toBe(true);
      expect([...offsetsOf(client), ...missing].toSorted((a, b) => a - b)).toEqual(range(0, hose.accepted));
    }
    expect(good.delivered.length).toBeGreaterThan(slow.delivered.length);
    expect(gaps[0]).toMatchObject({ topic: 't', reason: 'evicted', number: 0 });
  });

  test.each<OverflowPolicy>(['block', 'reject'])('%s: a slow reader gets every message', async (overflow) => {
    const { thread, hose } = await begin(transport, overflow);
    const slow = await BinaryClient.connect(thread.url);
    const good = await BinaryClient.connect(thread.url);
    await slow.subscribe('t');
    await good.subscribe('t');
    hose.start();
    // It reads in fits and starts, so that it falls behind and catches up again and again.
    for (let fit = 0; fit < 12; fit++) {
      slow.raw.pause();
      const until = performance.now() + 120;
      while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
      slow.raw.resume();
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await hose.stop();
    const all = range(0, hose.accepted);
    await until(() => slow.delivered.length >= hose.accepted, 'the slow one has all', 30_000);
    await until(() => good.delivered.length >= hose.accepted, 'the good one has all', 30_000);
    expect(offsetsOf(slow)).toEqual(all);
    expect(offsetsOf(good)).toEqual(all);
    expect(slow.news('gap')).toEqual([]);
  });

  test('block: a reader that takes nothing stops the topic only until the stall limit', async () => {
    const { thread, hose } = await begin(transport, 'block', { stallMs: 1_000 });
    const stuck = await BinaryClient.connect(thread.url);
    const good = await BinaryClient.connect(thread.url);
    await stuck.subscribe('t');
    await good.subscribe('t');
    stuck.raw.pause();
    hose.start();
    // Socket buffers take some megabytes before anything is held up.
    await until(() => hose.accepted > 6_000, 'the topic goes on', 60_000);
    const before = hose.accepted;
    await until(() => hose.accepted > before + 3_000, 'and on', 30_000);
    await hose.stop();
    stuck.raw.resume();
    expect((await stuck.ended(20_000)).code).toBe(4001);
    await until(() => good.delivered.length >= hose.accepted, 'the good one has all', 30_000);
    expect(offsetsOf(good)).toEqual(range(0, hose.accepted));
    expect(isRun(offsetsOf(stuck))).toBe(true);
  });

  test('a front end that is told to stop in the middle of all this ends by itself', async () => {
    const { thread, hose, partition } = await begin(transport, 'drop-oldest');
    const [stuck, good, writer] = await Promise.all([1, 2, 3].map(() => BinaryClient.connect(thread.url)));
    await stuck.subscribe('t');
    await good.subscribe('t');
    stuck.raw.pause();
    hose.start();
    const local = new Firehose(writer, partition).start();
    await until(() => hose.accepted > 3_000 && local.accepted > 300, 'some are published', 60_000);
    expect(await thread.stop()).toBe(0);
    expect(await good.ended()).toMatchObject({ code: 4000 });
    await local.stop();
    await hose.stop();
  });

  test('a reader that keeps its credit back counts as slow, and loses nothing', async () => {
    const { thread, hose } = await begin(transport, 'block');
    const reader = await BinaryClient.connect(thread.url);
    await reader.subscribe('t', 'latest', 100_000);
    hose.start();
    for (let i = 0; i < 60; i++) {
      await until(() => reader.frames.length > 0, 'some arrive');
      const bytes = reader.frames.splice(0).reduce((sum, length) => sum + length, 0);
      expect(bytes).toBeLessThanOrEqual(100_000);
      reader.send({ type: 'credit', bytes });
    }
    await hose.stop();
    reader.credits = true;
    reader.send({ type: 'credit', bytes: reader.frames.reduce((sum, length) => sum + length, 0) });
    await until(() => reader.delivered.length === hose.accepted, 'all arrive', 30_000);
    expect(offsetsOf(reader)).toEqual(range(0, hose.accepted));
  });
});

test('subscribers that join from the beginning while others are behind lose nothing', async () => {
  const { thread, hose, broker } = await begin('ws', 'block');
  const late: BinaryClient[] = [];
  const first = await BinaryClient.connect(thread.url);
  const paced = await BinaryClient.connect(thread.url);
  await first.subscribe('t');
  await paced.subscribe('t', 'earliest', 64_000);
  paced.credits = true;
  hose.start();
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    const client = await BinaryClient.connect(thread.url);
    await client.subscribe('t', i % 2 === 0 ? 'earliest' : { last: 20 });
    late.push(client);
    if (i === 5) late[2].raw.terminate();
  }
  await hose.stop();
  await until(() => first.delivered.length === hose.accepted, 'the first one has all', 30_000);
  await until(() => paced.delivered.length === hose.accepted, 'the paced one has all', 30_000);
  for (const client of late) {
    if (client === late[2]) continue;
    await until(() => client.delivered.at(-1)?.offset === hose.accepted - 1, 'a late one is at the end', 30_000);
    expect(isRun(offsetsOf(client))).toBe(true);
    expect(client.news('gap')).toEqual([]);
  }
  await everythingGoesOn(broker, hose);
});

/** When all readers have gone, nobody holds the writer. */
async function everythingGoesOn(broker: Broker, hose: Firehose): Promise<void> {
  const reader = await BinaryClient.connect(broker.url as string);
  await reader.subscribe('t');
  for (let i = 0; i < 200; i++) {
    const entry = await hose.client.ack(hose.client.publish(hose.partition, [BODY]));
    expect(entry.status).toBe(0);
  }
  await until(() => reader.delivered.length === 200, 'all arrive');
}
