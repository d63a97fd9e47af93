// Every option once: default, unit, limits. startBroker() and `ringmq serve` take the same ones.
import { availableParallelism, totalmem } from 'node:os';
import { type OverflowPolicy, RING_BYTES_MAX, RING_BYTES_MIN } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { IDLE_STRATEGIES, type IdleName } from '../thread/agent.ts';
import { oneOf, powerOfTwo, rejectUnknown, whole } from './option-checks.ts';
import { lanesFit } from './sizes.ts';
import { type SettledStore, STORE_KNOWN, type StoreOptions, settleStore } from './store-options.ts';

const MIB = 1024 * 1024;

/** How to listen for WebSocket and HTTP. */
export interface ListenOptions {
  /** Address to bind to. Default 127.0.0.1: nobody else can reach it. */
  readonly host?: string;
  /** Default 7400. 0: any free port. */
  readonly port?: number;
  /** Front-end threads sharing the port. Default: one for every four cores. */
  readonly frontends?: number;
  /** `auto` takes uWebSockets.js where it loads, else ws. */
  readonly transport?: 'auto' | 'uws' | 'ws';
  /** Bind to an address that other machines reach, although there is no authentication yet. Default false. */
  readonly insecure?: boolean;
  /** Origins (scheme://host:port) whose pages may connect besides the broker's own page. Default none. */
  readonly origins?: readonly string[];
  /** Publish the host's figures and the broker's counters on `sys.metrics` every second. Default true. */
  readonly systemMetrics?: boolean;
  /** Most open connections per front end. Default 10,000. */
  readonly connectionsMax?: number;
}

/** What a broker is started with; where and how it keeps its data stands in StoreOptions. */
export interface BrokerOptions extends StoreOptions {
  /** Name of this broker in routes and answers. Default `ringmq`. */
  readonly name?: string;
  /** Serve WebSocket and HTTP. Default: no, in process only. */
  readonly listen?: ListenOptions | undefined;
  /** Broker worker threads, 1 to 16. Default: one for every four cores. */
  readonly workers?: number;
  /** What server threads do while idle. Default `park`; `spin` burns a core each for the lowest latency. */
  readonly idle?: IdleName;
  /** Make topics on first use. Default true. */
  readonly autoCreateTopics?: boolean;
  /** Default 10,000. */
  readonly topicsMax?: number;
  /** Default 256. */
  readonly partitionsPerTopicMax?: number;
  /** Most partitions of all topics together, a power of two. Default 65,536. */
  readonly partitionMax?: number;
  /** Partitions of a topic made on first use. Default 4 as in RocketMQ. */
  readonly partitionsDefault?: number;
  /** Bytes of ring per partition, a power of two. Default 4 MiB. */
  readonly ringBytes?: number;
  /** Bytes of all rings together. Committed by the page when used. Default: half of the machine's memory. */
  readonly ringMemoryMaxBytes?: number;
  /** Bytes of the lane from each thread to each broker worker, a power of two. Default 2 MiB. */
  readonly laneBytes?: number;
  /** What topics made on first use do when full. Default `block`. */
  readonly overflow?: OverflowPolicy;
  /** Milliseconds without a sign of life until a broker worker's partitions count as unavailable. Default 120,000. */
  readonly brokerExpireMs?: number;
  /** Milliseconds between two looks for such workers. Default 5,000. */
  readonly brokerScanMs?: number;
  /** Milliseconds before producers are asked about a half message that nobody resolved. Default 6,000 (RocketMQ). */
  readonly transactionTimeoutMs?: number;
  /** Milliseconds between two such checks of one half message. Default 30,000. */
  readonly transactionCheckMs?: number;
  /** Checks after which a half message is given up: it goes to TRANS_CHECK_MAX_TIME_TOPIC. Default 15. */
  readonly transactionChecksMax?: number;
  /**
   * Bytes of changes behind which the coordinator's journal (groups, leases, timers, transactions) is written anew.
   * Default 16 MiB.
   */
  readonly journalTailBytes?: number;
  /** Milliseconds between two checkpoints of the files of scheduled messages. Default 300,000. */
  readonly timerCheckpointMs?: number;
  /** Milliseconds that stop() waits for clients and threads to end in order. Default 5,000. */
  readonly drainMs?: number;
  /** `silent`, `error`, `warn`, `info`, `debug`. Default `silent` embedded, `info` in `ringmq serve`. */
  readonly logLevel?: LogLevel;
}

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

export type Settled<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };
export type SettledListen = Settled<ListenOptions>;
export type SettledOptions = Settled<Omit<BrokerOptions, 'listen' | keyof StoreOptions>> &
  SettledStore & { readonly listen: SettledListen | undefined };

const PARTITION_MAX = 65_536;
const LANE_BYTES_MIN = 64 * 1024;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** Fills in defaults and checks every limit. Throws `illegal-argument` naming the option. */
export function settleOptions(options: BrokerOptions): SettledOptions {
  rejectUnknown(options, KNOWN, 'option');
  if (options.listen) rejectUnknown(options.listen, LISTEN_KNOWN, 'listen option');
  const perFour = Math.max(1, Math.floor(availableParallelism() / 4));
  const { workers = Math.min(perFour, 16), partitionMax = PARTITION_MAX } = options;
  const settled: SettledOptions = {
    ...settleStore(options),
    name: options.name ?? 'ringmq',
    workers,
    idle: options.idle ?? 'park',
    autoCreateTopics: options.autoCreateTopics ?? true,
    topicsMax: options.topicsMax ?? 10_000,
    partitionsPerTopicMax: options.partitionsPerTopicMax ?? 256,
    partitionMax,
    partitionsDefault: options.partitionsDefault ?? 4,
    ringBytes: options.ringBytes ?? 4 * MIB,
    ringMemoryMaxBytes: options.ringMemoryMaxBytes ?? Math.floor(totalmem() / 2),
    laneBytes: options.laneBytes ?? laneBytesDefault(workers, partitionMax),
    overflow: options.overflow ?? 'block',
    brokerExpireMs: options.brokerExpireMs ?? 120_000,
    brokerScanMs: options.brokerScanMs ?? 5_000,
    transactionTimeoutMs: options.transactionTimeoutMs ?? 6_000,
    transactionCheckMs: options.transactionCheckMs ?? 30_000,
    transactionChecksMax: options.transactionChecksMax ?? 15,
    journalTailBytes: options.journalTailBytes ?? 16 * MIB,
    timerCheckpointMs: options.timerCheckpointMs ?? 300_000,
    drainMs: options.drainMs ?? 5_000,
    logLevel: options.logLevel ?? 'silent',
    listen: options.listen && settleListen(options.listen, perFour),
  };
  check(settled);
  return settled;
}

/** The largest lane, up to 2 MiB, with which the lanes of all seats to all workers fit into one region. */
function laneBytesDefault(workers: number, partitionMax: number): number {
  let laneBytes = 2 * MIB;
  while (laneBytes > LANE_BYTES_MIN && !lanesFit({ workers, partitionMax, laneBytes })) laneBytes /= 2;
  return laneBytes;
}

function settleListen(listen: ListenOptions, perFour: number): SettledListen {
  return {
    host: listen.host ?? '127.0.0.1',
    port: listen.port ?? 7400,
    frontends: listen.frontends ?? Math.min(perFour, 16),
    transport: listen.transport ?? 'auto',
    insecure: listen.insecure ?? false,
    origins: listen.origins ?? [],
    systemMetrics: listen.systemMetrics ?? true,
    connectionsMax: listen.connectionsMax ?? 10_000,
  };
}

function check(o: SettledOptions): void {
  whole('workers', o.workers, 1, 16);
  whole('topicsMax', o.topicsMax, 1, 1_000_000);
  whole('partitionsPerTopicMax', o.partitionsPerTopicMax, 1, 4_096);
  whole('partitionsDefault', o.partitionsDefault, 1, o.partitionsPerTopicMax);
  powerOfTwo('partitionMax', o.partitionMax, 64, 262_144);
  powerOfTwo('ringBytes', o.ringBytes, RING_BYTES_MIN, RING_BYTES_MAX);
  powerOfTwo('laneBytes', o.laneBytes, LANE_BYTES_MIN, 32 * MIB);
  whole('ringMemoryMaxBytes', o.ringMemoryMaxBytes, o.ringBytes, Number.MAX_SAFE_INTEGER);
  whole('brokerExpireMs', o.brokerExpireMs, 200, 3_600_000);
  whole('brokerScanMs', o.brokerScanMs, 10, 600_000);
  whole('transactionTimeoutMs', o.transactionTimeoutMs, 1, 86_400_000);
  whole('transactionCheckMs', o.transactionCheckMs, 10, 86_400_000);
  whole('transactionChecksMax', o.transactionChecksMax, 1, 10_000);
  whole('journalTailBytes', o.journalTailBytes, 4_096, 1024 * MIB);
  whole('timerCheckpointMs', o.timerCheckpointMs, 10, 3_600_000);
  whole('drainMs', o.drainMs, 0, 600_000);
  oneOf('idle', o.idle, Object.keys(IDLE_STRATEGIES));
  oneOf('overflow', o.overflow, ['block', 'drop-oldest', 'reject']);
  oneOf('logLevel', o.logLevel, ['silent', 'error', 'warn', 'info', 'debug']);
  if (!lanesFit(o)) {
    const which = `laneBytes ${o.laneBytes} with ${o.workers} workers and ${o.partitionMax} partitions`;
    const text = `${which}: more than 2 GiB of lanes`;
    throw new RingmqError('illegal-argument', text);
  }
  if (o.listen) checkListen(o.listen);
}

function checkListen(listen: SettledListen): void {
  whole('listen.port', listen.port, 0, 65_535);
  whole('listen.frontends', listen.frontends, 1, 16);
  whole('listen.connectionsMax', listen.connectionsMax, 1, 1_000_000);
  oneOf('listen.transport', listen.transport, ['auto', 'uws', 'ws']);
  if (!listen.insecure && !LOOPBACK.test(listen.host)) {
    const risk = `host ${listen.host} can be reached by other machines and there is no authentication`;
    throw new RingmqError('illegal-argument', `${risk}: use 127.0.0.1, or say insecure: true (--insecure)`);
  }
}

const KNOWN = [
  ...STORE_KNOWN,
  'name',
  'listen',
  'workers',
  'idle',
  'autoCreateTopics',
  'topicsMax',
  'partitionsPerTopicMax',
  'partitionMax',
  'partitionsDefault',
  'ringBytes',
  'ringMemoryMaxBytes',
  'laneBytes',
  'overflow',
  'brokerExpireMs',
  'brokerScanMs',
  'transactionTimeoutMs',
  'transactionCheckMs',
  'transactionChecksMax',
  'journalTailBytes',
  'timerCheckpointMs',
  'drainMs',
  'logLevel',
];
const LISTEN_KNOWN = [
  'host',
  'port',
  'frontends',
  'transport',
  'insecure',
  'origins',
  'systemMetrics',
  'connectionsMax',
];
