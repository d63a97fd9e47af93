// All partitions that this front end reads: who has news, who catches up, in turn and in bounded amounts. Durable
// partitions never make the writer wait: who is further back than the ring reads the log.
import { OVERFLOW_CODES } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { Counters } from '../memory/counters.ts';
import { nextOffset, readIdentity } from '../memory/partition-entry.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { joinAt, ringHas } from '../partition/join.ts';
import { BatchView } from '../record/batch-view.ts';
import type { Participant } from '../thread/participant.ts';
import type { PartitionRoute, PartitionStart, StartFrom } from '../wire/commands.ts';
import { LIVE, MORE } from './catch-up.ts';
import { CATCH_UP_TURN_BYTES, TURN_BYTES } from './config.ts';
import type { Cursor } from './cursor.ts';
import { PartitionFeed } from './feed.ts';
import { FeedReader } from './feed-reader.ts';
import { type FrameFilter, FrameFilters } from './frame-filters.ts';
import { HistoryFeed } from './history-feed.ts';
import type { Session } from './session.ts';
import { Span } from './span.ts';

/** Cost of looking at a feed or cursor that has nothing, in the same bytes: bounds the turn. */
const LOOK_BYTES = 4 * 1024;
/** Times that a search for an old offset starts again because the writer overtook it. */
const SEARCHES_MAX = 8;
/** Times that isStalled() may be late before it starts anew. */
const STALL_PAUSE_MS = 1_000;

/** Where a subscriber begins. */
export interface Place {
  readonly start: PartitionStart;
  readonly wide: number;
  readonly nextOffset: number;
  /** The ring no longer has it: the log must be read first. */
  readonly inLog: boolean;
}

export class Feeds {
  private readonly participant: Participant;
  private readonly counters: Counters;
  private readonly feeds = new Map<number, PartitionFeed>();
  /** Feeds that may have news. */
  private readonly hot = new Set<PartitionFeed>();
  /** Feeds of direct partitions: their writers ring the bell but send no notices. */
  private readonly direct = new Set<PartitionFeed>();
  /** Cursors that are behind and whose sessions take more. */
  private readonly runnable = new Set<Cursor>();
  private readonly history: HistoryFeed | undefined;
  readonly filters: FrameFilters;
  private readonly span = new Span();
  private readonly view = new BatchView();

  constructor(participant: Participant) {
    this.participant = participant;
    this.counters = participant.counters;
    this.filters = new FrameFilters(this.counters);
    const { history } = participant;
    this.history = history && new HistoryFeed(history, (cursor) => this.run(cursor));
  }

  /** A worker's notice: the partition has news. HOT */
  noticed(partition: number): void {
    const feed = this.feeds.get(partition);
    if (feed === undefined) return;
    feed.reader.noticed();
    this.hot.add(feed);
  }

  /** The cursor may go on catching up. */
  run(cursor: Cursor): void {
    this.runnable.add(cursor);
  }

  /** Delivers what is new and lets others catch up, in bounded amounts. Returns how much was done. HOT */
  work(): number {
    for (const feed of this.direct) if (feed.reader.lag(feed.wide) > 0) this.hot.add(feed);
    let did = 0;
    for (const feed of this.hot) {
      this.hot.delete(feed);
      did += feed.deliver() + LOOK_BYTES;
      // At the end of the set: the others come first.
      if (feed.hasMore) this.hot.add(feed);
      if (did >= TURN_BYTES) break;
    }
    return this.runnable.size === 0 ? did : did + this.catchUp();
  }

  /** Opens the partition if need be. Its ring must be there. Throws `reader-quota`, `unknown-partition`. */
  obtain(topic: string, route: PartitionRoute): PartitionFeed {
    const known = this.feeds.get(route.id);
    if (known && known.route.epoch === route.epoch) return known;
    const { table } = this.participant.regions;
    const identity = readIdentity(table, route.id);
    if (identity === undefined || identity.epoch !== route.epoch || known) throw new RingmqError('route-stale');
    const log = identity.durable && this.history ? { archive: this.history, topicId: identity.topic } : undefined;
    const lossless = identity.overflow !== OVERFLOW_CODES['drop-oldest'] && log === undefined;
    const reader = this.openReader(route, lossless, true);
    reader.joinTail();
    const tailOffset = () => nextOffset(table, route.id);
    const feedReader = new FeedReader(reader, lossless);
    const feed = new PartitionFeed(topic, route, feedReader, this.span, this.counters, tailOffset, log);
    this.feeds.set(route.id, feed);
    if (this.participant.laneOf(route.owner) === undefined) this.direct.add(feed);
    return feed;
  }

  /** Adds a subscriber to a feed. Nothing is sent before the next work(). */
  join(
    feed: PartitionFeed,
    session: Session,
    from: StartFrom,
    filter?: FrameFilter,
  ): { readonly start: PartitionStart; readonly cursor: Cursor } {
    const { start, wide, nextOffset: offset, inLog } = this.locate(feed, from);
    const cursor = inLog
      ? feed.addFromLog(session, offset, filter)
      : feed.add(session, wide, offset, start.offset, filter);
    if (cursor.live) this.hot.add(feed);
    else this.runnable.add(cursor);
    return { start, cursor };
  }

  /**
   * Where `from` is in a feed. In a lossless topic it stays there at least until the feed is next worked on or settled;
   * in a durable one it may leave the ring, and the log has it. `from` is no time.
   */
  locate(feed: PartitionFeed, from: StartFrom): Place {
    const { route } = feed;
    const { table } = this.participant.regions;
    if (from === 'latest') {
      const offset = Math.max(feed.nextOffset, nextOffset(table, route.id));
      const start = { id: route.id, number: route.number, epoch: route.epoch, offset, gap: false, gapFrom: 0 };
      return { start, wide: feed.wide, nextOffset: feed.nextOffset, inLog: false };
    }
    const probe = this.openReader(route, feed.reader.lossless, false);
    const start = joinAt(table, probe, route, from);
    const found = this.searchIn(feed, probe, start, from);
    const wide = feed.reader.wideOf(probe.position, feed.wide);
    feed.reader.adopt(probe, wide);
    return found ? { ...found, wide, inLog: false } : { start, wide, nextOffset: start.offset, inLog: true };
  }

  /** Offset of the first batch in the ring that was stored at a time or later; the next offset if there is none. */
  offsetAt(topic: string, route: PartitionRoute, timeMs: number): number {
    const feed = this.obtain(topic, route);
    const probe = this.openReader(route, false, false);
    try {
      probe.joinHead();
      for (;;) {
        const available = probe.tryPin();
        if (available === EMPTY) return nextOffset(this.participant.regions.table, route.id);
        if (available === EVICTED) {
          probe.joinHead();
          continue;
        }
        const view = this.view.span(probe.place.bytes, probe.place.words, probe.start, available);
        while (view.next()) if (view.storedAt >= timeMs) return view.baseOffset;
        probe.advance(available);
      }
    } finally {
      probe.close();
      this.settle(feed);
    }
  }

  leave(cursor: Cursor): void {
    this.runnable.delete(cursor);
    cursor.filter?.forget(cursor);
    cursor.feed.remove(cursor);
    this.history?.leave(cursor);
    this.settle(cursor.feed);
  }

  /** Somebody has left a feed, or looked something up: closes it if nobody uses it. */
  settle(feed: PartitionFeed): void {
    if (!feed.unused) {
      feed.keep();
      return;
    }
    this.feeds.delete(feed.route.id);
    this.hot.delete(feed);
    this.direct.delete(feed);
    feed.close();
  }

  /** Somebody waits for a feed's next batches. */
  look(feed: PartitionFeed): void {
    this.hot.add(feed);
  }

  /** Who waits for the log tries again, and who got nothing hears how far it is. True if there is work. */
  housekeep(nowMs: number): boolean {
    this.filters.tellProgress(nowMs);
    return this.history !== undefined && this.history.housekeep() > 0;
  }

  /** Sessions that keep the writer of a lossless topic waiting and take nothing themselves. */
  *stalled(nowMs: number, stallMs: number): IterableIterator<Session> {
    for (const feed of this.feeds.values()) {
      const { reader } = feed;
      if (!reader.lossless) continue;
      for (const cursor of feed.lagging) {
        // With half of the ring left a batch always fits: this one keeps nobody waiting.
        if (reader.lag(cursor.wide) * 2 < reader.place.capacity) continue;
        if (cursor.session.isStalled(nowMs, stallMs, STALL_PAUSE_MS)) yield cursor.session;
      }
    }
  }

  close(): void {
    for (const feed of this.feeds.values()) feed.close();
    this.feeds.clear();
    this.hot.clear();
    this.direct.clear();
    this.runnable.clear();
  }

  private catchUp(): number {
    let did = 0;
    for (const cursor of this.runnable) {
      this.runnable.delete(cursor);
      const outcome = cursor.feed.catchUp(cursor, CATCH_UP_TURN_BYTES);
      did += cursor.feed.sentBytes + LOOK_BYTES;
      if (outcome === MORE) this.runnable.add(cursor);
      else if (outcome === LIVE) this.hot.add(cursor.feed);
      if (did >= TURN_BYTES) break;
    }
    return did;
  }

  private openReader(route: PartitionRoute, holds: boolean, noticed: boolean): RingReader {
    const reader = this.participant.tryOpenReader(route.id, { holds, noticed, epoch: route.epoch });
    if (!reader) throw new RingmqError('route-stale', `partition ${route.number} has no ring`);
    return reader;
  }

  /** search(), or undefined if only the log has the first wanted offset. */
  private searchIn(
    feed: PartitionFeed,
    probe: RingReader,
    start: PartitionStart,
    from: StartFrom,
  ): { readonly start: PartitionStart; readonly nextOffset: number } | undefined {
    if (!feed.durable) return this.search(probe, start, from);
    return ringHas(probe, start.offset) ? this.searchOnce(probe, start) : undefined;
  }

  /** Moves the probe forward to the batch that holds the first wanted offset. */
  private search(
    probe: RingReader,
    first: PartitionStart,
    from: StartFrom,
  ): { readonly start: PartitionStart; readonly nextOffset: number } {
    let start = first;
    for (let searches = 0; ; searches++) {
      const found = this.searchOnce(probe, start);
      if (found) return found;
      if (searches === SEARCHES_MAX) return { start, nextOffset: start.offset };
      start = this.again(probe, start, from);
    }
  }

  /** Undefined: the writer was faster. */
  private searchOnce(
    probe: RingReader,
    start: PartitionStart,
  ): { readonly start: PartitionStart; readonly nextOffset: number } | undefined {
    const { table } = this.participant.regions;
    for (let seen = start.offset; ; ) {
      const available = probe.tryPin();
      if (available === EMPTY) return { start, nextOffset: seen };
      if (available === EVICTED) return undefined;
      const view = this.view.span(probe.place.bytes, probe.place.words, probe.start, available);
      while (view.next()) {
        seen = view.baseOffset;
        if (seen + view.count <= start.offset) continue;
        probe.advance(view.at - probe.start);
        return { start, nextOffset: seen };
      }
      seen = Math.min(start.offset, nextOffset(table, probe.partition));
      probe.advance(available);
    }
  }

  /** The writer overtook the search: what was looked for is gone. */
  private again(probe: RingReader, start: PartitionStart, from: StartFrom): PartitionStart {
    const { id, number, epoch } = start;
    const route = { id, number, epoch } as PartitionRoute;
    const rest = from === 'earliest' ? from : { offset: start.offset };
    const next = joinAt(this.participant.regions.table, probe, route, rest);
    return { ...next, gap: start.gap || next.gap, gapFrom: start.gap ? start.gapFrom : next.gapFrom };
  }
}
