// What the front-end tests share: a broker that listens, raw WebSocket clients with hand-made frames, conditions
// awaited with a deadline. Nothing of src/client is used: what is tested is the wire.
import { Worker } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { ACK_LEVELS, type AckLevel } from '../../../src/base/units.ts';
import type { FrontEndConfig } from '../../../src/frontend/config.ts';
import { loadUwsBinding } from '../../../src/frontend/transport/uws-binding.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { type Broker, startBroker } from '../../../src/server/broker.ts';
import type { BrokerOptions, ListenOptions } from '../../../src/server/options.ts';
import { decodeFrame, encodeFrame } from '../../../src/wire/codec.ts';
import type {
  AckEntry,
  Command,
  CommandOf,
  CommandType,
  Frame,
  PartitionRoute,
  StartFrom,
  TopicRoute,
} from '../../../src/wire/commands.ts';
import { isCommand } from '../../../src/wire/frame.ts';
import { until } from '../../support/until.ts';

export type Kind = 'uws' | 'ws';
/** The native transport is optional: where it does not load, the other one is tested alone. */
export const KINDS: readonly Kind[] = loadUwsBinding().ok ? ['uws', 'ws'] : ['ws'];

const clients: { terminate(): void }[] = [];
const brokers: Broker[] = [];

export async function start(listen: ListenOptions = {}, options: Omit<BrokerOptions, 'listen'> = {}): Promise<Broker> {
  const broker = await startBroker({ workers: 1, ...options, listen: { port: 0, systemMetrics: false, ...listen } });
  brokers.push(broker);
  return broker;
}

/** A front-end thread with a configuration of its own beside those of a broker. */
export class FrontEndThread {
  readonly worker: Worker;
  url = '';
  exitCode: number | undefined;
  readonly messages: { readonly type: string; readonly port?: number; readonly code?: string }[] = [];

  constructor(broker: Broker, config: Partial<FrontEndConfig> = {}) {
    const workerData = { attachment: broker.attachment, config: { ...CONFIG, startedAt: Date.now(), ...config } };
    this.worker = new Worker(new URL('../../../dist/workers/frontend.js', import.meta.url), { workerData });
    this.worker.on('message', (message) => this.messages.push(message));
    this.worker.on('exit', (code) => {
      this.exitCode = code;
    });
    threads.push(this);
  }

  async listening(): Promise<this> {
    await until(() => this.messages.length > 0, 'the front end says how it started');
    const [first] = this.messages;
    if (first.type !== 'listening') throw new Error(`${first.type} ${first.code}`);
    this.url = `ws://127.0.0.1:${first.port}`;
    return this;
  }

  async stop(): Promise<number> {
    this.worker.postMessage({ type: 'stop' });
    await until(() => this.exitCode !== undefined, 'the front end ends');
    return this.exitCode as number;
  }
}

const threads: FrontEndThread[] = [];
const CONFIG: FrontEndConfig = {
  brokerName: 'test',
  host: '127.0.0.1',
  port: 0,
  shared: false,
  transport: 'auto',
  origins: [],
  connectionsMax: 100,
  systemMetrics: false,
  startedAt: 0,
  logLevel: 'silent',
};

/** Ends all that a test started. */
export async function stopAll(): Promise<void> {
  for (const client of clients.splice(0)) client.terminate();
  for (const thread of threads.splice(0)) if (thread.exitCode === undefined) await thread.stop();
  for (const broker of brokers.splice(0)) await broker.stop();
}

/** One record that was delivered. */
export interface Delivered {
  /** Id of the partition. */
  readonly partition: number;
  readonly offset: number;
  readonly text: string;
}

/** Any WebSocket client: what it got, in order, and how it ended. */
export class RawClient {
  readonly raw: WebSocket;
  closed: { readonly code: number; readonly reason: string } | undefined;

  constructor(url: string, protocols: string[], headers: Record<string, string> = {}) {
    this.raw = new WebSocket(url, protocols, { perMessageDeflate: false, headers });
    this.raw.on('error', () => {});
    this.raw.on('message', (data: Buffer, binary) => this.took(data, binary));
    this.raw.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    clients.push(this.raw);
  }

  /** Rejects with `status N` if the server refuses. */
  open(): Promise<this> {
    return new Promise((resolve, reject) => {
      this.raw.once('open', () => resolve(this));
      this.raw.once('error', reject);
      this.raw.once('unexpected-response', (_request, response) => reject(new Error(`status ${response.statusCode}`)));
    });
  }

  async ended(ms?: number): Promise<{ readonly code: number; readonly reason: string }> {
    await until(() => this.closed !== undefined, 'the connection ends', ms);
    return this.closed as { code: number; reason: string };
  }

  protected took(_data: Buffer, _binary: boolean): void {}
}

/** A client of `ringmq.bin.v1` that keeps everything. */
export class BinaryClient extends RawClient {
  readonly commands: Frame[] = [];
  readonly acks: AckEntry[] = [];
  readonly delivered: Delivered[] = [];
  /** What came, in order: a command's type, or `batches`. */
  readonly order: string[] = [];
  /** Lengths of delivery frames. */
  readonly frames: number[] = [];
  /** Gives delivered bytes back at once. */
  credits = false;
  /** Records delivered; `keeps` false: they are only counted. */
  count = 0;
  keeps = true;
  private correlation = 0;
  private request = 0;

  static async connect(url: string, hello = true): Promise<BinaryClient> {
    const client = await new BinaryClient(url, ['ringmq.bin.v1']).open();
    if (hello) await client.ask({ type: 'hello', client: 'test', version: '0', token: '' });
    return client;
  }

  send(command: Command, correlation = 0): void {
    this.raw.send(encodeFrame({ correlation, command }));
  }

  /** Sends a command and waits for its answer; a refusal rejects with its code. */
  async ask<T extends CommandType = CommandType>(command: Command): Promise<CommandOf<T>> {
    const correlation = ++this.correlation;
    this.send(command, correlation);
    return this.answer<T>(correlation);
  }

  async answer<T extends CommandType = CommandType>(correlation: number): Promise<CommandOf<T>> {
    const find = () => this.commands.find((frame) => frame.correlation === correlation);
    await until(() => find() !== undefined || this.closed !== undefined, `an answer to ${correlation}`);
    const answer = find()?.command;
    if (answer === undefined) throw new Error(`closed ${this.closed?.code} ${this.closed?.reason}`);
    if (answer.type === 'refused') throw new Error(answer.code);
    return answer as CommandOf<T>;
  }

  async createTopic(topic: string, options: Partial<CommandOf<'create-topic'>> = {}): Promise<TopicRoute> {
    const reply = await this.ask<'route-reply'>({
      type: 'create-topic',
      topic,
      partitions: 1,
      overflow: 'block',
      ringBytes: 0,
      direct: false,
      durable: undefined,
      retentionMs: 0,
      retentionBytes: 0,
      ifNotExists: false,
      ...options,
    });
    return reply.route;
  }

  subscribe(topic: string, from: StartFrom = 'latest', windowBytes = 0, filter = ''): Promise<CommandOf<'subscribed'>> {
    const subscription = this.correlation + 1;
    return this.ask<'subscribed'>({
      type: 'subscribe',
      subscription,
      topic,
      from,
      partitions: [],
      windowBytes,
      filter,
    });
  }

  /** Sends one batch and returns its request number. */
  publish(partition: PartitionRoute, bodies: readonly string[], options: BatchOptions = {}): number {
    const request = options.request ?? ++this.request;
    this.raw.send(batchOf(partition, bodies, { ...options, request }));
    return request;
  }

  /** Waits for the answer to a batch. */
  async ack(request: number, ms?: number): Promise<AckEntry> {
    const find = () => this.acks.find((entry) => entry.request === request);
    await until(() => find() !== undefined || this.closed !== undefined, `an ack for ${request}`, ms);
    const entry = find();
    if (entry === undefined) throw new Error(`closed ${this.closed?.code} ${this.closed?.reason}`);
    return entry;
  }

  /** Commands of one type that answered nothing. */
  news<T extends CommandType>(type: T): CommandOf<T>[] {
    return this.commands
      .filter((frame) => frame.correlation === 0 && frame.command.type === type)
      .map((frame) => frame.command as CommandOf<T>);
  }

  protected override took(data: Buffer, binary: boolean): void {
    if (!binary) throw new Error('a text frame in a binary session');
    const bytes = new Uint8Array(data);
    if (isCommand(bytes)) this.tookCommand(decodeFrame(bytes));
    else this.tookBatches(bytes);
  }

  private tookCommand(frame: Frame): void {
    this.order.push(frame.command.type);
    if (frame.command.type === 'ack') this.acks.push(...frame.command.entries);
    else this.commands.push(frame);
  }

  private tookBatches(bytes: Uint8Array): void {
    this.order.push('batches');
    this.frames.push(bytes.length);
    const view = new BatchView().span(bytes, new Int32Array(bytes.buffer), 0, bytes.length);
    const record = new RecordView();
    while (view.next()) {
      this.count += view.count;
      if (!this.keeps) continue;
      record.open(view);
      while (record.next()) {
        this.delivered.push({ partition: view.partition, offset: record.offset, text: record.text() });
      }
    }
    if (this.credits) this.send({ type: 'credit', bytes: bytes.length });
  }
}

export interface BatchOptions {
  readonly request?: number;
  readonly ack?: AckLevel;
  readonly epoch?: number;
  readonly producerId?: number;
  readonly baseSequence?: number;
  readonly requestFlags?: number;
}

/** One closed batch. */
export function batchOf(
  partition: Pick<PartitionRoute, 'id' | 'epoch'>,
  bodies: readonly string[],
  options: BatchOptions = {},
): Uint8Array {
  const room = bodies.reduce((sum, body) => sum + body.length * 3 + 64, 128);
  const builder = new BatchBuilder(room);
  for (const body of bodies) builder.tryAddText(body, Date.now());
  const length = builder.close({
    partition: partition.id,
    epoch: options.epoch ?? partition.epoch,
    request: options.request ?? 1,
    ack: ACK_LEVELS[options.ack ?? 'accepted'],
    requestFlags: options.requestFlags ?? 0,
    producerId: options.producerId ?? 0,
    baseSequence: options.baseSequence ?? 0,
    checksum: true,
  });
  return builder.bytes.slice(0, length);
}

/** Frames one after another in one. */
export function joined(...frames: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(frames));
}
