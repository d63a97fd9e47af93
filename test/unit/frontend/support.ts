// A partition's ring in one thread, sessions whose sockets do as they are told, and counters.
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_PARTITION,
  BATCH_SIZE,
  MAGIC_WORD,
} from '../../../native-layout/batch.ts';
import {
  NEXT_OFFSET_LOW,
  type OverflowPolicy,
  SLOT_BASE,
  SLOT_CURSOR,
} from '../../../native-layout/partition-table.ts';
import type { CodeName } from '../../../src/base/codes.ts';
import type { FeedLog } from '../../../src/frontend/catch-up.ts';
import type { Cursor } from '../../../src/frontend/cursor.ts';
import { PartitionFeed } from '../../../src/frontend/feed.ts';
import { FeedReader } from '../../../src/frontend/feed-reader.ts';
import { Session, type SessionHost } from '../../../src/frontend/session.ts';
import { Span } from '../../../src/frontend/span.ts';
import { BUFFERED, SENT, type SendOutcome, type Socket } from '../../../src/frontend/transport/transport.ts';
import { Counters } from '../../../src/memory/counters.ts';
import { FULL } from '../../../src/memory/lane.ts';
import type { RingWriter } from '../../../src/memory/ring-writer.ts';
import { BatchView } from '../../../src/record/batch-view.ts';
import { getInt64, putInt64 } from '../../../src/record/int64.ts';
import type { CommandOf, PartitionRoute } from '../../../src/wire/commands.ts';
import { controlBlock, RingRig } from '../memory/support.ts';

export const ROUTE: PartitionRoute = {
  id: 1,
  number: 0,
  owner: 2,
  epoch: 7,
  permission: 6,
  available: true,
  nextOffset: 0,
  oldestOffset: 0,
  epochs: [],
};

export function counters(): Counters {
  return new Counters(controlBlock(), 20);
}

/** A ring with a writer that gives offsets, as a broker worker does. */
export class FeedRig {
  readonly ring: RingRig;
  readonly feed: PartitionFeed;
  readonly reader: FeedReader;
  /** Offset that the next record gets. */
  next = 0;
  /** Copy of the batch that was published last. */
  newest = new Uint8Array(0);
  private readonly writer: RingWriter;

  /** `log`: of a durable topic. Its writer never waits for front ends: give it `drop-oldest`. */
  constructor(policy: OverflowPolicy, capacity = 4_096, position = 0, log?: FeedLog) {
    this.ring = new RingRig(policy, capacity, position);
    this.writer = this.ring.writer();
    const lossless = policy !== 'drop-oldest' && log === undefined;
    const slot = this.ring.open({ seat: 20, holds: lossless });
    slot.joinTail();
    this.reader = new FeedReader(slot, lossless);
    this.feed = new PartitionFeed('t', ROUTE, this.reader, new Span(), counters(), () => this.next, log);
  }

  /** Publishes one batch; false if readers hold the room. */
  publish(records: number, lengthBytes: number): boolean {
    const at = this.writer.tryClaim(lengthBytes);
    if (at === FULL) return false;
    const { words } = this.ring.place;
    words.fill(0, at >> 2, (at + lengthBytes) >> 2);
    words[(at + BATCH_SIZE) >> 2] = lengthBytes;
    words[(at + BATCH_MAGIC) >> 2] = MAGIC_WORD;
    words[(at + BATCH_PARTITION) >> 2] = ROUTE.id;
    words[(at + BATCH_EPOCH) >> 2] = ROUTE.epoch;
    words[(at + BATCH_COUNT) >> 2] = records;
    putInt64(words, (at + BATCH_BASE_OFFSET) >> 2, this.next);
    this.newest = new Uint8Array(this.ring.place.bytes.slice(at, at + lengthBytes));
    this.writer.commit(lengthBytes);
    this.next += records;
    this.writer.publish(this.next);
    return true;
  }

  /** Publishes a batch that was made elsewhere; false if readers hold the room. */
  put(batch: Uint8Array): boolean {
    const at = this.writer.tryClaim(batch.length);
    if (at === FULL) return false;
    const { bytes, words } = this.ring.place;
    bytes.set(batch, at);
    putInt64(words, (at + BATCH_BASE_OFFSET) >> 2, this.next);
    this.writer.commit(batch.length);
    this.next += words[(at + BATCH_COUNT) >> 2];
    this.writer.publish(this.next);
    return true;
  }

  /** Position of the slot that holds the writer back. */
  get slot(): number {
    return this.ring.table[this.ring.word(SLOT_BASE + SLOT_CURSOR)] & ~7;
  }

  /** What the partition table says about the next offset. */
  get shownOffset(): number {
    return getInt64(this.ring.table, this.ring.word(NEXT_OFFSET_LOW));
  }
}

/** A socket that takes so many frames before it is congested, and keeps them. */
export class FakeSocket implements Socket {
  readonly protocol = 'ringmq.bin.v1';
  readonly remoteAddress = '';
  session: unknown;
  /** Frames that are taken before BUFFERED. */
  takes = Number.POSITIVE_INFINITY;
  buffered = 0;
  readonly frames: (Uint8Array | string)[] = [];
  closedWith: number | undefined;

  send(frame: Uint8Array | string): SendOutcome {
    this.frames.push(typeof frame === 'string' ? frame : frame.slice());
    if (--this.takes > 0) return SENT;
    this.buffered = frame.length;
    return BUFFERED;
  }
  bufferedBytes(): number {
    return this.buffered;
  }
  cork(sends: () => void): void {
    sends();
  }
  close(code: number): void {
    this.closedWith = code;
  }
  terminate(): void {}
}

/** A session that notes the offsets that it got and missed. */
export class FakeSession extends Session {
  readonly fake: FakeSocket;
  readonly offsets: number[] = [];
  readonly gaps: CommandOf<'gap'>[] = [];
  readonly refusals: CodeName[] = [];
  readonly frameLengths: number[] = [];
  /** Cursors that may go on. */
  readonly runnable: Set<Cursor>;
  private readonly view = new BatchView();

  constructor(runnable = new Set<Cursor>()) {
    const socket = new FakeSocket();
    const host: SessionHost = {
      counters: counters(),
      acksDue: () => {},
      congested: () => {},
      runnable: (cursor) => void runnable.add(cursor),
    };
    super(host, socket, 's');
    this.fake = socket;
    this.runnable = runnable;
  }

  message(): void {}
  answered(): void {}
  sendAcks(): void {}
  saySubscribed(): void {}
  sayRouteChanged(): void {}
  refuse(_correlation: number, code: CodeName): void {
    this.refusals.push(code);
  }

  deliver(span: Span, cursor: Cursor): boolean {
    const bytes = span.bytes();
    this.frameLengths.push(bytes.length);
    const copy = bytes.slice();
    this.view.span(copy, new Int32Array(copy.buffer), 0, copy.length);
    while (this.view.next()) {
      for (let i = 0; i < this.view.count; i++) {
        const offset = this.view.baseOffset + i;
        if (offset >= cursor.start) this.offsets.push(offset);
      }
    }
    return this.sendDelivery(bytes);
  }

  sayGap(gap: CommandOf<'gap'>): void {
    this.gaps.push(gap);
  }

  /** The socket takes `frames` more before it is congested. */
  drain(frames: number): void {
    this.fake.takes = frames;
    this.fake.buffered = 0;
    this.drained();
  }

  /** Offsets that it got or was told to have missed, in order. */
  get accounted(): number[] {
    const missed = this.gaps.flatMap((gap) => range(gap.fromOffset, gap.toOffset));
    return [...this.offsets, ...missed].sort((a, b) => a - b);
  }
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

export const HEADER = BATCH_HEADER_BYTES;
