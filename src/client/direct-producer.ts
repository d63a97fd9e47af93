// A producer that owns a partition: it writes the ring itself, without lane and broker worker in between. The fastest
// way from one thread to others; order holds per thread, because each thread has a partition of its own.
import { PARTITION_STATES } from '../../native-layout/partition-table.ts';
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import { claimArenaId } from '../memory/arena.ts';
import { placeNumbers, publishPlace, readIdentity, setPartitionState, tryRetire } from '../memory/partition-entry.ts';
import { NO_ROOM, Partition } from '../partition/partition.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { utf8 } from '../record/text.ts';
import type { Participant } from '../thread/participant.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';
import type { MessageExtras, Producer, SendReceipt } from './connection.ts';
import { asRefusal, BatchOutcome, checkBody, Sent, tooLarge, Unheard } from './sent.ts';

const BATCH_BYTES = 32 * 1024;
const OK = CODES.ok.number;

type Body = Uint8Array | string;

/** What the connection does for its direct producers. */
export interface DirectHost {
  /** The producer is closed; its ring can be returned once tryRetire() says so. */
  closed(producer: DirectProducer): void;
  /** Something is under way: the process must not end. */
  hold(): void;
  failed(error: Error): void;
}

export class DirectProducer implements Producer<Body> {
  readonly topic: string;
  /** Number of this thread's partition in the topic. */
  readonly partition: number;
  private readonly participant: Participant;
  private readonly target: Partition;
  private readonly host: DirectHost;
  private readonly arena: number;
  private readonly messageMax: number;
  private readonly builder: BatchBuilder;
  private outcome: BatchOutcome | undefined;
  private stalled = false;
  /** The builder has a first message, and nothing else is to be considered before the next. */
  private filling = false;
  private readonly quickMax: number;
  private flushAsked = false;
  private closed = false;
  private readonly unheard: Unheard;
  private firstError: Error | undefined;
  private readonly waiters: (() => void)[] = [];

  private constructor(participant: Participant, route: TopicRoute, target: Partition, arena: number, host: DirectHost) {
    this.participant = participant;
    this.topic = route.topic;
    this.partition = target.identity.number;
    this.target = target;
    this.arena = arena;
    this.host = host;
    this.unheard = new Unheard({ soon: setImmediate }, host);
    this.messageMax = route.messageMaxBytes;
    this.quickMax = Math.floor(route.messageMaxBytes / 3);
    this.builder = new BatchBuilder(Math.min(BATCH_BYTES, target.writer.batchMax));
  }

  /**
   * For the connection: takes a partition of the route that this seat owns and nobody has opened, and gives it a ring.
   * Of several that were asked for at once each answer may name all.
   */
  static open(participant: Participant, route: TopicRoute, host: DirectHost): DirectProducer {
    const { control, table } = participant.regions;
    const isNew = ({ id, owner, epoch }: PartitionRoute): boolean => {
      const isOwn = owner === participant.seat && readIdentity(table, id)?.epoch === epoch;
      return isOwn && placeNumbers(table, id) === undefined;
    };
    const mine = route.partitions.findLast(isNew);
    const identity = mine && readIdentity(table, mine.id);
    if (!identity) throw new RingmqError('internal', 'the NameServer gave no partition to this thread');
    const arena = {
      id: claimArenaId(control),
      owner: participant.seat,
      buffer: new SharedArrayBuffer(identity.ringBytes),
    };
    const { bytes, words } = participant.arenas.add(arena.id, arena.buffer);
    participant.announcements.say({ type: 'arena', arena });
    publishPlace(table, mine.id, arena.id, 0, identity.ringBytes);
    const place = { bytes, words, byte: 0, capacity: identity.ringBytes };
    return new DirectProducer(participant, route, new Partition(table, mine.id, identity, place), arena.id, host);
  }

  get idle(): boolean {
    return this.builder.count === 0;
  }

  async ready(): Promise<void> {
    if (this.closed) throw new RingmqError('closed', 'the producer is closed');
    while (!this.hasRoom) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  send(body: Body, extras?: MessageExtras): PromiseLike<SendReceipt> {
    try {
      if (!this.trySend(body, extras)) {
        return this.refuse(new RingmqError('busy', 'the ring is full: await ready()'));
      }
    } catch (error) {
      return this.refuse(asRefusal(error));
    }
    this.outcome ??= new BatchOutcome(this.topic, this.partition, this.target.identity.topic);
    return new Sent(this.outcome, this.builder.count - 1);
  }

  /** HOT */
  trySend(body: Body, extras?: MessageExtras): boolean {
    // The way of nearly all messages: bytes into a batch that is open already and has room.
    if (extras === undefined && this.filling && typeof body !== 'string' && body.length <= this.quickMax) {
      if (this.builder.tryAddBody(body, 0)) return true;
    }
    if (this.stalled && !this.tryClose()) return false;
    if (this.closed) throw new RingmqError('closed', 'the producer is closed');
    if (!this.add(body, extras)) {
      if (!this.tryClose()) return false;
      if (!this.add(body, extras)) throw new RingmqError('internal', 'an empty batch took no message');
    }
    if (!this.flushAsked) {
      this.flushAsked = true;
      this.host.hold();
      setImmediate(this.flushLater);
    }
    this.filling = true;
    return true;
  }

  async sendBatch(bodies: Iterable<Body>, extras?: MessageExtras): Promise<readonly SendReceipt[]> {
    const sent: Sent[] = [];
    for (const body of bodies) {
      while (!this.trySend(body, extras)) await this.ready();
      this.outcome ??= new BatchOutcome(this.topic, this.partition, this.target.identity.topic);
      sent.push(new Sent(this.outcome, this.builder.count - 1));
    }
    await this.flush();
    for (const outcome of new Set(sent.map((one) => one.outcome))) await outcome.done();
    return sent.map((one) => one.receipt());
  }

  async flush(): Promise<void> {
    while (!this.tryClose()) await this.ready();
    const error = this.firstError;
    this.firstError = undefined;
    if (error) throw error;
  }

  /** Closes the open batch into the ring. False if readers hold the room. */
  flushNow(): boolean {
    return this.tryClose();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    try {
      await this.flush();
    } finally {
      this.abort(new RingmqError('closed', 'the producer was closed'));
    }
  }

  /** Ends at once. What had no room in the ring fails with the error; what readers can see stays for them. */
  abort(error: RingmqError): void {
    if (this.closed) return;
    this.closed = true;
    this.filling = false;
    this.stalled = false;
    if (this.builder.count > 0) {
      this.builder.reset();
      this.settle(-1, error);
    }
    const { table } = this.participant.regions;
    const { id, identity } = this.target;
    // The NameServer takes it out of the topic.
    if (readIdentity(table, id)?.epoch === identity.epoch) setPartitionState(table, id, PARTITION_STATES.deleted);
    this.participant.announcements.say({ type: 'arena-gone', id: this.arena });
    for (const wake of this.waiters.splice(0)) wake();
    this.host.closed(this);
  }

  /** After the close: returns the partition's entry. False while it has readers. */
  tryRetire(): boolean {
    return tryRetire(this.participant.regions.table, this.target.id);
  }

  /** Permissions may have changed. */
  refresh(): void {
    this.target.refresh();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The connection looks after stalled producers every turn. */
  onRoom(): void {
    if (this.stalled && this.tryClose()) for (const wake of this.waiters.splice(0)) wake();
  }

  get hasRoom(): boolean {
    return !this.stalled || this.tryClose();
  }

  private add(body: Body, extras: MessageExtras | undefined): boolean {
    checkBody(body);
    if (body.length * 3 > this.messageMax) this.checkLength(body);
    const { builder } = this;
    const now = builder.count === 0 ? Date.now() : 0;
    if (extras !== undefined) return builder.tryAdd(typeof body === 'string' ? utf8(body) : body, extras, now);
    return typeof body === 'string' ? builder.tryAddText(body, now) : builder.tryAddBody(body, now);
  }

  private checkLength(body: Body): void {
    const length = typeof body === 'string' ? utf8(body).length : body.length;
    if (length > this.messageMax) throw tooLarge(this.topic, this.messageMax, length);
  }

  private readonly flushLater = (): void => {
    this.flushAsked = false;
    if (!this.closed) this.tryClose();
  };

  private get isDeleted(): boolean {
    const { id, identity } = this.target;
    return readIdentity(this.participant.regions.table, id)?.epoch !== identity.epoch;
  }

  /** Writes the open batch into the ring and shows it. HOT once per batch */
  private tryClose(): boolean {
    const { builder, target } = this;
    this.filling = false;
    if (builder.count === 0) return true;
    // Readers of a deleted topic leave, which makes room: for nothing.
    if (this.stalled && this.isDeleted) {
      this.abort(new RingmqError('unknown-topic', `topic ${this.topic} was deleted`));
      return true;
    }
    const now = Date.now();
    const length = builder.close({
      partition: target.id,
      epoch: target.identity.epoch,
      request: 0,
      ack: 0,
      requestFlags: 0,
      producerId: 0,
      baseSequence: 0,
      checksum: false,
    });
    const status = target.append(builder.bytes, builder.words, 0, length, now);
    this.stalled = status === NO_ROOM;
    if (this.stalled) return false;
    builder.reset();
    if (target.publish()) target.writer.eachReader(this.ring);
    this.settle(target.baseOffset, status === OK ? undefined : new RingmqError(codeName(status)));
    return true;
  }

  private refuse(error: RingmqError): Sent {
    const sent = Sent.refused(this.topic, error);
    this.firstError ??= error;
    this.unheard.add(sent.outcome, error);
    return sent;
  }

  private settle(baseOffset: number, error: RingmqError | undefined): void {
    const outcome = this.outcome;
    this.outcome = undefined;
    if (error) {
      this.firstError ??= error;
      // Without an outcome nobody can wait.
      this.unheard.add(outcome ?? new BatchOutcome(this.topic, this.partition, this.target.identity.topic), error);
    }
    outcome?.settle(baseOffset, error);
  }

  private readonly ring = (seat: number): void => this.participant.bells.ring(seat);
}
