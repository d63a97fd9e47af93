// A producer's way to one partition: the batch that is being filled, the closed ones in order, and what happens when
// the broker refuses one. Order is kept across retries: while one batch waits to be sent again, nothing behind it goes
// out.
import { REQUEST_WAITS } from '../../native-layout/batch.ts';
import { CODES, type CodeName, codeName, RingmqError } from '../base/codes.ts';
import type { BatchBuilder } from '../record/batch-builder.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import type { Outlet } from './outlet.ts';
import type { PendingBatch, PendingOwner } from './pending-batch.ts';
import { newProducerId } from './producer-id.ts';
import { BatchOutcome } from './sent.ts';

/** What a pipe needs to know of its producer. */
export interface PipeOwner {
  readonly topic: string;
  readonly topicId: number;
  readonly outlet: Outlet;
  /** Ack level's number. */
  readonly ack: number;
  readonly batchBytes: number;
  readonly attemptsMax: number;
  readonly timeoutMs: number;
  /** A batch was closed. settled() will follow. */
  sealed(batch: PendingBatch): void;
  /** A batch left the pipe, acknowledged or failed. */
  settled(pipe: PartitionPipe, batch: PendingBatch, baseOffset: number, error: RingmqError | undefined): void;
  /** A pipe could not send all that it has: pump() it when there is room. */
  stalled(): void;
  /** The route must be asked for again before the pipe can go on. */
  routeStale(pipe: PartitionPipe): void;
}

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 500;
const NO_ACK = 0;
/** Batches out from where on they are not counted any more: a publish window holds fewer. */
const COUNTED_MAX = 256;
const UNLIMITED = Number.POSITIVE_INFINITY;
/** Answers that are no attempt of their own: waiting for room, behind a refused batch, or for a connection. */
const WAITS: ReadonlySet<CodeName> = new Set(['busy', 'lane-full', 'out-of-order', 'connection-lost', 'disk-full']);

export class PartitionPipe implements PendingOwner {
  route: PartitionRoute;
  private readonly owner: PipeOwner;
  /** A batch that goes out now gets this offset or a later one. */
  private floor: number;
  /** Only while a batch is open: its memory is the connection's. */
  private builder: BatchBuilder | undefined;
  private outcome: BatchOutcome | undefined;
  /** Closed batches that are not answered, in order. */
  private first: PendingBatch | undefined;
  private last: PendingBatch | undefined;
  private queued = 0;
  /** 0, no deduplication, without acknowledgements: a batch that is lost then must not stop the ones behind it. */
  private producerId: number;
  private sequence = 0;
  /** Batches of the queue that are with the transport. */
  private out = 0;
  /** A batch was refused: wait for all answers, then send again what was refused, in order. */
  private recovering = false;
  private resendAt = 0;
  /** Refusals in a row, each of which may have been for many batches. */
  private refusals = 0;
  /**
   * Most batches to have out. What is behind a refused batch is refused too, so how many the ring has room for is found
   * out as TCP does it (Jacobson, 1988): one after a refusal, twice as many with each round up to half of what was out
   * before, then one more with each round.
   */
  private outMax = UNLIMITED;
  private outHalf = UNLIMITED;
  /** The broker waits for a sequence that will not come: the rest goes on under a new identity. */
  private identityLost = false;
  /** The transport has no room: pump() again when it has. */
  stalled = false;

  constructor(owner: PipeOwner, route: PartitionRoute) {
    this.owner = owner;
    this.route = route;
    this.floor = route.nextOffset;
    this.producerId = owner.ack === NO_ACK ? 0 : newProducerId();
  }

  /** A newer route. What a crash took back of an older epoch gives its offsets to others. */
  follow(route: PartitionRoute): void {
    this.floor = route.epoch === this.route.epoch ? Math.max(this.floor, route.nextOffset) : route.nextOffset;
    this.route = route;
  }

  /** The batch to add to. HOT */
  get open(): BatchBuilder {
    this.builder ??= this.owner.outlet.pool.takeBuilder(this.owner.batchBytes);
    return this.builder;
  }

  /** True if there is a message in the open batch. HOT */
  get isFilling(): boolean {
    return this.builder !== undefined && this.builder.count > 0;
  }

  /** The answer that the open batch's messages will share. HOT */
  openOutcome(): BatchOutcome {
    this.outcome ??= this.newOutcome();
    return this.outcome;
  }

  /** An answer that nobody asks for. */
  newOutcome(): BatchOutcome {
    return new BatchOutcome(this.owner.topic, this.route.number, this.owner.topicId);
  }

  /** True if nothing is open, queued or unanswered. */
  get idle(): boolean {
    return this.first === undefined && !this.isFilling;
  }

  /** Closes the open batch and sends it, or queues it. HOT */
  closeBatch(): void {
    const { builder } = this;
    if (builder === undefined || builder.count === 0) return;
    const batch = this.seal(builder);
    const mayGo = this.queued === this.out && !this.recovering && this.out < Math.floor(this.outMax);
    if (mayGo && this.trySend(batch, builder)) return;
    if (this.out >= Math.floor(this.outMax)) this.stall();
    this.stamp(batch, builder);
    this.keep(batch, builder);
    this.enqueue(batch);
  }

  /** False if a new batch would only wait for the transport; the owner was told so, as if one did. */
  tryBegin(): boolean {
    if (this.isFilling || this.owner.outlet.hasRoom(this.route.owner, this.owner.batchBytes)) return true;
    this.stall();
    return false;
  }

  /** Sends what is queued, in order, as far as there is room. */
  pump(): void {
    const { outlet } = this.owner;
    if (this.recovering) {
      if (this.out > 0 || outlet.now() < this.resendAt) return;
      this.recovering = false;
      if (this.identityLost) this.renew(undefined);
    }
    this.stalled = false;
    for (let batch = this.first, next = batch; batch !== undefined; batch = next) {
      next = batch.next;
      if (batch.out) continue;
      if (this.out >= Math.floor(this.outMax)) {
        this.stall();
        break;
      }
      batch.partition = this.route;
      batch.floor = Math.min(batch.floor, this.floor);
      if (this.owner.ack !== NO_ACK) this.expect(batch);
      batch.restamp(this.producerId);
      if (!outlet.tryPut(this.route.owner, batch.bytes as Uint8Array, batch.length)) {
        outlet.forget(batch.request);
        this.stall();
        break;
      }
      this.sentOut(batch);
    }
    outlet.push(this.route.owner);
  }

  /** Fails what was not acknowledged in time. Returns true if pump() has something to do. */
  expire(nowMs: number): boolean {
    for (let batch = this.first, next = batch; batch !== undefined; batch = next) {
      next = batch.next;
      if (nowMs - batch.closedAt < this.owner.timeoutMs) break;
      this.owner.outlet.forget(batch.request);
      const why = batch.waitsFor ?? (batch.out ? undefined : this.owner.outlet.waitsFor?.(this.route.id));
      this.fail(batch, why ?? new RingmqError('timeout', `no acknowledgement within ${this.owner.timeoutMs} ms`));
    }
    // Stalled without a batch: see tryBegin().
    const waits = this.queued > this.out || (this.stalled && this.first === undefined);
    return waits && (!this.recovering || (this.out === 0 && nowMs >= this.resendAt));
  }

  /** Fails everything with one error: the topic is gone, or the producer is closed for good. Nothing more is sent. */
  failAll(error: RingmqError): void {
    const { builder } = this;
    if (builder !== undefined && builder.count > 0) {
      const batch = this.seal(builder);
      this.keep(batch, builder);
      this.enqueue(batch);
    }
    for (let batch = this.first, next = batch; batch !== undefined; batch = next) {
      next = batch.next;
      this.owner.outlet.forget(batch.request);
      this.fail(batch, error);
    }
  }

  /** Makes what is open a batch of its own; the caller sends or keeps its bytes. */
  private seal({ count, length }: BatchBuilder): PendingBatch {
    const { outlet } = this.owner;
    const batch = outlet.pool.takePending();
    batch.pipe = this;
    batch.outcome = this.outcome;
    batch.partition = this.route;
    batch.count = count;
    batch.length = length;
    batch.closedAt = outlet.now();
    batch.baseSequence = this.sequence;
    batch.floor = this.floor;
    batch.repeats = false;
    this.sequence = (this.sequence + count) | 0;
    this.outcome = undefined;
    this.owner.sealed(batch);
    return batch;
  }

  private enqueue(batch: PendingBatch): void {
    if (this.last === undefined) this.first = batch;
    else this.last.next = batch;
    this.last = batch;
    this.queued++;
  }

  /** Takes a batch out of the queue; false if it is not in it. The oldest one is found at once. */
  private dequeue(batch: PendingBatch): boolean {
    let before: PendingBatch | undefined;
    let one = this.first;
    while (one !== undefined && one !== batch) {
      before = one;
      one = one.next;
    }
    if (one === undefined) return false;
    if (before === undefined) this.first = batch.next;
    else before.next = batch.next;
    if (this.last === batch) this.last = before;
    batch.next = undefined;
    this.queued--;
    return true;
  }

  private stall(): void {
    this.stalled = true;
    this.owner.stalled();
  }

  private trySend(batch: PendingBatch, builder: BatchBuilder): boolean {
    const { outlet } = this.owner;
    if (this.owner.ack !== NO_ACK) this.expect(batch);
    this.stamp(batch, builder);
    if (!outlet.tryPut(this.route.owner, builder.bytes, builder.length)) {
      outlet.forget(batch.request);
      this.stall();
      return false;
    }
    if (outlet.leavesMemory && this.owner.ack !== NO_ACK) {
      this.keep(batch, builder);
    } else {
      this.builder = undefined;
      outlet.pool.giveBuilder(builder);
    }
    this.enqueue(batch);
    this.sentOut(batch);
    outlet.push(this.route.owner);
    return true;
  }

  /** Keeps a closed batch in the memory that it was filled in; the next one is filled elsewhere. */
  private keep(batch: PendingBatch, builder: BatchBuilder): void {
    batch.bytes = builder.bytes.subarray(0, builder.length);
    batch.builder = builder;
    this.builder = undefined;
  }

  /** The kept memory is not needed any more: fresh memory for every batch would keep the collector busy. */
  private recycle(batch: PendingBatch): void {
    const { builder } = batch;
    batch.bytes = undefined;
    batch.builder = undefined;
    if (builder !== undefined) this.owner.outlet.pool.giveBuilder(builder);
  }

  private sentOut(batch: PendingBatch): void {
    batch.out = true;
    batch.waitsFor = undefined;
    batch.attempts++;
    this.out++;
    if (this.owner.ack === NO_ACK) this.settle(batch, -1, undefined);
    else if (!this.owner.outlet.leavesMemory) this.recycle(batch);
  }

  private stamp(batch: PendingBatch, builder: BatchBuilder): void {
    const { outlet, ack } = this.owner;
    builder.close({
      partition: this.route.id,
      epoch: this.route.epoch,
      request: batch.request,
      ack,
      requestFlags: outlet.waits ? REQUEST_WAITS : 0,
      producerId: this.producerId,
      baseSequence: batch.baseSequence,
      checksum: outlet.leavesMemory,
    });
  }

  private expect(batch: PendingBatch): void {
    batch.request = this.owner.outlet.expect(batch);
  }

  lost(batch: PendingBatch): void {
    batch.repeats = true;
    this.refused(batch, new RingmqError('connection-lost'));
  }

  answered(batch: PendingBatch, status: number, baseOffset: number): void {
    if (status === CODES.ok.number || status === CODES.duplicate.number) {
      if (baseOffset >= 0 && batch.partition?.epoch === this.route.epoch) {
        this.floor = Math.max(this.floor, baseOffset + batch.count);
      }
      this.settle(batch, baseOffset, undefined);
      if (this.outMax !== UNLIMITED) this.accepted();
    } else this.refused(batch, new RingmqError(codeName(status)));
  }

  /** The broker takes batches again after a refusal: send more of them. */
  private accepted(): void {
    if (this.recovering) return;
    this.refusals = 0;
    this.outMax += this.outMax < this.outHalf ? 1 : 1 / this.outMax;
    if (this.outMax >= COUNTED_MAX) this.outMax = UNLIMITED;
    this.pump();
  }

  private refused(batch: PendingBatch, error: RingmqError): void {
    const now = this.owner.outlet.now();
    const late = now - batch.closedAt >= this.owner.timeoutMs;
    const again = error.retryable && batch.bytes !== undefined && !late;
    if (WAITS.has(error.code)) batch.attempts--;
    if (!again || batch.attempts >= this.owner.attemptsMax) {
      this.fail(batch, error);
      return;
    }
    batch.waitsFor = error.code === 'disk-full' ? error : undefined;
    // Nothing of ours before it is under way any more: what the broker misses has failed here.
    if (error.code === 'out-of-order' && this.first === batch) this.identityLost = true;
    batch.out = false;
    this.out--;
    if (error.code === 'connection-lost') this.recovering = true;
    else if (!this.recovering) this.beginRecovery(now);
    if (error.advice === 'refresh-route') this.owner.routeStale(this);
  }

  private beginRecovery(nowMs: number): void {
    this.recovering = true;
    this.refusals++;
    this.outHalf = Math.max(1, (this.out + 1) >> 1);
    this.outMax = 1;
    const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(this.refusals, 10), BACKOFF_MAX_MS);
    this.resendAt = nowMs + backoff * (0.5 + Math.random() / 2);
  }

  private fail(batch: PendingBatch, error: RingmqError): void {
    // After a failure that the broker does not count, its next expected sequence is unknown. In process nothing is sent
    // again, so a new identity starts at once. Batches that may be sent again keep theirs until the broker says that it
    // has not taken them (see identityLost): under a new one they could be taken twice.
    if (error.code !== 'ring-full' && !this.owner.outlet.leavesMemory) this.renew(batch);
    this.settle(batch, -1, error);
    if (error.advice === 'refresh-route') this.owner.routeStale(this);
  }

  private renew(failed: PendingBatch | undefined): void {
    this.identityLost = false;
    if (this.owner.ack === NO_ACK) return;
    this.producerId = newProducerId();
    this.sequence = 0;
    for (let batch = this.first; batch !== undefined; batch = batch.next) {
      if (batch === failed || batch.out) continue;
      // It was not taken under the old one.
      batch.repeats = false;
      batch.baseSequence = this.sequence;
      this.sequence = (this.sequence + batch.count) | 0;
    }
  }

  private settle(batch: PendingBatch, baseOffset: number, error: RingmqError | undefined): void {
    if (!this.dequeue(batch)) return;
    if (batch.out) this.out--;
    this.recycle(batch);
    this.owner.settled(this, batch, baseOffset, error);
    batch.outcome?.settle(baseOffset, error);
    batch.outcome = undefined;
    // Over the network a late answer may still know it.
    if (!this.owner.outlet.leavesMemory) this.retire(batch);
  }

  private retire(batch: PendingBatch): void {
    batch.pipe = undefined;
    batch.out = false;
    batch.attempts = 0;
    batch.request = 0;
    batch.waitsFor = undefined;
    this.owner.outlet.pool.givePending(batch);
  }
}
