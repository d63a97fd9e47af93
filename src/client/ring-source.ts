// Where an in-process consumer's batches come from: readers of the partitions' rings, and of the log where a durable
// ring does not have what comes next (the consumer starts earlier, or was too slow for the ring and was passed).
import { PERMISSION_READ } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { EMPTY, EVICTED, type RingReader } from '../memory/ring-reader.ts';
import { ringHas } from '../partition/join.ts';
import { BatchView } from '../record/batch-view.ts';
import type { PartitionRoute } from '../wire/commands.ts';
import { type PartitionCursor, type RingConsumer, STOP } from './consumer.ts';
import type { HistorySource } from './history-source.ts';

/** Bytes handed to one consumer before others have their turn. */
const TURN_BYTES = 512 * 1024;

/** One ring as one consumer reads it. */
export class RingSubscription {
  readonly route: PartitionRoute;
  readonly reader: RingReader;
  /** The log's side; undefined for a volatile partition. */
  readonly past: HistorySource | undefined;
  private readonly consumer: RingConsumer<unknown>;
  private readonly view = new BatchView();
  /** A notice waits until the consumer takes more: no other one comes before, and wakes this thread for nothing. */
  private unheard = false;
  private draining = false;
  private closed = false;

  constructor(
    route: PartitionRoute,
    reader: RingReader,
    consumer: RingConsumer<unknown>,
    past: HistorySource | undefined,
  ) {
    this.route = route;
    this.reader = reader;
    this.consumer = consumer;
    this.past = past;
  }

  /** The reader has joined, but the ring may not have the offset to start at: then the log is read first. */
  startAt(offset: number): void {
    if (this.past && !ringHas(this.reader, offset)) this.past.start(offset);
  }

  /** Hands on what is there, in bounded amounts. Returns the bytes taken. HOT */
  drain(): number {
    const cursor = this.consumer.cursor(this.route.id);
    // A handler that calls poll() must not read what it is being given.
    if (cursor === undefined || this.draining || this.closed) return 0;
    this.draining = true;
    const taken = this.drainTo(cursor);
    this.draining = false;
    if (this.closed) this.release();
    return taken;
  }

  /** A notice came for this subscription alone. False: its consumer takes nothing now. HOT */
  hear(): boolean {
    if (this.consumer.full) this.unheard = true;
    else this.reader.noticed();
    return !this.unheard;
  }

  /** The consumer takes more, or somebody else of this thread reads the partition too. Drain, or poll, afterwards. */
  listen(): void {
    if (!this.unheard) return;
    this.unheard = false;
    this.reader.noticed();
  }

  /** Gives the reader's slot back; if a handler asks for it, after the handler. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.draining) this.release();
  }

  private release(): void {
    this.past?.stop();
    this.reader.close();
  }

  private drainTo(cursor: PartitionCursor): number {
    let taken = 0;
    while (taken < TURN_BYTES) {
      if (this.consumer.full) break;
      const { past } = this;
      if (past?.active) {
        if (past.between && ringHas(this.reader, cursor.expected)) {
          past.stop();
          continue;
        }
        const used = past.handOn(this.consumer, cursor);
        if (used === 0) break;
        taken += used;
        continue;
      }
      const available = this.reader.tryPin();
      if (available === EMPTY) break;
      if (available === EVICTED) {
        // Without a log the oldest that is left goes on; the consumer sees by the offset what it missed.
        if (past === undefined) this.reader.joinHead();
        else if (!ringHas(this.reader, cursor.expected)) past.start(cursor.expected);
        continue;
      }
      const used = this.deliver(cursor, available);
      this.reader.advance(used);
      taken += used;
      if (used < available) break;
    }
    return taken;
  }

  private deliver(cursor: PartitionCursor, available: number): number {
    const { reader, view } = this;
    const start = reader.start;
    view.span(reader.place.bytes, reader.place.words, start, available);
    while (view.next()) {
      const at = view.at;
      if (this.consumer.deliver(view, cursor) === STOP) return at - start;
    }
    return available;
  }
}

/** Refuses a subscription without any partition to read, or that may read none. */
export function assertReadable(partitions: readonly PartitionRoute[], topic: string): void {
  if (partitions.length === 0)
    throw new RingmqError('unknown-partition', `topic ${topic} has none of the partitions asked for`);
  if (partitions.every((one) => (one.permission & PERMISSION_READ) === 0)) throw new RingmqError('no-read-permission');
}
