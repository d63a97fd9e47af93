// A producer's way to one partition: the batch that is being filled, the closed ones in order, and what happens when the
// broker refuses one. Order is kept across retries: while one batch waits to be sent again, nothing behind it goes out.
import { REQUEST_WAITS } from '../../native-layout/batch.ts';
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import type { Outlet } from './outlet.ts';
import { PendingBatch } from './pending-batch.ts';
import { BatchOutcome } from './sent.ts';

/** What a pipe needs to know of its producer. */
export interface PipeOwner {
  readonly topic: string;
  readonly outlet: Outlet;
  /** Ack level's number. */
  readonly ack: number;
  readonly batchBytes: number;
  readonly attemptsMax: number;
  readonly timeoutMs: number;
  /** A batch left the pipe, acknowledged or failed. */
  settled(pipe: PartitionPipe, batch: PendingBatch, error: RingmqError | undefined): void;
  /** The route must be asked for again before the pipe can go on. */
  routeStale(pipe: PartitionPipe): void;
}

const BACKOFF_FIRST_MS = 5;
const BACKOFF_MAX_MS = 500;
const NO_ACK = 0;

export class PartitionPipe {
  route: PartitionRoute;
  private readonly owner: PipeOwner;
  private builder: BatchBuilder;
  private outcome: BatchOutcome | undefined;
  private readonly queue: PendingBatch[] = [];
  private producerId = newProducerId();
  private sequence = 0;
  /** Batches of the queue that are with the transport. */
  private out = 0;
  /** A batch was refused: wait for all answers, then send again what was refused, in order. */
  private recovering = false;
  private resendAt = 0;
  /** The transport has no room: pump() again when it has. */
  stalled = false;

  constructor(owner: PipeOwner, route: PartitionRoute) {
    this.owner = owner;
    this.route = route;
    this.builder = new BatchBuilder(owner.batchBytes);
  }

  /** The batch to add to; full() tells when tryAdd calls fail. HOT */
  get open(): BatchBuilder {
    return this.builder;
  }

  /** The answer that the open batch's messages will share. HOT */
  openOutcome(): BatchOutcome {
    if (this.outcome === undefined) this.outcome = new BatchOutcome(this.owner.topic, this.route.number);
    return this.outcome;
  }

  /** True if nothing is open, queued or unanswered. */
  get idle(): boolean {
    return this.queue.length === 0 && this.builder.count === 0;
  }

  /** Closes the open batch and sends it, or queues it. Returns its bytes (0 if there was nothing to close). */
  closeBatch(): number {
    const builder = this.builder;
    if (builder.count === 0) return 0;
    const { outlet } = this.owner;
    const batch = new PendingBatch(
      this.openOutcome(),
      this.route,
      builder.count,
      builder.length,
      this.sequence,
      outlet.now(),
    );
    this.sequence = (this.sequence + builder.count) | 0;
    this.outcome = undefined;
    if (this.queue.length === this.out && !this.recovering && this.trySend(batch, builder)) {
      builder.reset();
    } else {
      this.stamp(batch, builder);
      batch.bytes = builder.bytes.subarray(0, builder.length);
      this.builder = new BatchBuilder(this.owner.batchBytes);
      this.queue.push(batch);
    }
    return batch.length;
  }

  /** Sends what is queued, in order, as far as there is room. */
  pump(): void {
    const { outlet } = this.owner;
    if (this.recovering) {
      if (this.out > 0 || outlet.now() < this.resendAt) return;
      this.recovering = false;
    }
    this.stalled = false;
    for (let i = 0; i < this.queue.length; i++) {
      const batch = this.queue[i];
      if (batch.out) continue;
      batch.partition = this.route;
      this.expect(batch);
      batch.restamp(this.producerId);
      if (!outlet.tryPut(this.route.owner, batch.bytes as Uint8Array, batch.length)) {
        outlet.forget(batch.request);
        this.stalled = true;
        break;
      }
      this.sentOut(batch);
      if (this.owner.ack === NO_ACK) i--;
    }
    outlet.push(this.route.owner);
  }

  /** Fails what was not acknowledged in time. Returns true if pump() has something to do. */
  expire(nowMs: number): boolean {
    for (const batch of [...this.queue]) {
      if (nowMs - batch.closedAt < this.owner.timeoutMs) break;
      this.owner.outlet.forget(batch.request);
      this.fail(batch, new RingmqError('timeout', `no acknowledgement within ${this.owner.timeoutMs} ms`));
    }
    return this.queue.length > this.out && (!this.recovering || (this.out === 0 && nowMs >= this.resendAt));
  }

  /** Fails everything with one error: the topic is gone, or the producer is closed for good. */
  failAll(error: RingmqError): void {
    this.closeBatch();
    for (const batch of [...this.queue]) {
      this.owner.outlet.forget(batch.request);
      this.fail(batch, error);
    }
  }

  private trySend(batch: PendingBatch, builder: BatchBuilder): boolean {
    const { outlet } = this.owner;
    if (this.owner.ack !== NO_ACK) this.expect(batch);
    this.stamp(batch, builder);
    if (!outlet.tryPut(this.route.owner, builder.bytes, builder.length)) {
      outlet.forget(batch.request);
      this.stalled = true;
      return false;
    }
    if (outlet.leavesMemory && this.owner.ack !== NO_ACK) batch.bytes = builder.bytes.slice(0, builder.length);
    this.queue.push(batch);
    this.sentOut(batch);
    outlet.push(this.route.owner);
    return true;
  }

  private sentOut(batch: PendingBatch): void {
    batch.out = true;
    batch.attempts++;
    this.out++;
    if (this.owner.ack === NO_ACK) this.settle(batch, -1, undefined);
    else if (!this.owner.outlet.leavesMemory) batch.bytes = undefined;
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
    batch.request = this.owner.outlet.expect({
      answered: (status, baseOffset) => this.answered(batch, status, baseOffset),
      lost: () => this.refused(batch, new RingmqError('connection-lost')),
    });
  }

  private answered(batch: PendingBatch, status: number, baseOffset: number): void {
    if (status === CODES.ok.number || status === CODES.duplicate.number) this.settle(batch, baseOffset, undefined);
    else this.refused(batch, new RingmqError(codeName(status)));
  }

  private refused(batch: PendingBatch, error: RingmqError): void {
    const now = this.owner.outlet.now();
    const late = now - batch.closedAt >= this.owner.timeoutMs;
    const again = error.retryable && batch.bytes !== undefined && !late;
    // Waiting behind a refused batch, or for a connection, is no attempt of its own.
    if (error.code === 'out-of-order' || error.code === 'connection-lost') batch.attempts--;
    if (!again || batch.attempts >= this.owner.attemptsMax) {
      this.fail(batch, error);
      return;
    }
    batch.out = false;
    this.out--;
    this.recovering = true;
    const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** batch.attempts, BACKOFF_MAX_MS);
    this.resendAt = now + backoff * (0.5 + Math.random() / 2);
    if (error.advice === 'refresh-route') this.owner.routeStale(this);
  }

  private fail(batch: PendingBatch, error: RingmqError): void {
    // After a failure that the broker does not count, its next expected sequence is unknown: start a new identity.
    if (error.code !== 'ring-full') this.renew(batch);
    this.settle(batch, -1, error);
    if (error.advice === 'refresh-route') this.owner.routeStale(this);
  }

  private renew(failed: PendingBatch): void {
    this.producerId = newProducerId();
    this.sequence = 0;
    for (const batch of this.queue) {
      if (batch === failed || batch.out) continue;
      batch.baseSequence = this.sequence;
      this.sequence = (this.sequence + batch.count) | 0;
    }
  }

  private settle(batch: PendingBatch, baseOffset: number, error: RingmqError | undefined): void {
    const at = this.queue[0] === batch ? 0 : this.queue.indexOf(batch);
    if (at < 0) return;
    if (at === 0) this.queue.shift();
    else this.queue.splice(at, 1);
    if (batch.out) this.out--;
    batch.bytes = undefined;
    this.owner.settled(this, batch, error);
    batch.outcome.settle(baseOffset, error);
  }
}

/** 53 random bits, never 0: 0 asks for no deduplication. */
function newProducerId(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0xfffff) * 4_294_967_296 + low || 1;
}
