// Everything at once, at random: topics, producers, consumers, deletions, and threads that die. RINGMQ_TORTURE_S says
// how many seconds, RINGMQ_SEED which run.
import { expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import { kill, RoleThread, startTestBroker, supervisorOf } from '../../support/engine.ts';
import { randomFrom } from '../../support/random.ts';
import { TortureTopic } from '../../support/torture.ts';
import { until } from '../../support/until.ts';

const SECONDS = Number(process.env.RINGMQ_TORTURE_S ?? 12);
const SEED = Number(process.env.RINGMQ_SEED ?? Date.now() % 1_000_000);
const TOPICS_MAX = 6;
/** A thread that dies more than five times in ten seconds is given up. */
const KILL_EVERY_MS = 2_500;

/** The table is small, and deleted partitions rest for two seconds; the NameServer may die before it answers. */
const MAY_BE_REFUSED = new Set(['partition-quota', 'timeout', 'broker-unavailable']);

class Torture {
  readonly faults: string[] = [];
  readonly topics: TortureTopic[] = [];
  readonly random = randomFrom(SEED);
  private readonly broker: Broker;
  private readonly connections;
  private readonly floods: { readonly topic: TortureTopic; readonly thread: RoleThread }[] = [];
  private numbers = 0;
  private killAt = performance.now() + 500;

  constructor(broker: Broker) {
    this.broker = broker;
    this.connections = Array.from({ length: 3 }, () => broker.connect());
    for (const connection of this.connections) connection.onError(() => {});
  }

  private get alive(): TortureTopic[] {
    return this.topics.filter((topic) => !topic.deleted);
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.random(list.length)];
  }

  async step(): Promise<void> {
    const dice = this.random(100);
    const { alive } = this;
    if (alive.length === 0 || (dice < 4 && alive.length < TOPICS_MAX)) await this.create();
    else if (dice < 6) await this.remove(this.pick(alive));
    else if (dice < 8) await this.flood(this.pick(alive));
    else if (dice < 10) await this.endFlood();
    else if (performance.now() > this.killAt) await this.kill();
    else this.pick(alive).burst(this.pick(this.connections), this.numbers++, 1 + this.random(100));
    await new Promise((resolve) => setTimeout(resolve, this.random(5)));
  }

  private async create(): Promise<void> {
    const name = `topic-${this.numbers++}`;
    const overflow = this.pick(['block', 'drop-oldest', 'reject'] as const);
    const options = { partitions: 1 + this.random(4), overflow };
    const refused = await this.connections[0].createTopic(name, options).then(
      () => undefined,
      (error: { code: string }) => error.code,
    );
    if (refused !== undefined && !MAY_BE_REFUSED.has(refused)) this.faults.push(`createTopic: ${refused}`);
    if (refused !== undefined) return;
    const topic = new TortureTopic(name, overflow, this.faults, this.connections.slice(0, 2), this.random);
    await Promise.all(topic.readers.map((reader) => reader.consumer.ready()));
    this.topics.push(topic);
  }

  private async remove(topic: TortureTopic): Promise<void> {
    topic.deleted = true;
    // The NameServer may die before it answers.
    await this.pick(this.connections)
      .deleteTopic(topic.name)
      .catch(() => {});
  }

  private async flood(topic: TortureTopic): Promise<void> {
    if (this.floods.length >= 2) return;
    const data = { topic: topic.name, producer: this.numbers++, count: 20_000, options: { createTopic: false } };
    this.floods.push({ topic, thread: new RoleThread(this.broker, 'flood', data) });
  }

  private async endFlood(): Promise<void> {
    const flood = this.floods.shift();
    await flood?.thread.terminate();
  }

  private async kill(): Promise<void> {
    this.killAt = performance.now() + KILL_EVERY_MS;
    const victim = this.random(4);
    if (victim < 2) await kill(this.broker, 'broker', victim);
    else if (victim === 2) await kill(this.broker, 'nameserver');
  }

  async finish(): Promise<void> {
    while (this.floods.length > 0) await this.endFlood();
    for (const topic of this.topics) await topic.settled();
    await until(() => this.alive.every((topic) => topic.complete), 'everything arrives', 15_000).catch(() => {});
    for (const topic of this.topics) topic.check();
  }
}

test(
  `${SECONDS} seconds of everything, seed ${SEED}: nothing acknowledged is lost, doubled or out of order`,
  async () => {
    console.log(`torture: RINGMQ_SEED=${SEED} RINGMQ_TORTURE_S=${SECONDS}`);
    const broker = await startTestBroker({ workers: 2, partitionMax: 128 });
    const torture = new Torture(broker);
    const end = performance.now() + SECONDS * 1_000;
    while (performance.now() < end && torture.faults.length === 0) await torture.step();
    await torture.finish();
    const acked = torture.topics.reduce((sum, topic) => sum + topic.acked.length, 0);
    console.log(
      `torture: ${torture.topics.length} topics, ${acked} acknowledged, ${supervisorOf(broker).restarts} restarts`,
    );
    expect(torture.faults.slice(0, 20)).toEqual([]);
    expect(acked).toBeGreaterThan(1_000);
  },
  (SECONDS + 60) * 1_000,
);
