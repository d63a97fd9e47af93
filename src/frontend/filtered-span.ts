// What a filter leaves of a span: sparse batches in memory of their own, behind room for one batch without records that
// covers what came before them.
//
//   | cover (64 bytes): per subscriber | batch | batch | ... |
import {
  BATCH_BASE_OFFSET,
  BATCH_COUNT,
  BATCH_EPOCH,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_PARTITION,
  BATCH_SIZE,
  FLAG_CRC,
  MAGIC_SPARSE,
  MAGIC_WORD,
} from '../../native-layout/batch.ts';
import type { RecordFilter } from '../filter/filter.ts';
import type { RingPlace } from '../memory/ring-writer.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import { putInt64 } from '../record/int64.ts';
import type { Cursor } from './cursor.ts';
import { Span } from './span.ts';

/** Memory for larger spans is given back with the next one that is not. */
const KEPT_BYTES = 1024 * 1024;
/** Shorter ones are copied word by word: cheaper than a view. */
const SHORT_BYTES = 512;
const NO_CRC = ~(FLAG_CRC << 24);

export class FilteredSpan {
  /** The frame; valid after cover(). */
  readonly span = new Span();
  messages = 0;
  batches = 0;
  private place: RingPlace = placeOf(0);
  private readonly view = new BatchView();
  private readonly record = new RecordView();
  private source: Span | undefined;
  private cutNumber = 0;
  /** First byte behind what is written, and the last batch written; 0: none. */
  private end = 0;
  private last = 0;
  /** Offset behind the last batch written, or behind what was skipped before the first one. */
  private coveredTo = 0;
  private leadTo = 0;
  /** Of the span's first batch, and of the last one that was looked at. */
  private epoch = 0;
  private latest = 0;
  private partition = 0;

  /** Another filter's: what is there is nobody's any more. */
  forget(): void {
    this.source = undefined;
  }

  /** Filters a span, unless that is done already. HOT */
  make(span: Span, filter: RecordFilter): void {
    if (this.source === span && this.cutNumber === span.cuts) return;
    this.source = span;
    this.cutNumber = span.cuts;
    this.begin(span);
    const { view } = this;
    view.span(span.ring.bytes, span.ring.words, span.start, span.length);
    while (view.next()) if (!this.tryCopy(filter)) this.skip();
    this.span.of(this.place, span.topic, span.number).show(BATCH_HEADER_BYTES, this.end - BATCH_HEADER_BYTES);
  }

  /** Brings in what the subscriber is owed besides. HOT */
  cover(cursor: Cursor): Span {
    const { span, source, place } = this;
    const first = (source as Span).firstOffset;
    const from = cursor.owedFrom >= 0 && cursor.owedFrom < first ? cursor.owedFrom : first;
    const isNeeded = this.leadTo > from;
    const start = isNeeded ? 0 : BATCH_HEADER_BYTES;
    if (isNeeded) putEmptyBatch(place.words, 0, this.partition, this.epoch, from, this.leadTo);
    span.move(start, this.end - start);
    return span;
  }

  private begin(span: Span): void {
    const wanted = BATCH_HEADER_BYTES + span.length;
    const { capacity } = this.place;
    if (capacity < wanted || (capacity > KEPT_BYTES && wanted <= KEPT_BYTES)) {
      this.place = placeOf(2 ** (32 - Math.clz32(wanted - 1)));
    }
    this.end = BATCH_HEADER_BYTES;
    this.last = 0;
    this.messages = 0;
    this.batches = 0;
    this.coveredTo = span.firstOffset;
    this.leadTo = span.firstOffset;
    this.epoch = span.epoch;
    this.latest = span.epoch;
    this.partition = span.ring.words[(span.start + BATCH_PARTITION) >> 2];
  }

  /** Copies what matches of a batch. False if nothing does. HOT */
  private tryCopy(filter: RecordFilter): boolean {
    const { view, record, place } = this;
    const batchAt = this.end;
    let at = batchAt + BATCH_HEADER_BYTES;
    let kept = 0;
    record.open(view);
    while (record.next()) {
      if (!filter.matches(record)) continue;
      const size = record.size;
      copy(view.bytes, view.words, record.at, place, at, size);
      at += size;
      kept++;
    }
    if (kept === 0) return false;
    const { words } = place;
    copy(view.bytes, view.words, view.at, place, batchAt, BATCH_HEADER_BYTES);
    words[(batchAt + BATCH_SIZE) >> 2] = at - batchAt;
    const magic = (batchAt + BATCH_MAGIC) >> 2;
    // The CRC is over all records: it is good only where all are left.
    if (kept < view.count) words[magic] = (words[magic] & NO_CRC) | MAGIC_SPARSE;
    this.end = at;
    this.last = batchAt;
    this.coveredTo = view.baseOffset + view.count;
    this.latest = view.epoch;
    this.messages += kept;
    this.batches++;
    return true;
  }

  /** Counts a batch into the one before it, or into one without records. */
  private skip(): void {
    const { view } = this;
    const { words } = this.place;
    const { baseOffset } = view;
    const to = baseOffset + view.count;
    if (baseOffset !== this.coveredTo || view.epoch !== this.latest) this.putHole(baseOffset, to);
    else if (this.last === 0) this.leadTo = to;
    else {
      words[(this.last + BATCH_COUNT) >> 2] += view.count;
      words[(this.last + BATCH_MAGIC) >> 2] |= MAGIC_SPARSE;
    }
    this.coveredTo = to;
  }

  /** Offsets are missing before the batch at hand, or an epoch begins with it: that must be seen. */
  private putHole(from: number, to: number): void {
    this.latest = this.view.epoch;
    putEmptyBatch(this.place.words, this.end, this.partition, this.view.epoch, from, to);
    this.last = this.end;
    this.end += BATCH_HEADER_BYTES;
    this.batches++;
  }
}

function placeOf(capacity: number): RingPlace {
  const bytes = new Uint8Array(capacity);
  return { bytes, words: new Int32Array(bytes.buffer), byte: 0, capacity };
}

/** All places and lengths are multiples of 8. HOT */
function copy(bytes: Uint8Array, words: Int32Array, from: number, to: RingPlace, at: number, length: number): void {
  if (length > SHORT_BYTES) {
    to.bytes.set(bytes.subarray(from, from + length), at);
    return;
  }
  const target = to.words;
  const end = (from + length) >> 2;
  for (let i = from >> 2, j = at >> 2; i < end; i++, j++) target[j] = words[i];
}

/** Writes the header of a batch without records, which covers offsets. */
export function putEmptyBatch(
  words: Int32Array,
  at: number,
  partition: number,
  epoch: number,
  from: number,
  to: number,
): void {
  words.fill(0, at >> 2, (at + BATCH_HEADER_BYTES) >> 2);
  words[(at + BATCH_SIZE) >> 2] = BATCH_HEADER_BYTES;
  words[(at + BATCH_MAGIC) >> 2] = MAGIC_WORD | MAGIC_SPARSE;
  words[(at + BATCH_PARTITION) >> 2] = partition;
  words[(at + BATCH_EPOCH) >> 2] = epoch;
  putInt64(words, (at + BATCH_BASE_OFFSET) >> 2, from);
  words[(at + BATCH_COUNT) >> 2] = to - from;
}
