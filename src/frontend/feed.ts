// One partition on its way to its subscribers. Everybody who keeps up gets the same frames, cut once from the ring; who
// does not keep up is left alone until its socket drains, and then catches up from the ring by itself.
//
// I1  A live cursor has got everything before this.wide and nothing behind it.
// I2  A cursor that is behind has got everything before its own `wide` (within that batch, before its `start`). It
//     turns live when its `wide` is this.wide: nothing is lost, repeated or reordered on the way.
// I3  Lossless topics: the reader's slot stands at the slowest cursor, at the end of every call: not behind it, or
//     bytes would be lost, and not before it, or the writer would wait for nobody.
// I4  Durable topics: what has left the ring is in the log. Whoever needs it goes on from the log (`fromLog`) and comes
//     back when the ring has the offset that it wants: nobody is told of a gap because the writer was faster.
import { COUNTER, type Counters } from '../memory/counters.ts';
import { EMPTY } from '../memory/ring-reader.ts';
import type { GapReason, PartitionRoute } from '../wire/commands.ts';
import { BLOCKED, type CatchUpOutcome, type FeedLog, type FeedWaiter, LIVE, MORE } from './catch-up.ts';
import { DELIVERY_MAX_BYTES, DELIVERY_MIN_BYTES, FEED_TURN_BYTES } from './config.ts';
import { Cursor, trySendBehind } from './cursor.ts';
import { type FeedReader, GONE } from './feed-reader.ts';
import type { FrameFilter } from './frame-filters.ts';
import type { Session } from './session.ts';
import type { Span } from './span.ts';

export class PartitionFeed {
  readonly topic: string;
  readonly route: PartitionRoute;
  readonly reader: FeedReader;
  /** Live cursors have got everything before this position; the record there has this offset, or a later one. */
  wide: number;
  nextOffset: number;
  /** deliver() stopped although there is more. */
  hasMore = false;
  /** Bytes sent by the last call of catchUp(). */
  sentBytes = 0;
  /** Somebody has fallen behind in this call of deliver(). */
  private fell = false;
  /** How many of the live ones have a filter, of those that sendLive() saw last. */
  private filtered = 0;
  private readonly live: Cursor[] = [];
  private readonly behind = new Set<Cursor>();
  private readonly waiters = new Set<FeedWaiter>();
  private readonly span: Span;
  private readonly counters: Counters;
  private readonly tailOffset: () => number;
  private readonly log: FeedLog | undefined;

  /** `tailOffset`: the offset that the partition's next record will get. `log`: of a durable topic. */
  constructor(
    topic: string,
    route: PartitionRoute,
    reader: FeedReader,
    span: Span,
    counters: Counters,
    tailOffset: () => number,
    log?: FeedLog,
  ) {
    this.topic = topic;
    this.route = route;
    this.reader = reader;
    this.span = span;
    this.counters = counters;
    this.tailOffset = tailOffset;
    this.log = log;
    this.wide = reader.position;
    this.nextOffset = tailOffset();
  }

  /** Names the topic in the log; 0 for a volatile one. */
  get topicId(): number {
    return this.log?.topicId ?? 0;
  }

  /** Offset that the partition's next record will get. */
  get endOffset(): number {
    return this.tailOffset();
  }

  /** The log keeps it. */
  get durable(): boolean {
    return this.log !== undefined;
  }

  get unused(): boolean {
    return this.live.length === 0 && this.behind.size === 0 && this.waiters.size === 0;
  }

  /** Cursors that are behind. */
  get lagging(): ReadonlySet<Cursor> {
    return this.behind;
  }

  /** Adds a subscriber that starts at `wide`. True if it is behind: catchUp() serves it. */
  add(session: Session, wide: number, nextOffset: number, start: number, filter?: FrameFilter): Cursor {
    const cursor = new Cursor(session, this, wide, nextOffset, start, filter);
    if (wide < this.wide) this.behind.add(cursor);
    else this.turnLive(cursor);
    return cursor;
  }

  /** Adds a subscriber that reads the log first. catchUp() serves it. */
  addFromLog(session: Session, offset: number, filter?: FrameFilter): Cursor {
    const cursor = new Cursor(session, this, this.wide, offset, offset, filter);
    cursor.fromLog = true;
    this.behind.add(cursor);
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
  catchUp(cursor: Cursor, budgetBytes: number): CatchUpOutcome {
    this.sentBytes = 0;
    const isSlowest = cursor.wide <= this.reader.kept;
    let outcome: CatchUpOutcome = MORE;
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

  /**
   * Lets a cursor that reads the log go on in the ring. False if the ring no longer has what it wants. Looks at the
   * batches from the oldest one on: few where the writer is just being caught up with.
   */
  tryLeaveLog(cursor: Cursor): boolean {
    const { reader } = this;
    const { expected } = cursor;
    const head = reader.oldest(this.wide, this.tailOffset);
    if (head.wide > this.wide) this.evicted();
    const place = head.offset <= expected ? reader.find(expected, head.wide, this.wide) : undefined;
    if (!place) return false;
    cursor.fromLog = false;
    cursor.wide = place.wide;
    cursor.nextOffset = Math.min(place.offset, expected);
    return true;
  }

  close(): void {
    this.reader.close();
  }

  /** Tells a subscriber that it misses records. */
  tellGap(cursor: Cursor, fromOffset: number, toOffset: number, reason: GapReason): void {
    const { id, number, epoch } = this.route;
    const { topic, counters } = this;
    counters.add(COUNTER.gaps, 1);
    counters.add(COUNTER.gapMessages, toOffset - fromOffset);
    cursor.session.sayGap({ type: 'gap', id, number, epoch, topic, fromOffset, toOffset, reason });
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
      // Looking at every message costs about what sending them does.
      sent += span.length * (takers + this.filtered + 1);
      counters.add(COUNTER.framesOut, takers);
      counters.add(COUNTER.batchesOut, span.batches * takers);
      counters.add(COUNTER.messagesOut, span.messages * takers);
      counters.add(COUNTER.bytesOut, span.length * takers);
    }
    reader.done(used);
    return sent;
  }

  /** Sends one frame. Returns to how many as it is. HOT */
  private sendLive(span: Span): number {
    const { live } = this;
    let takers = 0;
    this.filtered = 0;
    for (let i = live.length - 1; i >= 0; i--) {
      const cursor = live[i];
      const { session, filter } = cursor;
      if (filter !== undefined) {
        this.filtered++;
        if (!filter.trySend(span, cursor, false)) this.fallBehind(i, span.firstOffset);
      } else if (session.roomFor(span.length) && session.deliver(span, cursor)) takers++;
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
    // A cursor may be ahead of this feed (the log was, or it begins later): what it has got is never sent to it again,
    // and what the others still want is not skipped. Nor need this feed have counted batch by batch.
    cursor.start = cursor.expected;
    if (cursor.nextOffset < this.nextOffset) this.nextOffset = cursor.nextOffset;
    cursor.live = true;
    this.behind.delete(cursor);
    this.live.push(cursor);
  }

  private dropLive(index: number): void {
    const last = this.live.pop() as Cursor;
    if (index < this.live.length) this.live[index] = last;
  }

  private catchUpOnce(cursor: Cursor): CatchUpOutcome {
    const { reader, span } = this;
    const { session } = cursor;
    if (cursor.fromLog && this.log) return this.log.archive.serve(this, cursor);
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
    const taken = trySendBehind(span, cursor);
    reader.done(taken ? span.advance : 0);
    if (!taken) return BLOCKED;
    cursor.wide += span.advance;
    this.sent(cursor, span);
    return MORE;
  }

  /** A cursor that is behind was sent the span. */
  sent(cursor: Cursor, span: Span): void {
    const { counters } = this;
    cursor.nextOffset = span.nextOffset;
    this.sentBytes += span.length;
    // What a filter leaves has been counted.
    if (cursor.filter !== undefined) return;
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

  /** The writer has passed this thread: everybody who kept up has missed the same, or goes on from the log. */
  private evicted(): void {
    if (this.log) {
      this.evictedToLog();
      return;
    }
    const from = this.nextOffset;
    const head = this.reader.oldest(this.wide, this.tailOffset);
    this.wide = head.wide > this.wide ? head.wide : head.wide + 2 ** 32;
    this.nextOffset = head.offset;
    for (let i = this.live.length - 1; i >= 0; i--) {
      const cursor = this.live[i];
      const first = Math.max(from, cursor.start);
      if (first < head.offset) this.tellGap(cursor, first, head.offset, 'evicted');
    }
  }

  /** I4: the log has what everybody missed. Who stood further back has lost its place as well. */
  private evictedToLog(): void {
    for (const cursor of this.behind) cursor.fromLog = true;
    for (const cursor of this.live.splice(0)) {
      cursor.live = false;
      cursor.fromLog = true;
      cursor.nextOffset = this.nextOffset;
      this.behind.add(cursor);
      this.counters.add(COUNTER.catchUps, 1);
      cursor.session.fellBehind(cursor);
    }
    for (const waiter of this.waiters) {
      this.waiters.delete(waiter);
      waiter.passed();
    }
    this.jumpToTail();
  }

  /** The ring no longer has what a lagging cursor needs. */
  private missed(cursor: Cursor): void {
    if (this.log) {
      cursor.fromLog = true;
      return;
    }
    const head = this.reader.oldest(this.wide, this.tailOffset);
    // The writer has even passed the live position: settle that first.
    if (head.wide > this.wide) this.evicted();
    const from = cursor.expected;
    cursor.start = from;
    cursor.wide = Math.min(head.wide, this.wide);
    cursor.nextOffset = head.offset;
    if (from < head.offset) this.tellGap(cursor, from, head.offset, 'evicted');
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
