// A broker of one thread and some hundred lines that speaks the binary subprotocol, with the real codec: what clients
// are tested against where a real broker could not be made to misbehave. Not durable, not fast, and it never blocks.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  BATCH_BASE_OFFSET,
  BATCH_BASE_SEQUENCE,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_PARTITION,
  BATCH_PRODUCER_ID,
  BATCH_STORED_AT,
  REQUEST_ACK,
  REQUEST_EPOCH,
  REQUEST_ID,
} from '../../native-layout/batch.ts';
import { CODES, type CodeName } from '../../src/base/codes.ts';
import { Dedupe, FRESH, OUT_OF_ORDER } from '../../src/partition/dedupe.ts';
import { getInt64, putInt64 } from '../../src/record/int64.ts';
import { validateBatch } from '../../src/record/validate.ts';
import { decodeFrame, encodeFrame } from '../../src/wire/codec.ts';
import type { AckEntry, Command, CommandOf, StartFrom, TopicRoute } from '../../src/wire/commands.ts';
import { isCommand } from '../../src/wire/frame.ts';

export interface FakeOptions {
  readonly partitions: number;
  readonly publishWindowBytes: number;
  readonly frameMaxBytes: number;
  readonly heartbeatMs: number;
  /** Batches that a partition remembers. */
  readonly retain: number;
  readonly port: number;
  /** Looks at a command first; true: it needs no other answer. */
  readonly onCommand: (session: FakeSession, correlation: number, command: Command) => boolean;
  /** The code to answer a batch with instead of taking it; undefined: take it. */
  readonly onBatch: (partition: number, sequence: number) => CodeName | undefined;
}

interface StoredBatch {
  readonly base: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

interface FakePartition {
  readonly id: number;
  readonly number: number;
  epoch: number;
  next: number;
  batches: StoredBatch[];
  readonly dedupe: Dedupe;
}

interface FakeSubscription {
  readonly id: number;
  readonly topic: string;
  readonly cursors: Map<FakePartition, number>;
}

const FRAME_BYTES = 128 * 1024;

export class FakeBroker {
  readonly sessions = new Set<FakeSession>();
  readonly options: FakeOptions;
  /** Most bytes that one session had unanswered. */
  inFlightMax = 0;
  sessionCount = 0;
  private readonly topics = new Map<string, FakePartition[]>();
  private readonly server: WebSocketServer;
  private ids = 0;

  private constructor(options: FakeOptions) {
    this.options = options;
    this.server = new WebSocketServer({
      port: options.port,
      host: '127.0.0.1',
      handleProtocols: () => 'ringmq.bin.v1',
      perMessageDeflate: false,
    });
    this.server.on('connection', (socket) => {
      this.sessionCount++;
      this.sessions.add(new FakeSession(this, socket));
    });
  }

  static async start(options: Partial<FakeOptions> = {}): Promise<FakeBroker> {
    const broker = new FakeBroker({
      partitions: 1,
      publishWindowBytes: 256 * 1024,
      frameMaxBytes: 1024 * 1024,
      heartbeatMs: 10_000,
      retain: 1_000_000,
      port: 0,
      onCommand: () => false,
      onBatch: () => undefined,
      ...options,
    });
    await once(broker.server, 'listening');
    return broker;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const session of this.sessions) session.socket.terminate();
    await new Promise((resolve) => this.server.close(resolve));
  }

  topic(name: string): FakePartition[] {
    let found = this.topics.get(name);
    if (!found) {
      found = Array.from({ length: this.options.partitions }, (_, number) => this.partition(number));
      this.topics.set(name, found);
    }
    return found;
  }

  /** Ends a topic and tells everybody. */
  delete(name: string): void {
    this.topics.delete(name);
    for (const session of this.sessions) session.say({ type: 'route-changed', topic: name, version: 9, deleted: true });
  }

  routeOf(topic: string): TopicRoute {
    const partitions = this.topic(topic).map(({ id, number, epoch, next }) => {
      const history = { oldestOffset: 0, epochs: [] };
      return { id, number, owner: 1, epoch, permission: 6, available: true, nextOffset: next, ...history };
    });
    const limits = { ringBytes: 4_194_304, messageMaxBytes: 1_000_000 };
    const kept = { durable: false, retentionMs: 0, retentionBytes: 0 };
    return { topic, topicId: 1, version: 1, overflow: 'block', ...limits, direct: false, ...kept, partitions };
  }

  /** Takes a batch; answers with a code and the base offset. */
  append(bytes: Uint8Array, words: Int32Array): { code: CodeName; base: number; partition: number } {
    const id = words[BATCH_PARTITION >> 2];
    const sequence = words[BATCH_BASE_SEQUENCE >> 2];
    const partition = [...this.topics.values()].flat().find((one) => one.id === id);
    if (!partition) return { code: 'unknown-partition', base: -1, partition: id };
    const other = this.options.onBatch(partition.number, sequence);
    if (other) return { code: other, base: -1, partition: id };
    if (words[REQUEST_EPOCH >> 2] !== partition.epoch) return { code: 'route-stale', base: -1, partition: id };
    const producer = getInt64(words, BATCH_PRODUCER_ID >> 2);
    const verdict = partition.dedupe.check(producer, sequence);
    if (verdict === OUT_OF_ORDER) return { code: 'out-of-order', base: -1, partition: id };
    if (verdict !== FRESH)
      return { code: 'duplicate', base: partition.dedupe.offsetOf(producer, sequence), partition: id };
    const count = words[BATCH_COUNT >> 2];
    const base = partition.next;
    partition.dedupe.accepted(producer, sequence, count, base);
    words[BATCH_EPOCH >> 2] = partition.epoch;
    putInt64(words, BATCH_BASE_OFFSET >> 2, base);
    putInt64(words, BATCH_STORED_AT >> 2, Date.now());
    partition.next += count;
    partition.batches.push({ base, count, bytes });
    if (partition.batches.length > this.options.retain) partition.batches.shift();
    return { code: 'ok', base, partition: id };
  }

  pump(): void {
    for (const session of this.sessions) session.deliver();
  }

  private partition(number: number): FakePartition {
    this.ids++;
    return { id: this.ids, number, epoch: 7, next: 0, batches: [], dedupe: new Dedupe() };
  }
}

/** One connection to the fake broker. */
export class FakeSession {
  readonly socket: WebSocket;
  /** Every command of the client. */
  readonly commands: Command[] = [];
  readonly subscriptions = new Map<number, FakeSubscription>();
  /** Bytes that may still be delivered. */
  credit = 0;
  /** Answers are kept back while true. */
  mute = false;
  private readonly broker: FakeBroker;
  private readonly acks: AckEntry[] = [];
  private windowed = false;
  private inFlight = 0;

  constructor(broker: FakeBroker, socket: WebSocket) {
    this.broker = broker;
    this.socket = socket;
    socket.on('message', (data: Buffer) => this.take(data));
    socket.on('close', () => broker.sessions.delete(this));
    socket.on('error', () => {});
  }

  say(command: Command, correlation = 0): void {
    this.socket.send(encodeFrame({ correlation, command }));
  }

  /** Sends all answers that were kept back. */
  unmute(): void {
    this.mute = false;
    this.answerBatches();
  }

  /** Sends what subscriptions want, as far as there is credit. */
  deliver(): void {
    for (const subscription of this.subscriptions.values()) {
      for (const [partition, from] of subscription.cursors) this.deliverFrom(subscription, partition, from);
    }
  }

  private deliverFrom(subscription: FakeSubscription, partition: FakePartition, from: number): void {
    let at = from;
    const oldest = partition.batches[0]?.base ?? partition.next;
    if (at < oldest) {
      const { id, number, epoch } = partition;
      const { topic } = subscription;
      this.say({ type: 'gap', id, number, epoch, topic, fromOffset: at, toOffset: oldest, reason: 'evicted' });
      at = oldest;
    }
    while (at < partition.next && (this.credit > 0 || !this.windowed)) {
      const frame: Uint8Array[] = [];
      let length = 0;
      for (const batch of partition.batches) {
        if (batch.base + batch.count <= at) continue;
        if (length > 0 && length + batch.bytes.length > FRAME_BYTES) break;
        frame.push(batch.bytes);
        length += batch.bytes.length;
        at = batch.base + batch.count;
      }
      this.credit -= length;
      this.socket.send(Buffer.concat(frame));
    }
    subscription.cursors.set(partition, at);
  }

  private take(data: Buffer): void {
    // A copy of its own: batches are kept, and words need alignment.
    const bytes = new Uint8Array(data);
    if (!isCommand(bytes)) {
      this.takeBatches(bytes);
      return;
    }
    const { correlation, command } = decodeFrame(bytes);
    this.commands.push(command);
    if (!this.broker.options.onCommand(this, correlation, command)) this.answer(correlation, command);
  }

  private takeBatches(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const all = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
      const size = all[at >> 2];
      const verdict = validateBatch(bytes, all, at, bytes.length);
      const batch = bytes.slice(at, at + size);
      const words = new Int32Array(batch.buffer);
      const request = words[REQUEST_ID >> 2];
      const ack = words[REQUEST_ACK >> 2];
      const count = words[BATCH_COUNT >> 2];
      const taken = verdict === 'ok' ? this.broker.append(batch, words) : { code: verdict, base: -1, partition: 0 };
      if (ack > 0) {
        this.inFlight += size;
        this.broker.inFlightMax = Math.max(this.broker.inFlightMax, this.inFlight);
        const status = CODES[taken.code].number;
        this.acks.push({ request, status, partition: taken.partition, count, baseOffset: taken.base });
      }
      at += size;
    }
    setImmediate(() => {
      this.answerBatches();
      this.broker.pump();
    });
  }

  private answerBatches(): void {
    if (this.mute || this.acks.length === 0) return;
    this.inFlight = 0;
    this.say({ type: 'ack', entries: this.acks.splice(0) });
  }

  private answer(correlation: number, command: Command): void {
    const { broker } = this;
    if (command.type === 'hello') this.say(this.welcome(), correlation);
    else if (command.type === 'ping') this.say({ type: 'pong', time: command.time });
    else if (command.type === 'route-request' || command.type === 'create-topic') {
      this.say({ type: 'route-reply', route: broker.routeOf(command.topic) }, correlation);
    } else if (command.type === 'subscribe') this.subscribe(correlation, command);
    else if (command.type === 'unsubscribe') this.subscriptions.delete(command.subscription);
    else if (command.type === 'credit') {
      this.credit += command.bytes;
      this.deliver();
    } else if (command.type === 'pull') this.pull(correlation, command);
    else if (correlation > 0) this.say({ type: 'done' }, correlation);
  }

  private welcome(): Command {
    const { publishWindowBytes, frameMaxBytes, heartbeatMs } = this.broker.options;
    const limits = { messageMaxBytes: 1_000_000, frameMaxBytes, publishWindowBytes, heartbeatMs };
    return { type: 'welcome', broker: 'fake', version: '0', session: 's', ...limits, serverTime: Date.now() };
  }

  private subscribe(correlation: number, command: CommandOf<'subscribe'>): void {
    const cursors = new Map<FakePartition, number>();
    const partitions = this.broker.topic(command.topic);
    const starts = partitions
      .filter((one) => command.partitions.length === 0 || command.partitions.includes(one.number))
      .map((one) => {
        const oldest = one.batches[0]?.base ?? one.next;
        const wanted = startIn(one, oldest, command.from);
        const offset = Math.max(oldest, wanted);
        cursors.set(one, offset);
        const gap = wanted < oldest || otherEpoch(one, command.from);
        return { id: one.id, number: one.number, epoch: one.epoch, offset, gap, gapFrom: Math.max(0, wanted) };
      });
    if (this.subscriptions.size === 0) this.credit = command.windowBytes;
    this.windowed = command.windowBytes > 0;
    const { subscription, topic } = command;
    this.subscriptions.set(subscription, { id: subscription, topic, cursors });
    this.say({ type: 'subscribed', subscription, topic, topicId: 1, starts }, correlation);
    this.deliver();
  }

  private pull(correlation: number, command: CommandOf<'pull'>): void {
    const partition = this.broker.topic(command.topic)[command.partition];
    const from =
      typeof command.from === 'object' ? command.from.offset : command.from === 'earliest' ? 0 : partition.next;
    const batches = partition.batches.filter((one) => one.base + one.count > from);
    if (batches.length === 0 && command.waitMs > 0) {
      setTimeout(() => this.pull(correlation, { ...command, from: { offset: from }, waitMs: command.waitMs - 20 }), 20);
      return;
    }
    const { id, number, epoch, next } = partition;
    const bytes = Buffer.concat(batches.map((one) => one.bytes));
    this.say({ type: 'pull-reply', id, number, epoch, nextOffset: next, gap: false, batches: bytes }, correlation);
  }
}

function startIn(partition: FakePartition, oldest: number, from: StartFrom): number {
  if (from === 'latest') return partition.next;
  if (from === 'earliest') return oldest;
  if ('offset' in from) return from.offset;
  if ('last' in from) return Math.max(oldest, partition.next - from.last);
  if ('time' in from) return oldest;
  if (otherEpoch(partition, from)) return oldest;
  return from.positions.find((one) => one.partition === partition.number)?.offset ?? oldest;
}

function otherEpoch(partition: FakePartition, from: StartFrom): boolean {
  if (typeof from === 'string' || !('positions' in from)) return false;
  return from.positions.some((one) => one.partition === partition.number && one.epoch !== partition.epoch);
}
