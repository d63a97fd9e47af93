// The way of every published batch from this thread into a lane: request numbers, lanes, and what waits while one is
// full. Answers come back through completed().
//
// I1  Nothing of a publisher overtakes what waits of it: order per publisher is kept.
// I2  While somebody waits for a lane, nobody else puts into it: those who wait go first, in turn.
// I3  What waits is bounded, for each publisher and for all together.
import {
  BATCH_COUNT,
  BATCH_PARTITION,
  BATCH_SIZE,
  REQUEST_ACK,
  REQUEST_FLAGS,
  REQUEST_ID,
  REQUEST_INSISTS,
  REQUEST_LAZY,
  REQUEST_WAITS,
} from '../../native-layout/batch.ts';
import { SEATS_MAX } from '../../native-layout/control.ts';
import { CODES } from '../base/codes.ts';
import { ACK_LEVELS } from '../base/units.ts';
import { COUNTER, type Counters } from '../memory/counters.ts';
import { NONE } from '../memory/lane.ts';
import { isRepeat } from '../record/repeat.ts';
import { HELD_MAX_BYTES, PUBLISH_WINDOW_BYTES } from './config.ts';
import type { HeldBatch, HeldBatches } from './held-batches.ts';
import type { RequestTable, RequestTarget } from './request-table.ts';

/** The lanes, as a Participant has them. */
export interface Lanes {
  tryPut(owner: number, bytes: Uint8Array, lengthBytes: number): boolean;
  push(owner: number): void;
}

/** Somebody who publishes. */
export interface Publisher extends RequestTarget {
  readonly held: HeldBatches;
}

/** Bytes of one publisher's waiting batches put out before the next one has its turn. */
const RETRY_TURN_BYTES = 64 * 1024;
const NO_ACK = ACK_LEVELS.none;
/** A batch that fills most of this waits in memory that is used again: fresh memory would keep the collector busy. */
const SPARE_BYTES = 64 * 1024;
const SPARES_MAX = 64;
/** Bytes put into lanes that workers are shown at once; less waits for the end of the thread's turn. */
const PUSH_BYTES = 512 * 1024;

export class PublishDesk {
  readonly requests: RequestTable;
  private readonly lanes: Lanes;
  private readonly counters: Counters;
  private readonly waiting = new Set<Publisher>();
  private waitingBytes = 0;
  /** For each seat: how many publishers wait for its lane with their oldest batch. */
  private readonly waitingFor = new Int32Array(SEATS_MAX);
  /** Owners whose lanes have something that they have not been shown. */
  private readonly unpushed: number[] = [];
  private unpushedBytes = 0;
  private readonly spares: HeldBatch[] = [];

  constructor(lanes: Lanes, requests: RequestTable, counters: Counters) {
    this.lanes = lanes;
    this.requests = requests;
    this.counters = counters;
  }

  /** True while batches wait for room in a lane. */
  get holds(): boolean {
    return this.waiting.size > 0;
  }

  /**
   * Sends the batch at byte `at` of plain, 8-byte aligned memory to the broker worker `owner`, which it must fit
   * (laneOf().frameMax). The request words are written over. Call push() afterwards. HOT
   */
  submit(publisher: Publisher, owner: number, bytes: Uint8Array, words: Int32Array, at: number): void {
    const size = words[(at + BATCH_SIZE) >> 2];
    const request = words[(at + REQUEST_ID) >> 2];
    if (isRepeat(words, at)) words[(at + REQUEST_FLAGS) >> 2] &= ~(REQUEST_WAITS | REQUEST_INSISTS | REQUEST_LAZY);
    else {
      words[(at + REQUEST_FLAGS) >> 2] = 0;
      words[(at + REQUEST_FLAGS + 4) >> 2] = 0;
    }
    const first = publisher.held.count === 0 && this.waitingFor[owner] === 0;
    if (first && this.tryPut(publisher, owner, request, bytes, words, at, size)) return;
    this.hold(publisher, owner, request, bytes, words, at, size);
  }

  /** Shows the workers what submit() put. */
  push(): void {
    for (let i = 0; i < this.unpushed.length; i++) this.lanes.push(this.unpushed[i]);
    this.unpushed.length = 0;
    this.unpushedBytes = 0;
  }

  /**
   * The same once there is much to show. Frames come several at a time, and a worker that is rung for each of them goes
   * to sleep in between, at 14-20 us a ring. Call push() at the end of the turn. HOT
   */
  pushMuch(): void {
    if (this.unpushedBytes >= PUSH_BYTES) this.push();
  }

  /** Puts out what waits, as far as there is room. Returns the bytes. */
  retry(): number {
    if (this.waiting.size === 0) return 0;
    let put = 0;
    for (let progress = true; progress; ) {
      progress = false;
      for (const publisher of this.waiting) {
        const bytes = this.retryOne(publisher);
        put += bytes;
        if (bytes > 0) progress = true;
      }
    }
    this.push();
    return put;
  }

  /** A broker worker answered. HOT */
  completed(number: number, status: number, partition: number, baseOffset: number, count: number): void {
    this.requests.answer(number, status, partition, count, baseOffset);
  }

  private retryOne(publisher: Publisher): number {
    const { held } = publisher;
    this.waitingFor[held.first.owner]--;
    let put = 0;
    while (held.count > 0 && put < RETRY_TURN_BYTES) {
      const batch = held.first;
      const { lengthBytes } = batch;
      if (!this.tryPut(publisher, batch.owner, batch.request, batch.bytes, batch.words, 0, lengthBytes)) break;
      put += lengthBytes;
      held.shift();
      if (batch.bytes.length === SPARE_BYTES && this.spares.length < SPARES_MAX) this.spares.push(batch);
    }
    this.waitingBytes -= put;
    if (held.count === 0) this.waiting.delete(publisher);
    else this.waitingFor[held.first.owner]++;
    return put;
  }

  private tryPut(
    publisher: Publisher,
    owner: number,
    request: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
    size: number,
  ): boolean {
    const answers = words[(at + REQUEST_ACK) >> 2] !== NO_ACK;
    const number = answers ? this.requests.tryOpen(publisher, request) : 0;
    if (number === NONE) return false;
    words[(at + REQUEST_ID) >> 2] = number;
    if (!this.lanes.tryPut(owner, bytes.subarray(at, at + size), size)) {
      if (answers) this.requests.close(number);
      return false;
    }
    if (!this.unpushed.includes(owner)) this.unpushed.push(owner);
    this.unpushedBytes += size;
    return true;
  }

  private hold(
    publisher: Publisher,
    owner: number,
    request: number,
    bytes: Uint8Array,
    words: Int32Array,
    at: number,
    size: number,
  ): void {
    const { held } = publisher;
    const tooMuch = held.bytes + size > PUBLISH_WINDOW_BYTES;
    if (tooMuch || this.waitingBytes + size > HELD_MAX_BYTES) {
      this.counters.add(COUNTER.rejected, 1);
      if (words[(at + REQUEST_ACK) >> 2] === NO_ACK) return;
      const status = CODES[tooMuch ? 'window-exceeded' : 'lane-full'].number;
      const partition = words[(at + BATCH_PARTITION) >> 2];
      publisher.answered(request, status, partition, words[(at + BATCH_COUNT) >> 2], -1);
      return;
    }
    if (held.count === 0) {
      this.waiting.add(publisher);
      this.waitingFor[owner]++;
    }
    const batch = this.memoryFor(size);
    batch.bytes.set(bytes.subarray(at, at + size));
    batch.lengthBytes = size;
    batch.owner = owner;
    batch.request = request;
    held.put(batch);
    this.waitingBytes += size;
  }

  private memoryFor(size: number): HeldBatch {
    const isUsual = size <= SPARE_BYTES && size * 2 > SPARE_BYTES;
    const spare = isUsual ? this.spares.pop() : undefined;
    if (spare) return spare;
    const bytes = new Uint8Array(isUsual ? SPARE_BYTES : size);
    return { bytes, words: new Int32Array(bytes.buffer), lengthBytes: 0, owner: 0, request: 0 };
  }
}
