// Frames for subscribers that want only some of the messages: what their filter leaves of a span, as sparse batches in
// memory of this thread. Made once for all subscribers with the same filter; one without a filter never comes here.
//
// I1  What a filtered subscriber is sent covers every offset, each once: skipped batches are counted into the one
//     before them of the same epoch, or stand as a batch without records. So its position moves on, and a gap is still
//     a gap.
// I2  A span without any match is owed: the next frame covers it, or tellProgress() does when there is none.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { compileFilter, type RecordFilter } from '../filter/filter.ts';
import { COUNTER, type Counters } from '../memory/counters.ts';
import type { Cursor } from './cursor.ts';
import { FilteredSpan, putEmptyBatch } from './filtered-span.ts';
import { Span } from './span.ts';

/** Filters by text, so that equal ones share their frames; past it, new ones share with nobody. */
const SHARED_MAX = 1_024;
/** Frames of so many filters are kept at a time. */
const FRAMES_MAX = 32;
/** How often those who got nothing are told how far they are. */
const PROGRESS_MS = 500;

/** All filters of a front end. */
export class FrameFilters {
  private readonly counters: Counters;
  private readonly shared = new Map<string, FrameFilter>();
  /** The newest last. */
  private readonly frames = new Map<FrameFilter, FilteredSpan>();
  private readonly owed = new Set<Cursor>();
  private readonly progress = new Span();
  private readonly words = new Int32Array(BATCH_HEADER_BYTES >> 2);
  private toldAt = 0;

  constructor(counters: Counters) {
    this.counters = counters;
  }

  /** The filter of a canonical text; undefined: everything is wanted. Throws `illegal-filter`. */
  filter(text: string): FrameFilter | undefined {
    const known = this.shared.get(text);
    if (known) return known;
    const compiled = compileFilter(text);
    if (compiled === undefined) return undefined;
    const filter = new FrameFilter(this, compiled);
    if (this.shared.size >= SHARED_MAX) this.shared.delete(this.shared.keys().next().value as string);
    this.shared.set(text, filter);
    return filter;
  }

  /** What is left of a span: made now, or for another subscriber before. HOT */
  frameOf(filter: FrameFilter, span: Span): FilteredSpan {
    let frame = this.frames.get(filter);
    if (frame === undefined) {
      frame = this.frames.size < FRAMES_MAX ? new FilteredSpan() : this.oldest();
      this.frames.set(filter, frame);
    }
    frame.make(span, filter.records);
    return frame;
  }

  /** The cursor was sent something. HOT */
  sent(frame: FilteredSpan, cursor: Cursor): void {
    const { counters } = this;
    const { span, batches, messages } = frame;
    counters.add(COUNTER.framesOut, 1);
    counters.add(COUNTER.batchesOut, batches);
    counters.add(COUNTER.messagesOut, messages);
    counters.add(COUNTER.bytesOut, span.length);
    if (cursor.owedFrom < 0) return;
    cursor.owedFrom = -1;
    this.owed.delete(cursor);
  }

  /** Nothing of a span was for the cursor. HOT */
  owe(cursor: Cursor, span: Span): void {
    // One that begins in the middle is owed what comes from there on.
    const from = Math.max(span.firstOffset, cursor.start);
    if (from >= span.nextOffset) return;
    if (cursor.owedFrom < 0) {
      cursor.owedFrom = from;
      this.owed.add(cursor);
    }
    cursor.owedTo = span.nextOffset;
    cursor.owedEpoch = span.lastEpoch;
  }

  /** The cursor has left. */
  forget(cursor: Cursor): void {
    this.owed.delete(cursor);
  }

  /** I2. */
  tellProgress(nowMs: number): void {
    if (Math.abs(nowMs - this.toldAt) < PROGRESS_MS) return;
    this.toldAt = nowMs;
    for (const cursor of this.owed) {
      // Else it is told when it takes something again.
      if (!cursor.session.roomForLeast(BATCH_HEADER_BYTES)) continue;
      const span = this.progressOf(cursor);
      if (cursor.session.deliver(span, cursor)) this.counters.add(COUNTER.framesOut, 1);
      cursor.owedFrom = -1;
      this.owed.delete(cursor);
    }
  }

  private progressOf(cursor: Cursor): Span {
    const { topic, route } = cursor.feed;
    const { words } = this;
    const bytes = new Uint8Array(words.buffer);
    putEmptyBatch(words, 0, route.id, cursor.owedEpoch, cursor.owedFrom, cursor.owedTo);
    const span = this.progress.of({ bytes, words, byte: 0, capacity: bytes.length }, topic, route.number);
    span.show(0, bytes.length);
    return span;
  }

  private oldest(): FilteredSpan {
    const [[filter, frame]] = this.frames;
    this.frames.delete(filter);
    frame.forget();
    return frame;
  }
}

/** What one or several subscribers want. */
export class FrameFilter {
  readonly records: RecordFilter;
  private readonly all: FrameFilters;

  constructor(all: FrameFilters, records: RecordFilter) {
    this.all = all;
    this.records = records;
  }

  /**
   * Sends what is left of a span, if anything is. False if the session does not take it. `least`: the span cannot be
   * cut any smaller. HOT
   */
  trySend(span: Span, cursor: Cursor, least: boolean): boolean {
    const { all } = this;
    const { session } = cursor;
    const frame = all.frameOf(this, span);
    if (frame.messages === 0) {
      all.owe(cursor, span);
      return true;
    }
    const { length } = frame.cover(cursor);
    if (!(least ? session.roomForLeast(length) : session.roomFor(length))) return false;
    if (!session.deliver(frame.span, cursor)) return false;
    all.sent(frame, cursor);
    return true;
  }

  forget(cursor: Cursor): void {
    this.all.forget(cursor);
  }
}
