// A durable partition in one thread: a real ring with its writer, and beside it a log that answers late, in pieces of
// any size, or not at all. What left the ring is in the log, unless retention or damage took it.
import { OVERFLOW_CODES } from '../../../native-layout/partition-table.ts';
import { CODES } from '../../../src/base/codes.ts';
import type { HistoryReads } from '../../../src/client/history-source.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { activatePartition, publishPlace, readIdentity } from '../../../src/memory/partition-entry.ts';
import { attachRegions, createRegions } from '../../../src/memory/regions.ts';
import { RingReader } from '../../../src/memory/ring-reader.ts';
import { Partition } from '../../../src/partition/partition.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import type { Answered, HistoryAnswer } from '../../../src/thread/history.ts';
import type { PartitionRoute } from '../../../src/wire/commands.ts';
import { batchOf, WORKER } from '../../support/engine-table.ts';

export const ID = 3;
export const TOPIC = 7;
export const NUMBER = 2;
const RING_BYTES = 4 * 1024;

interface Logged {
  readonly base: number;
  readonly count: number;
  readonly storedAt: number;
  readonly bytes: Uint8Array;
  damaged: boolean;
}

interface Asked {
  readonly request: number;
  readonly kind: 'read' | 'locate';
  readonly from: number;
  readonly maxBytes: number;
  readonly answered: Answered;
}

export class DurableRig implements HistoryReads {
  readonly regions = attachRegions(
    createRegions('test', {
      workerCount: 1,
      frontendCount: 0,
      partitionMax: 16,
      laneBytes: 64 * 1024,
      replyBytes: 1_024,
      controlLaneBytes: 64 * 1024,
    }),
  );
  readonly log: Logged[] = [];
  /** Batches at the end of the log that are on their way to the disk. */
  lag = 0;
  /** The lane to the log reader is full. */
  full = false;
  /** The log reader has too much to do. */
  busy = false;
  /** It cannot give what it has. */
  refusing = false;
  oldest = 0;
  asked: Asked[] = [];
  private readonly partition: Partition;
  private readonly bells = new Bells(this.regions.control);
  private readonly place;
  private requests = 0;
  private readonly seen: RingReader;

  constructor() {
    const { table } = this.regions;
    const identity = { topic: TOPIC, number: NUMBER, owner: WORKER, epoch: 1, permission: 6, ringBytes: RING_BYTES };
    activatePartition(table, ID, { ...identity, overflow: OVERFLOW_CODES.block, durable: true });
    const buffer = new SharedArrayBuffer(RING_BYTES);
    this.place = { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), byte: 0, capacity: RING_BYTES };
    publishPlace(table, ID, 0, 0, RING_BYTES);
    const known = readIdentity(table, ID);
    if (!known) throw new Error('the partition is not alive');
    this.partition = new Partition(table, ID, known, this.place);
    this.seen = this.reader();
    this.seen.joinTail();
  }

  get route(): PartitionRoute {
    const offsets = { nextOffset: this.next, oldestOffset: this.oldest, epochs: [{ epoch: 1, offset: 0 }] };
    return { id: ID, number: NUMBER, owner: WORKER, epoch: 1, permission: 6, available: true, ...offsets };
  }

  get next(): number {
    return this.partition.nextOffset;
  }

  reader(): RingReader {
    const reader = RingReader.tryOpen(this.regions.table, ID, this.place, this.bells, { seat: 20 });
    if (!reader) throw new Error('no slot');
    return reader;
  }

  /** Appends a batch of `count` messages, each with its offset as its text, to the ring and to the log. */
  publish(count: number, nowMs = 1_700_000_000_000): void {
    const base = this.next;
    const batch = batchOf(
      ID,
      Array.from({ length: count }, (_, i) => `${base + i}`),
    );
    const status = this.partition.append(batch.bytes, batch.words, 0, batch.length, nowMs);
    if (status !== CODES.ok.number) throw new Error(`append: ${status}`);
    this.partition.publish();
    const length = this.seen.tryPin();
    const view = new BatchView().span(this.seen.place.bytes, this.seen.place.words, this.seen.start, length);
    if (length <= 0 || !view.next() || view.baseOffset !== base) throw new Error('the batch is not in the ring');
    const bytes = view.bytes.slice(view.at, view.end);
    this.log.push({ base, count, storedAt: nowMs, bytes: new Uint8Array(bytes), damaged: false });
    this.seen.advance(length);
  }

  /** Retention: everything before the batch that has this offset goes. */
  expire(offset: number): void {
    this.oldest = Math.max(this.oldest, this.log.findLast((one) => one.base <= offset)?.base ?? 0);
  }

  read(_topic: number, _partition: number, from: number, maxBytes: number, answered: Answered): number {
    return this.put({ kind: 'read', from, maxBytes, answered });
  }

  locate(_topic: number, _partition: number, from: number, answered: Answered): number {
    return this.put({ kind: 'locate', from, maxBytes: 0, answered });
  }

  forget(request: number): void {
    this.asked = this.asked.filter((one) => one.request !== request);
  }

  /** Answers the oldest question, with at most so many batches. */
  answer(most = 1): boolean {
    const one = this.asked.shift();
    if (!one) return false;
    one.answered(one.kind === 'read' ? this.readAnswer(one, most) : this.locateAnswer(one.from));
    return true;
  }

  private put(asked: Omit<Asked, 'request'>): number {
    if (this.full) return 0;
    this.requests++;
    this.asked.push({ ...asked, request: this.requests });
    return this.requests;
  }

  private readAnswer({ from, maxBytes }: Asked, most: number): HistoryAnswer {
    if (this.refusing) return this.say('frame-too-large', 0, 0);
    if (this.busy) return this.say('log-busy', from, from);
    const whole = this.log.slice(0, this.log.length - this.lag);
    if (from < this.oldest) return this.say('offset-out-of-range', from, from);
    const first = whole.findIndex((one) => one.base + one.count > from);
    if (first < 0) return this.say('ok', from, from);
    const good = whole.findIndex((one, i) => i >= first && !one.damaged);
    if (good !== first) return this.say('log-damaged', from, good < 0 ? this.next : whole[good].base);
    const taken: Logged[] = [];
    let size = 0;
    for (const one of whole.slice(first, first + most)) {
      if (one.damaged || (taken.length > 0 && size + one.bytes.length > maxBytes)) break;
      size += one.bytes.length;
      taken.push(one);
    }
    const last = taken[taken.length - 1];
    return this.say('ok', taken[0].base, last.base + last.count, Buffer.concat(taken.map((one) => one.bytes)));
  }

  private locateAnswer(timeMs: number): HistoryAnswer {
    const found = this.log.find((one) => one.storedAt >= timeMs && one.base >= this.oldest);
    return this.say('ok', found?.base ?? this.next, this.next);
  }

  /** The bytes lie in memory that is overwritten right after the call, as a lane is. */
  private say(
    code: 'ok' | 'log-busy' | 'frame-too-large' | 'offset-out-of-range' | 'log-damaged',
    baseOffset: number,
    nextOffset: number,
    batches: Uint8Array = new Uint8Array(0),
  ): HistoryAnswer {
    const at = 48;
    const bytes = new Uint8Array(at + batches.length);
    bytes.set(batches, at);
    queueMicrotask(() => bytes.fill(0xff));
    const words = new Int32Array(bytes.buffer);
    const status = CODES[code].number;
    return { status, baseOffset, nextOffset, oldestOffset: this.oldest, bytes, words, at, length: batches.length };
  }
}
