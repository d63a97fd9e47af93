// Where one session stands in one partition.
import type { PartitionFeed } from './feed.ts';
import type { FrameFilter } from './frame-filters.ts';
import type { Session } from './session.ts';
import type { Span } from './span.ts';

export class Cursor {
  readonly session: Session;
  readonly feed: PartitionFeed;
  /** True: the session gets every frame of the feed. False: it is behind and stands at `wide`. */
  live = false;
  /** It is behind, and the ring no longer has what it wants: the log is read from `expected` on. */
  fromLog = false;
  /** Position as a running count that never wraps; its low 32 bits are the ring's. Only while behind. */
  wide: number;
  /** Offset of the first record at `wide`. Only while behind. */
  nextOffset: number;
  /** Records before this offset are not wanted (or were delivered already). */
  start: number;

  /** Undefined: everything is wanted. */
  readonly filter: FrameFilter | undefined;
  /** Offsets that the filter left out and no frame has covered yet; from -1: none. See FrameFilters. */
  owedFrom = -1;
  owedTo = 0;
  owedEpoch = 0;

  constructor(
    session: Session,
    feed: PartitionFeed,
    wide: number,
    nextOffset: number,
    start: number,
    filter?: FrameFilter,
  ) {
    this.session = session;
    this.feed = feed;
    this.wide = wide;
    this.nextOffset = nextOffset;
    this.start = start;
    this.filter = filter;
  }

  /** First offset that the session has not got. Only while behind. */
  get expected(): number {
    return this.start > this.nextOffset ? this.start : this.nextOffset;
  }
}

/** Sends a span to one that is behind. False if its session does not take it. */
export function trySendBehind(span: Span, cursor: Cursor): boolean {
  const { session, filter } = cursor;
  if (filter !== undefined) return filter.trySend(span, cursor, true);
  return session.roomForLeast(span.length) && session.deliver(span, cursor);
}
