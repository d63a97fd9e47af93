// One process of a broker, as far as its NameServer goes: shared memory of its own, the state on a disk that stays.
import { expect } from 'vitest';
import { SEAT_FIRST_WORKER, SEAT_NAMESERVER } from '../../../native-layout/control.ts';
import type { RecoveredQueue } from '../../../src/log/run.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { attachRegions, createRegions, type Regions } from '../../../src/memory/regions.ts';
import { burySeat, claimSeat, openLane } from '../../../src/memory/seats.ts';
import type { TopicRecord } from '../../../src/nameserver/directory.ts';
import { NameServerAgent } from '../../../src/nameserver/nameserver-agent.ts';
import type { RecoveredQueues } from '../../../src/nameserver/restart.ts';
import { openMetaStoreOn } from '../../../src/state/meta-store.ts';
import { ControlLane } from '../../../src/thread/control-lane.ts';
import type { Command, PartitionPosition, TopicRoute } from '../../../src/wire/commands.ts';
import { FaultDisk } from '../../support/fault-disk.ts';

export const CLIENT = 20;

interface BrokerOptions {
  readonly recovered?: RecoveredQueues;
  readonly workers?: number;
  readonly partitionMax?: number;
  readonly durable?: boolean;
}

export class Broker {
  now: number;
  readonly disk: FaultDisk;
  readonly regions: Regions;
  readonly journal = new Map<string, TopicRecord>();
  readonly warnings: string[] = [];
  agent: NameServerAgent;
  readonly lane: ControlLane;
  readonly news: Command[] = [];
  private readonly recovered: RecoveredQueues;

  constructor(disk = new FaultDisk(), options: BrokerOptions = {}) {
    const { recovered = { queues: [], clean: false }, workers = 2, partitionMax = 64, durable = true } = options;
    this.disk = disk;
    this.recovered = recovered;
    this.now = 1_700_000_000_000;
    const sizes = { workerCount: workers, frontendCount: 0, partitionMax, laneBytes: 4096, replyBytes: 256 };
    this.regions = attachRegions(createRegions('t', { ...sizes, controlLaneBytes: 256 * 1024, durable }));
    const { control } = this.regions;
    this.agent = this.start();
    for (let i = 0; i < workers; i++) claimSeat(control, SEAT_FIRST_WORKER + i, SEAT_FIRST_WORKER + i, 'broker', 1);
    claimSeat(control, CLIENT, CLIENT, 'embedded', 1);
    openLane(control, SEAT_NAMESERVER, CLIENT);
    this.lane = new ControlLane(this.regions, CLIENT, new Bells(control));
    this.lane.onNews = (command) => this.news.push(command);
  }

  /** The NameServer thread; called again: its successor. */
  start(): NameServerAgent {
    const options = {
      topicsMax: 20,
      partitionsPerTopicMax: 16,
      partitionsDefault: 2,
      ringBytesDefault: 65_536,
      laneMessageMaxBytes: 32_768,
      overflowDefault: 'block',
      durableDefault: true,
      autoCreate: true,
      expireMs: 120_000,
      scanMs: 5_000,
    } as const;
    const memory = {
      known: [...this.journal.values()],
      meta: openMetaStoreOn(this.disk),
      recovered: this.recovered,
      warn: (text: string) => this.warnings.push(text),
    };
    this.agent = new NameServerAgent(
      this.regions,
      options,
      () => this.now,
      memory,
      ({ topic, record }) => {
        if (record) this.journal.set(topic, structuredClone(record));
        else this.journal.delete(topic);
      },
    );
    return this.agent;
  }

  /** Asks, and lets the NameServer work until everything is answered. */
  async ask(...commands: readonly Command[]): Promise<(Command | string)[]> {
    const answers = commands.map((one) => this.lane.request(one, this.now).catch((error) => error.code as string));
    this.agent.work(this.now);
    this.now += 50;
    this.agent.work(this.now);
    this.lane.work();
    expect(this.lane.pending).toBe(0);
    return Promise.all(answers);
  }

  /** The client's thread ends. */
  leave(): void {
    burySeat(this.regions.control, CLIENT);
    this.agent.work(this.now);
    this.agent.work(this.now);
  }

  async one(command: Command): Promise<Command | string> {
    return (await this.ask(command))[0];
  }

  async route(topic: string): Promise<TopicRoute> {
    const reply = await this.one({ type: 'route-request', topic, create: false });
    if (typeof reply === 'string' || reply.type !== 'route-reply') throw new Error(JSON.stringify(reply));
    return reply.route;
  }

  async create(topic: string, more: object = {}): Promise<TopicRoute> {
    const reply = await this.one(create(topic, more));
    if (typeof reply === 'string' || reply.type !== 'route-reply') throw new Error(JSON.stringify(reply));
    return reply.route;
  }
}

export function create(topic: string, more: object = {}): Command {
  const rest = { durable: undefined, retentionMs: 0, retentionBytes: 0, ifNotExists: false };
  const command = { type: 'create-topic', topic, partitions: 2, overflow: 'block', ringBytes: 0, direct: false };
  return { ...command, ...rest, ...more } as Command;
}

export function queue(topicId: number, partition: number, oldest: number, next: number): RecoveredQueue {
  return { topicId, partition, oldestOffset: oldest, nextOffset: next, tail: [] };
}

export const commit = (topic: string, group: string, positions: readonly PartitionPosition[]): Command => {
  return { type: 'commit-offsets', group, topic, positions };
};
export const at = (partition: number, offset: number, epoch = 1): PartitionPosition => ({ partition, epoch, offset });
export const offsets = (topic: string, group: string): Command => ({ type: 'offsets-request', group, topic });
