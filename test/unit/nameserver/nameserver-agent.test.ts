// The NameServer driven by hand, with an injected clock and clients in the same thread.
import { describe, expect, test } from 'vitest';
import { SEAT_FIRST_WORKER, SEAT_NAMESERVER } from '../../../native-layout/control.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { partitionState } from '../../../src/memory/partition-entry.ts';
import { attachRegions, createRegions } from '../../../src/memory/regions.ts';
import {
  beat,
  burySeat,
  claimSeat,
  openLane,
  openLanes,
  releaseSeat,
  routeVersion,
} from '../../../src/memory/seats.ts';
import type { TopicRecord } from '../../../src/nameserver/directory.ts';
import { NameServerAgent } from '../../../src/nameserver/nameserver-agent.ts';
import { MemoryMetaStore } from '../../../src/state/meta.ts';
import { ControlLane } from '../../../src/thread/control-lane.ts';
import type { Command } from '../../../src/wire/commands.ts';

const WORKER = SEAT_FIRST_WORKER;

class Rig {
  now = 1_000_000;
  readonly topics = new Map<string, TopicRecord>();
  readonly regions;
  agent: NameServerAgent;

  constructor(controlLaneBytes = 64 * 1024) {
    const sizes = { workerCount: 2, frontendCount: 0, partitionMax: 64, laneBytes: 4096, replyBytes: 256 };
    this.regions = attachRegions(createRegions('test', { ...sizes, controlLaneBytes }));
    for (const seat of [WORKER, WORKER + 1]) claimSeat(this.regions.control, seat, seat, 'broker', 1);
    this.agent = this.start();
  }

  start(): NameServerAgent {
    const options = {
      topicsMax: 100,
      partitionsPerTopicMax: 16,
      partitionsDefault: 2,
      ringBytesDefault: 65_536,
      laneMessageMaxBytes: 32_768,
      overflowDefault: 'block',
      autoCreate: true,
      durableDefault: false,
      expireMs: 120_000,
      scanMs: 5_000,
    } as const;
    const keep = ({ topic, record }: { topic: string; record: TopicRecord | undefined }): void => {
      if (record) this.topics.set(topic, structuredClone(record));
      else this.topics.delete(topic);
    };
    const memory = {
      known: [...this.topics.values()],
      meta: new MemoryMetaStore(),
      recovered: { queues: [], clean: true },
      warn: () => {},
    };
    return new NameServerAgent(this.regions, options, () => this.now, memory, keep);
  }

  /** Time passes: the agent keeps house as it would. */
  pass(ms: number): void {
    this.now += ms;
    this.agent.housekeep(this.now);
  }

  client(seat: number): Client {
    return new Client(this, seat);
  }
}

class Client {
  readonly news: Command[] = [];
  readonly lane: ControlLane;
  readonly seat: number;
  private readonly rig: Rig;

  constructor(rig: Rig, seat: number) {
    this.rig = rig;
    this.seat = seat;
    const { control } = rig.regions;
    claimSeat(control, seat, seat, 'embedded', 1);
    this.lane = new ControlLane(rig.regions, seat, new Bells(control));
    this.lane.onNews = (command) => this.news.push(command);
    openLane(control, SEAT_NAMESERVER, seat);
  }

  async ask(command: Command): Promise<Command> {
    const answer = this.lane.request(command, this.rig.now);
    this.rig.agent.work(this.rig.now);
    this.lane.work();
    return answer;
  }

  async code(command: Command): Promise<string> {
    return this.ask(command).then(
      (answer) => answer.type,
      (error: { code: string }) => error.code,
    );
  }
}

const create = (topic: string, more: object = {}): Command =>
  ({
    type: 'create-topic',
    topic,
    partitions: 2,
    overflow: 'block',
    ringBytes: 0,
    direct: false,
    durable: undefined,
    retentionMs: 0,
    retentionBytes: 0,
    ifNotExists: false,
    ...more,
  }) as Command;

const route = (topic: string): Command => ({ type: 'route-request', topic, create: false });

describe('commands', () => {
  test('topics are made, found, listed and deleted, and who asked hears of changes', async () => {
    const rig = new Rig();
    const [first, second] = [rig.client(20), rig.client(21)];
    expect(await first.code(create('a'))).toBe('route-reply');
    expect(await second.code(route('a'))).toBe('route-reply');
    expect(await first.code(create('a'))).toBe('topic-exists');
    expect(await first.code(create('a', { ifNotExists: true }))).toBe('route-reply');
    const listed = await second.ask({ type: 'topics-request', after: '', limit: 10 });
    expect(listed).toMatchObject({ type: 'topics-reply', more: false, topics: [{ topic: 'a' }] });
    await first.ask({ type: 'set-permission', topic: 'a', owner: -1, permission: 4 });
    await first.ask({ type: 'delete-topic', topic: 'a' });
    second.lane.work();
    expect(second.news).toMatchObject([
      { type: 'route-changed', topic: 'a', deleted: false },
      { type: 'route-changed', topic: 'a', deleted: true },
    ]);
    expect(await first.code(route('a'))).toBe('unknown-topic');
    expect(await first.code({ type: 'ping', time: 1 })).toBe('unknown-command');
  });

  test('who does not take its answers gets no more served, and loses none', async () => {
    const rig = new Rig(8 * 1024);
    const client = rig.client(20);
    await client.ask(create('a', { partitions: 16 }));
    const answers: Promise<Command>[] = [];
    for (let i = 0; i < 40; i++) answers.push(client.lane.request(route('a'), rig.now));
    for (let i = 0; i < 5; i++) rig.agent.work(rig.now);
    expect(client.lane.pending).toBe(40);
    for (let i = 0; i < 20 && client.lane.pending > 0; i++) {
      client.lane.work();
      rig.agent.work(rig.now);
    }
    expect(new Set((await Promise.all(answers)).map((one) => one.type))).toEqual(new Set(['route-reply']));
  });

  test('a request without an answer fails after three seconds', async () => {
    const rig = new Rig();
    const { lane } = rig.client(20);
    const answer = lane.request(route('a'), rig.now);
    lane.expire(rig.now + 2_999);
    expect(lane.pending).toBe(1);
    lane.expire(rig.now + 3_000);
    await expect(answer).rejects.toMatchObject({ code: 'timeout' });
    const closed = lane.request(route('a'), rig.now);
    lane.close();
    await expect(closed).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('brokers', () => {
  test('one that is silent for 120 s is unavailable, and available again with its next sign of life', async () => {
    const rig = new Rig();
    const client = rig.client(20);
    await client.ask(create('a'));
    const available = async (): Promise<boolean[]> => {
      const reply = await client.ask(route('a'));
      if (reply.type !== 'route-reply') throw new Error(reply.type);
      return reply.route.partitions.map((one) => one.available);
    };
    for (let s = 0; s < 120; s += 5) {
      beat(rig.regions.control, WORKER);
      rig.pass(5_000);
    }
    beat(rig.regions.control, WORKER);
    rig.pass(5_000);
    expect((await available()).sort()).toEqual([false, true]);
    expect(client.news).toMatchObject([{ type: 'route-changed', topic: 'a', deleted: false }]);
    beat(rig.regions.control, WORKER + 1);
    rig.pass(50);
    expect(await available()).toEqual([true, true]);
    expect(client.news).toHaveLength(2);
  });

  test('one that leaves its seat is unavailable at once, and gets no new partitions', async () => {
    const rig = new Rig();
    const client = rig.client(20);
    releaseSeat(rig.regions.control, WORKER);
    const reply = await client.ask(create('a', { partitions: 4 }));
    if (reply.type !== 'route-reply') throw new Error(reply.type);
    expect(new Set(reply.route.partitions.map((one) => one.owner))).toEqual(new Set([WORKER + 1]));
    releaseSeat(rig.regions.control, WORKER + 1);
    expect(await client.code(create('b'))).toBe('broker-unavailable');
  });
});

describe('threads that leave', () => {
  test('take their direct partitions with them, and their numbers are used again', async () => {
    const rig = new Rig();
    const client = rig.client(20);
    const watcher = rig.client(21);
    const reply = await client.ask({ type: 'open-direct', topic: 'd' });
    await watcher.ask(route('d'));
    if (reply.type !== 'route-reply') throw new Error(reply.type);
    const { id } = reply.route.partitions[0];
    burySeat(rig.regions.control, client.seat);
    rig.agent.work(rig.now);
    expect(openLanes(rig.regions.control, SEAT_NAMESERVER, 0) & (1 << 20)).toBe(0);
    expect(await watcher.ask(route('d'))).toMatchObject({ route: { partitions: [] } });
    expect(watcher.news).toHaveLength(1);
    rig.pass(2_000);
    expect(partitionState(rig.regions.table, id)).toBe(0);
  });

  test('are closed although they never took their answers', async () => {
    const rig = new Rig(8 * 1024);
    const client = rig.client(20);
    await client.ask(create('a', { partitions: 16 }));
    for (let i = 0; i < 60; i++) void client.lane.request(route('a'), rig.now).catch(() => {});
    for (let i = 0; i < 5; i++) rig.agent.work(rig.now);
    burySeat(rig.regions.control, client.seat);
    for (let i = 0; i < 5; i++) rig.agent.work(rig.now);
    expect(openLanes(rig.regions.control, SEAT_NAMESERVER, 0)).toBe(0);
  });
});

test('a successor tells everybody who takes part of every topic, and versions go on', async () => {
  const rig = new Rig();
  const client = rig.client(20);
  await client.ask(create('a'));
  await client.ask(create('b'));
  await client.ask({ type: 'delete-topic', topic: 'b' });
  client.lane.work();
  client.news.length = 0;
  const before = routeVersion(rig.regions.control);
  rig.agent = rig.start();
  client.lane.work();
  expect(client.news).toMatchObject([{ topic: 'a', deleted: false }, { topic: 'a' }]);
  expect(routeVersion(rig.regions.control)).toBeGreaterThan(before);
  await client.ask({ type: 'delete-topic', topic: 'a' });
  expect(client.news.at(-1)).toMatchObject({ topic: 'a', deleted: true });
});
