// One partition on its way to its subscribers. Everybody who keeps up gets the same frames, cut once from the ring; who
// does not keep up is left alone until its socket drains, and then catches up from the ring by itself.
//
// I1  A live cursor has got everything before this.wide and nothing behind it.
// I2  A cursor that is behind has got everything before its own `wide` (within that batch, before its `start`). It
//     turns live when its `wide` is this.wide: nothing is lost, repeated or reordered on the way.
// I3  Lossless topics: the reader's slot stands at the slowest cursor, at the end of every call: not behind it, or
//     bytes would be lost, and not before it, or the writer would wait for nobody.
import { COUNTER, type Counters } from '../memory/counters.ts';
import { EMPTY } from '../memory/ring-reader.ts';
import type { CommandOf, PartitionRoute } from '../wire/commands.ts';
import { DELIVERY_MAX_BYTES, DELIVERY_MIN_BYTES, FEED_TURN_BYTES } from './config.ts';
import { Cursor } from './cursor.ts';
import { type FeedReader, GONE } from './feed-reader.ts';
import type { Session } from './session.ts';
import type { Span } from './span.ts';

/** Wants the next batches of a feed, once: a pull that waits. */
export interface FeedWaiter {
  /** False: not what it waits for; it stays. */
  tryTake(span: Span): boolean;
}

/** catchUp(): the cursor may go on in the next turn. */
export const MORE = 1;
/** catchUp(): it is live now. */
export const LIVE = 2;
/** catchUp(): its session takes nothing more for now. */
export const BLOCKED = 3;

export class PartitionFeed {
  readonly topic: string;
  readonly route: PartitionRoute;
  readonly reader: FeedReader;
  /** Live cursors have got everything before this position; the record there has this offset. */
  wide: number;
  nextOffset: number;
  /** deliver() stopped although there is more. */
  hasMore = false;
  /** Bytes sent by the last call of catchUp(). */
  sentBytes = 0;
  /** Somebody has fallen behind in this call of deliver(). */
  private fell = false;
  private readonly live: Cursor[] = [];
  private readonly behind = new Set<Cursor>();
  private readonly waiters = new Set<FeedWaiter>();
  private readonly span: Span;
  private readonly counters: Counters;
  private readonly tailOffset: () => number;

  /** `tailOffset`: the offset that the partition's next record will get. */
  constructor(
    topic: string,
    route: PartitionRoute,
    reader: FeedReader,
    span: Span,
    counters: Counters,
    tailOffset: () => number,
  ) {
    this.topic = topic;
    this.route = route;
    this.reader = reader;
    this.span = span;
    this.counters = counters;
    this.tailOffset = tailOffset;
    this.wide = reader.position;
    this.nextOffset = tailOffset();
  }

  get unused(): boolean {
    return this.live.length === 0 && this.behind.size === 0 && this.waiters.size === 0;
  }

  /** Cursors that are behind. */
  get lagging(): ReadonlySet<Cursor> {
    return this.behind;
  }

  /** Adds a subscriber that starts at `wide`. True if it is behind: catchUp() serves it. */
  add(session: Session, wide: number, nextOffset: number, start: number): Cursor {
    const cursor = new Cursor(session, this, wide, nextOffset, start);
    if (wide < this.wide) this.behind.add(cursor);
    else this.turnLive(cursor);
    return cursor;
  }

  remove(cursor: Cursor): void {
    if (!this.behind.delete(cursor)) {
      const at = this.live.indexOf(cursor);
      if (at >= 0) this.dropLive(at);
    }
  }

  wait(waiter: FeedWaiter): void {
    this.waiters.add(waiter);
  }

  stopWaiting(waiter: FeedWaiter): void {
    this.waiters.delete(waiter);
  }

  /** Copies whole batches from `wide` on up to the tail: at most `maxBytes`, at least one if there is one. */
  read(wide: number, maxBytes: number): { readonly bytes: Uint8Array; readonly nextOffset: number } {
    const { reader, span } = this;
    const parts: Uint8Array[] = [];
    let nextOffset = 0;
    let length = 0;
    for (let at = wide; length < maxBytes; ) {
      const available = reader.open(at);
      if (available === EMPTY || available === GONE) break;
      span.of(reader.place, this.topic, this.route.number).cut(reader.start, available, maxBytes - length);
      const fits = length === 0 || length + span.length <= maxBytes;
      if (fits) {
        parts.push(span.bytes().slice());
        length += span.length;
        nextOffset = span.nextOffset;
        at = reader.wide + span.advance;
      }
      reader.done(fits ? span.advance : 0);
      if (!fits) break;
    }
    return { bytes: joined(parts, length), nextOffset };
  }

  /** Sends what is new to everybody who keeps up, up to a bounded number of bytes. Returns those. HOT */
  deliver(): number {
    let sent = 0;
    this.hasMore = false;
    while (sent < FEED_TURN_BYTES) {
      if (this.live.length === 0 && this.waiters.size === 0) {
        this.jumpToTail();
        break;
      }
      const available = this.reader.open(this.wide);
      if (available === GONE) {
        this.evicted();
        continue;
      }
      this.wide = this.reader.wide;
      if (available === EMPTY) break;
      sent += this.sendAll(available, FEED_TURN_BYTES - sent);
    }
    this.hasMore = sent >= FEED_TURN_BYTES;
    // Who was behind before holds the slot still; catchUp() moves it.
    if (this.behind.size === 0 || this.fell) this.keep();
    this.fell = false;
    return sent;
  }

  /** Sends a lagging cursor what it has missed, up to `budgetBytes`. */
  catchUp(cursor: Cursor, budgetBytes: number): typeof MORE | typeof LIVE | typeof BLOCKED {
    this.sentBytes = 0;
    const isSlowest = cursor.wide <= this.reader.kept;
    let outcome: typeof MORE | typeof LIVE | typeof BLOCKED = MORE;
    while (outcome === MORE && this.sentBytes < budgetBytes) outcome = this.catchUpOnce(cursor);
    if (isSlowest) this.keep();
    return outcome;
  }

  /** I3: lets go of what nobody needs any more. */
  keep(): void {
    if (!this.reader.lossless) return;
    let slowest = this.wide;
    for (const cursor of this.behind) if (cursor.wide < slowest) slowest = cursor.wide;
    this.reader.keep(slowest);
  }

  close(): void {
    this.reader.close();
  }

  /** Frames out of what the reader has opened at this.wide. HOT */
  private sendAll(available: number, budgetBytes: number): number {
    const { reader, span, live, counters } = this;
    const perFrame = Math.floor(FEED_TURN_BYTES / (live.length + 1));
    const limit = Math.min(DELIVERY_MAX_BYTES, Math.max(DELIVERY_MIN_BYTES, perFrame));
    span.of(reader.place, this.topic, this.route.number);
    let used = 0;
    let sent = 0;
    while (used < available && sent < budgetBytes) {
      span.cut(reader.start + used, available - used, limit);
      const takers = this.sendLive(span);
      for (const waiter of this.waiters) if (waiter.tryTake(span)) this.waiters.delete(waiter);
      used += span.advance;
      this.wide += span.advance;
      this.nextOffset = span.nextOffset;
      sent += span.length * (takers + 1);
      counters.add(COUNTER.framesOut, takers);
      counters.add(COUNTER.batchesOut, span.batches * takers);
      counters.add(COUNTER.messagesOut, span.messages * takers);
      counters.add(COUNTER.bytesOut, span.length * takers);
    }
    reader.done(used);
    return sent;
  }

  /** Sends one frame. Returns to how many. HOT */
  private sendLive(span: Span): number {
    const { live } = this;
    let takers = 0;
    for (let i = live.length - 1; i >= 0; i--) {
      const cursor = live[i];
      const { session } = cursor;
      if (session.roomFor(span.length) && session.deliver(span, cursor)) takers++;
      else this.fallBehind(i, span.firstOffset);
    }
    return takers;
  }

  private fallBehind(index: number, nextOffset: number): void {
    const cursor = this.live[index];
    this.dropLive(index);
    cursor.live = false;
    cursor.wide = this.wide;
    cursor.nextOffset = nextOffset;
    this.fell = true;
    this.behind.add(cursor);
    this.counters.add(COUNTER.catchUps, 1);
    cursor.session.fellBehind(cursor);
  }

  private turnLive(cursor: Cursor): void {
    // A cursor has counted batch by batch, which this feed need not have done.
    if (this.live.length === 0 && cursor.wide === this.wide) this.nextOffset = cursor.nextOffset;
    cursor.live = true;
    this.behind.delete(cursor);
    this.live.push(cursor);
  }

  private dropLive(index: number): void {
    const last = this.live.pop() as Cursor;
    if (index < this.live.length) this.live[index] = last;
  }

  private catchUpOnce(cursor: Cursor): typeof MORE | typeof LIVE | typeof BLOCKED {
    const { reader, span } = this;
    const { session } = cursor;
    if (cursor.wide >= this.wide) {
      this.turnLive(cursor);
      return LIVE;
    }
    const room = session.room;
    if (room <= 0) return BLOCKED;
    const tooOld = this.wide - cursor.wide > reader.place.capacity;
    const available = tooOld ? GONE : reader.open(cursor.wide);
    if (available === GONE) {
      this.missed(cursor);
      return MORE;
    }
    cursor.wide = reader.wide;
    if (available === EMPTY) return MORE;
    const wanted = Math.min(available, this.wide - cursor.wide);
    if (wanted <= 0) {
      reader.done(0);
      return MORE;
    }
    span.of(reader.place, this.topic, this.route.number).cut(reader.start, wanted, Math.min(DELIVERY_MAX_BYTES, room));
    const taken = session.roomForLeast(span.length) && session.deliver(span, cursor);
    reader.done(taken ? span.advance : 0);
    if (!taken) return BLOCKED;
    this.caughtUp(cursor, span);
    return MORE;
  }

  private caughtUp(cursor: Cursor, span: Span): void {
    const { counters } = this;
    cursor.wide += span.advance;
    cursor.nextOffset = span.nextOffset;
    this.sentBytes += span.length;
    counters.add(COUNTER.framesOut, 1);
    counters.add(COUNTER.batchesOut, span.batches);
    counters.add(COUNTER.messagesOut, span.messages);
    counters.add(COUNTER.bytesOut, span.length);
  }

  /** Nobody keeps up, or nobody is there: no need to look at every batch. */
  private jumpToTail(): void {
    const lag = this.reader.lag(this.wide);
    if (lag === 0) return;
    this.wide += lag > 0 ? lag : lag + 2 ** 32;
    this.nextOffset = this.tailOffset();
  }

  /** The writer has passed this thread: everybody who kept up has missed the same. */
  private evicted(): void {
    const from = this.nextOffset;
    const head = this.goToHead(this.wide);
    this.wide = head.wide > this.wide ? head.wide : head.wide + 2 ** 32;
    this.nextOffset = head.offset;
    for (let i = this.live.length - 1; i >= 0; i--) {
      const cursor = this.live[i];
      const first = Math.max(from, cursor.start);
      if (first < head.offset) this.tellGap(cursor, first, head.offset);
    }
  }

  /** The ring no longer has what a lagging cursor needs. */
  private missed(cursor: Cursor): void {
    const head = this.goToHead(this.wide);
    // The writer has even passed the live position: settle that first.
    if (head.wide > this.wide) this.evicted();
    const from = cursor.expected;
    cursor.start = from;
    cursor.wide = Math.min(head.wide, this.wide);
    cursor.nextOffset = head.offset;
    if (from < head.offset) this.tellGap(cursor, from, head.offset);
  }

  /** Position and offset of the oldest batch that is left. */
  private goToHead(near: number): { wide: number; offset: number } {
    const { reader, span } = this;
    for (;;) {
      const wide = reader.toHead(near);
      const available = reader.open(wide);
      if (available === GONE) continue;
      if (available === EMPTY) return { wide: reader.wide, offset: this.tailOffset() };
      span.of(reader.place, this.topic, this.route.number).cut(reader.start, available, 1);
      reader.done(0);
      return { wide: reader.wide, offset: span.firstOffset };
    }
  }

  private tellGap(cursor: Cursor, fromOffset: number, toOffset: number): void {
    const { id, number, epoch } = this.route;
    const { topic, counters } = this;
    const gap: CommandOf<'gap'> = {
      type: 'gap',
      id,
      number,
      epoch,
      topic,
      fromOffset,
      toOffset,
      reason: 'evicted',
    };
    counters.add(COUNTER.gaps, 1);
    counters.add(COUNTER.gapMessages, toOffset - fromOffset);
    cursor.session.sayGap(gap);
  }
}

function joined(parts: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const whole = new Uint8Array(lengthBytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
