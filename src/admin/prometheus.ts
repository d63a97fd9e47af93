// /metrics: the broker's figures in Prometheus' text format, gathered when they are asked for.
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';
import { STORE_STATES } from '../../native-layout/store.ts';
import { COUNTER, type CounterName } from '../memory/counters.ts';
import { ringUsedBytes } from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { BrokerFigures } from './broker-figures.ts';
import { type CoordinatorShown, LABELLED_GROUPS_MAX, topicShares } from './group-figures.ts';
import type { StoreFigures } from './store-figures.ts';
import type { BrokerFacts } from './system-metrics.ts';

/** Topics with series of their own: labels without a bound would cost the collector more than the broker. */
export const LABELLED_TOPICS_MAX = 100;

const HELP: Readonly<Record<CounterName, string>> = {
  batchesIn: 'Record batches that a broker worker took from publishers',
  messagesIn: 'Messages accepted into partition rings',
  bytesIn: 'Bytes of record batches that a broker worker took from publishers',
  duplicates: 'Batches that had been accepted before',
  rejected: 'Batches that were refused',
  batchesOut: 'Record batches delivered over the network',
  messagesOut: 'Messages delivered over the network',
  bytesOut: 'Bytes of record batches delivered over the network',
  gaps: 'Gaps that subscribers were told of',
  gapMessages: 'Messages in those gaps',
  connectionsOpened: 'WebSocket connections opened',
  connectionsClosed: 'WebSocket connections that have ended',
  refusals: 'Requests that were refused',
  protocolErrors: 'Frames that broke the protocol',
  turns: 'Turns of the loop in which something was done',
  parks: 'Times that the thread went to sleep',
  framesIn: 'WebSocket frames received',
  framesOut: 'Delivery frames sent',
  catchUps: 'Times that a subscriber fell behind and caught up by itself',
  slowClosed: 'Connections closed because the client was too slow',
};

type StoreNumber = Exclude<keyof StoreFigures, 'state'>;

export class Prometheus {
  private readonly registry = new Registry();
  private readonly regions: Regions;
  private readonly figures: BrokerFigures;
  private readonly facts: BrokerFacts;
  private topics: readonly TopicRoute[] = [];
  private coordinator: CoordinatorShown | undefined;

  constructor(regions: Regions, figures: BrokerFigures, facts: BrokerFacts) {
    this.regions = regions;
    this.figures = figures;
    this.facts = facts;
    for (const name of Object.keys(COUNTER) as CounterName[]) this.addCounter(name);
    this.addBroker();
    this.addTopics();
    this.addGroups();
    if (figures.store) this.addStore();
    this.addProcess();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** `topics`: the first ones, which get series of their own. */
  render(topics: readonly TopicRoute[], coordinator?: CoordinatorShown): Promise<string> {
    this.topics = topics.slice(0, LABELLED_TOPICS_MAX);
    this.coordinator = coordinator;
    return this.registry.metrics();
  }

  private addCounter(name: CounterName): void {
    const { figures } = this;
    new Counter({
      name: `ringmq_${snakeCase(name)}_total`,
      help: HELP[name],
      labelNames: ['seat', 'role'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { seat, role } of figures.roles()) {
          const count = figures.counter(seat, name);
          if (count > 0) this.inc({ seat: String(seat), role }, count);
        }
      },
    });
  }

  private addBroker(): void {
    const { figures, facts } = this;
    this.addGauge('ringmq_connections', 'Open WebSocket connections', () => {
      const { connectionsOpened, connectionsClosed } = figures.totals();
      return connectionsOpened - connectionsClosed;
    });
    this.addGauge('ringmq_workers_alive', 'Broker workers at their seats', () => figures.workers().alive);
    this.addGauge('ringmq_topics', 'Topics', () => figures.partitions().topics);
    this.addGauge('ringmq_partitions', 'Partitions of all topics', () => figures.partitions().partitions);
    this.addGauge('ringmq_ring_bytes', 'Bytes of all rings', () => figures.partitions().ringBytes);
    this.addGauge('ringmq_ring_used_bytes', 'Bytes in all rings', () => figures.partitions().ringUsedBytes);
    this.addGauge('ringmq_uptime_seconds', 'Since the broker started', () => (Date.now() - facts.startedAt) / 1_000);
    new Gauge({
      name: 'ringmq_info',
      help: 'Constant 1, labelled with what runs',
      labelNames: ['broker', 'version', 'transport', 'node'],
      registers: [this.registry],
      collect() {
        const { name, version, transport } = facts;
        this.set({ broker: name, version, transport, node: process.version }, 1);
      },
    });
  }

  /** Of a broker that keeps its data. */
  private addStore(): void {
    const { figures } = this;
    new Gauge({
      name: 'ringmq_store_state',
      help: '1 for the state that the store is in: starting, running, full or failed',
      labelNames: ['state'],
      registers: [this.registry],
      collect() {
        for (const state of Object.keys(STORE_STATES)) this.set({ state }, figures.storeState === state ? 1 : 0);
      },
    });
    const { registry } = this;
    const add = (kind: typeof Gauge | typeof Counter, name: string, help: string, figure: StoreNumber): void => {
      new kind({
        name,
        help,
        registers: [registry],
        collect() {
          this.reset();
          this.inc(figures.store?.[figure] ?? 0);
        },
      });
    };
    add(Counter, 'ringmq_store_commits_total', 'Writes to the log', 'commits');
    add(Counter, 'ringmq_log_written_bytes_total', 'Log position up to which the log was written', 'writtenPosition');
    add(Counter, 'ringmq_log_durable_bytes_total', 'Log position up to which the disk has the log', 'durablePosition');
    add(
      Counter,
      'ringmq_log_expired_bytes_total',
      'Log position up to which retention removed the log',
      'oldestPosition',
    );
    add(Counter, 'ringmq_log_indexed_bytes_total', 'Log position up to which keys are indexed', 'indexedPosition');
    add(Counter, 'ringmq_log_damaged_runs_total', 'Runs found damaged and not delivered', 'damagedRuns');
    add(Gauge, 'ringmq_log_bytes', 'Bytes of log on the disk', 'logBytes');
  }

  private addTopics(): void {
    const { table } = this.regions;
    const topics = () => this.topics;
    const registers = [this.registry];
    const labelNames = ['topic'];
    new Gauge({
      name: 'ringmq_topic_messages_total',
      help: `Messages ever accepted, of the first ${LABELLED_TOPICS_MAX} topics by name`,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { topic, partitions } of topics()) {
          this.set(
            { topic },
            partitions.reduce((sum, one) => sum + one.nextOffset, 0),
          );
        }
      },
    });
    new Gauge({
      name: 'ringmq_topic_ring_used_bytes',
      help: `Bytes in the rings, of the first ${LABELLED_TOPICS_MAX} topics by name`,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { topic, partitions } of topics()) {
          this.set(
            { topic },
            partitions.reduce((sum, one) => sum + ringUsedBytes(table, one.id), 0),
          );
        }
      },
    });
  }

  /** Named as RocketMQ's exporter does. */
  private addGroups(): void {
    const groups = () => this.coordinator?.groups.slice(0, LABELLED_GROUPS_MAX) ?? [];
    const figures = () => this.coordinator?.figures;
    this.addGauge('ringmq_timers', 'Scheduled messages that are not delivered yet', () => figures()?.timers ?? 0);
    this.addGauge('ringmq_half_messages', 'Half messages that nobody has resolved', () => figures()?.halfMessages ?? 0);
    const add = (name: string, help: string, labelNames: readonly string[], read: (gauge: Gauge) => void): void => {
      new Gauge({
        name,
        help: `${help}, of the first ${LABELLED_GROUPS_MAX} groups by name`,
        labelNames,
        registers: [this.registry],
        collect() {
          this.reset();
          read(this);
        },
      });
    };
    const byTopic = ['group', 'topic'];
    add('ringmq_consumer_lag_messages', 'Messages that a group has not acknowledged', byTopic, (gauge) => {
      for (const { group, topic, lag } of topicShares(groups())) gauge.set({ group, topic }, lag);
    });
    add('ringmq_consumer_inflight_messages', 'Messages leased to simple consumers', byTopic, (gauge) => {
      for (const { group, topic, leased } of topicShares(groups())) gauge.set({ group, topic }, leased);
    });
    add('ringmq_consumer_members', 'Live members of a group', ['group'], (gauge) => {
      for (const { group, members } of groups()) gauge.set({ group }, members.length);
    });
    add('ringmq_dlq_messages', 'Dead letters that were not replayed', ['group'], (gauge) => {
      for (const { group, deadLetters } of groups()) gauge.set({ group }, deadLetters);
    });
  }

  private addProcess(): void {
    this.addGauge('process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss());
    this.addGauge('process_cpu_seconds_total', 'Processor time used', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000_000;
    });
    this.addGauge('nodejs_heap_used_bytes', 'Heap of this thread', () => process.memoryUsage().heapUsed);
    this.addGauge('nodejs_eventloop_utilization', 'Part of its life that this thread was busy', () => {
      return performance.eventLoopUtilization().utilization;
    });
  }

  private addGauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
