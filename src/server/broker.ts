// The composition root: options in, a running broker out.
import { randomUUID } from 'node:crypto';
import {
  CONTROL_STATES,
  SEAT_COORDINATOR,
  SEAT_FIRST_WORKER,
  SEAT_LOG_READER,
  SEAT_NAMESERVER,
  SEAT_STORE,
} from '../../native-layout/control.ts';
import { RingmqError } from '../base/codes.ts';
import { type Log, makeLog } from '../base/log.ts';
import type { AttachOptions } from '../client/grouping-connection.ts';
import { InProcessConnection } from '../client/in-process.ts';
import { dataFolders } from '../log/disk-folder.ts';
import { ARENA_BYTES, claimArenaId } from '../memory/arena.ts';
import { type ArenaEntry, type Attachment, createRegions } from '../memory/regions.ts';
import { setBrokerState } from '../memory/seats.ts';
import { FileBook } from '../memory/shared-file.ts';
import type { TopicRecord } from '../nameserver/directory.ts';
import { Supervisor } from '../thread/supervisor.ts';
import type { FilesReport } from '../thread/worker-data.ts';
import { FrontEnds } from './front-ends.ts';
import { type BrokerOptions, type SettledOptions, settleOptions } from './options.ts';
import { sizesOf } from './sizes.ts';
import type { OpenStore } from './store.ts';

/** Longest orderly stop of the coordinator. */
const COORDINATOR_STOP_MS = 10_000;

/** A running broker. */
export interface Broker {
  /** Names this broker inside the process. */
  readonly id: string;
  /** ws:// address when listening, else undefined. */
  readonly url: string | undefined;
  /** Pass this in `workerData`, and call attach() with it in the worker. */
  readonly attachment: Attachment;
  /** A connection for the calling thread. Close it when done. */
  connect(options?: AttachOptions): InProcessConnection;
  /**
   * Stops in order: front ends drain, acknowledged messages stay readable until then, threads end. With a data folder
   * everything that was accepted is on the disk then, and the folder is free for the next broker.
   */
  stop(): Promise<void>;
  /** Resolves when the broker has stopped; rejects if it had to give up. */
  readonly stopped: Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a broker in this process: NameServer thread, broker workers, coordinator and, with `listen`, front ends.
 * With `data` also the store: what the folder has is verified first, and is there when the promise resolves.
 *
 * @throws RingmqError `illegal-argument` naming the option; `data-in-use`, `data-unknown`, `log-corrupt` or
 * `state-corrupt` saying what is wrong with the data folder; TransportError (EADDRINUSE, say) when it cannot listen.
 */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const settled = settleOptions(options);
  const log = makeLog(settled.logLevel);
  const broker = new RunningBroker(settled, log);
  try {
    await broker.start();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

function makeAttachment(id: string, options: SettledOptions): Attachment {
  const regions = createRegions(id, sizesOf(options, options.listen?.frontends ?? 0));
  const control = new Int32Array(regions.control);
  const arenas: ArenaEntry[] = Array.from({ length: options.workers }, (_, i) => ({
    id: claimArenaId(control),
    owner: SEAT_FIRST_WORKER + i,
    buffer: new SharedArrayBuffer(Math.max(ARENA_BYTES, options.ringBytes)),
  }));
  return { ...regions, arenas, ...(options.data === undefined ? {} : { keysFolder: dataFolders(options.data).keys }) };
}

class RunningBroker implements Broker {
  readonly id = randomUUID();
  readonly stopped: Promise<void>;
  private readonly options: SettledOptions;
  private readonly log: Log;
  private readonly control: Int32Array;
  private readonly supervisor: Supervisor;
  private readonly topics = new Map<string, TopicRecord>();
  private readonly connections = new Set<InProcessConnection>();
  /** The coordinator's, of a broker without data: they outlive its thread. */
  private readonly files = new FileBook();
  private readonly frontEnds: FrontEnds | undefined;
  private store: OpenStore | undefined;
  private stopping: Promise<void> | undefined;
  private ended: () => void = () => {};
  private failed: (error: Error) => void = () => {};

  constructor(options: SettledOptions, log: Log) {
    this.options = options;
    this.log = log;
    const attachment = makeAttachment(this.id, options);
    this.control = new Int32Array(attachment.control);
    this.stopped = new Promise((resolve, reject) => {
      this.ended = resolve;
      this.failed = reject;
    });
    this.stopped.catch(() => {});
    this.supervisor = new Supervisor(attachment, log, (error) => this.giveUp(error));
    if (options.listen) this.frontEnds = new FrontEnds(options, options.listen, this.supervisor, log);
  }

  get url(): string | undefined {
    return this.frontEnds?.url;
  }

  get attachment(): Attachment {
    return this.supervisor.attachment;
  }

  async start(): Promise<void> {
    await this.frontEnds?.probe();
    await this.openStore();
    // The others look for partitions, and for their owners, in the table.
    await this.startNameServer();
    await this.startStore();
    await Promise.all(Array.from({ length: this.options.workers }, (_, i) => this.startWorker(SEAT_FIRST_WORKER + i)));
    setBrokerState(this.control, CONTROL_STATES.running);
    await this.startCoordinator();
    await this.frontEnds?.start();
    const { workers, data } = this.options;
    this.log.info({ workers, url: this.url, data }, 'broker runs');
  }

  connect(options: AttachOptions = {}): InProcessConnection {
    if (this.stopping) throw new RingmqError('closed', 'the broker is stopped');
    const connection = new InProcessConnection(this.attachment, options);
    this.connections.add(connection);
    connection.onState((change) => {
      if (change.to === 'closed') this.connections.delete(connection);
    });
    return connection;
  }

  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Only a broker with data loads what that needs. */
  private async openStore(): Promise<void> {
    const { data } = this.options;
    if (data === undefined) return;
    const { openStore } = await import('./store.ts');
    this.store = await openStore({ ...this.options, data }, this.log);
  }

  private startNameServer(): Promise<unknown> {
    const { options, store } = this;
    return this.supervisor.start({
      name: 'nameserver',
      seat: SEAT_NAMESERVER,
      workerData: (attachment) => ({
        attachment,
        options: nameServerOptions(options),
        topics: [...this.topics.values()],
        logLevel: options.logLevel,
        ...store?.forNameServer(),
      }),
      onMessage: (message) => this.keepTopic(message as { type: string; topic?: string; record?: TopicRecord }),
    });
  }

  /** The store first: the log reader hears from it what was written. */
  private async startStore(): Promise<void> {
    const { store } = this;
    if (!store) return;
    await this.supervisor.start({
      name: 'store',
      seat: SEAT_STORE,
      workerData: (attachment) => ({ attachment, ...store.forStoreThread() }),
    });
    await this.supervisor.start({
      name: 'log-reader',
      seat: SEAT_LOG_READER,
      workerData: (attachment) => ({ attachment, ...store.forLogReader() }),
    });
  }

  private startWorker(seat: number): Promise<unknown> {
    const { options, store } = this;
    return this.supervisor.start({
      name: 'broker',
      seat,
      workerData: (attachment) => ({
        attachment,
        seat,
        idle: options.idle,
        ringMemoryMaxBytes: Math.floor(options.ringMemoryMaxBytes / options.workers),
        ...store?.forWorker(attachment, seat),
      }),
    });
  }

  /** A client of the broker: after all that it uses. */
  private startCoordinator(): Promise<unknown> {
    const { transactionTimeoutMs, transactionCheckMs, transactionChecksMax } = this.options;
    const { journalTailBytes, timerCheckpointMs } = this.options;
    const checks = {
      immunityMs: transactionTimeoutMs,
      intervalMs: transactionCheckMs,
      checksMax: transactionChecksMax,
    };
    return this.supervisor.start({
      name: 'coordinator',
      seat: SEAT_COORDINATOR,
      workerData: (attachment) => {
        const kept = this.store?.forCoordinator() ?? { files: this.files.files };
        return { attachment, checks, journalTailBytes, timerCheckpointMs, ...kept };
      },
      onMessage: (message) => {
        if (message.type === 'files') this.files.hear((message as FilesReport).change);
      },
    });
  }

  private async shutDown(): Promise<void> {
    setBrokerState(this.control, CONTROL_STATES.stopping);
    const { drainMs } = this.options;
    await this.frontEnds?.stop(drainMs);
    await Promise.all([...this.connections].map((connection) => connection.close(drainMs)));
    // A client of the broker: before all that it uses.
    await this.supervisor.end(
      'coordinator',
      () => this.supervisor.tell('coordinator', { type: 'stop' }),
      COORDINATOR_STOP_MS,
    );
    await this.supervisor.finish(drainMs);
    this.store?.release();
    this.log.info('broker stopped');
    this.ended();
  }

  private giveUp(error: Error): void {
    this.failed(error);
    void this.stop();
  }

  private keepTopic(message: { type: string; topic?: string; record?: TopicRecord }): void {
    if (message.type !== 'topic' || message.topic === undefined) return;
    if (message.record) this.topics.set(message.topic, message.record);
    else this.topics.delete(message.topic);
  }
}

function nameServerOptions(options: SettledOptions): object {
  return {
    topicsMax: options.topicsMax,
    partitionsPerTopicMax: options.partitionsPerTopicMax,
    partitionsDefault: options.partitionsDefault,
    ringBytesDefault: options.ringBytes,
    laneMessageMaxBytes: options.laneBytes / 2,
    overflowDefault: options.overflow,
    durableDefault: options.durable,
    autoCreate: options.autoCreateTopics,
    expireMs: options.brokerExpireMs,
    scanMs: options.brokerScanMs,
  };
}
