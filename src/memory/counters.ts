// Counters of one seat: 53-bit sums in pairs of words, written by the seat's thread once a turn, read by anybody.
//
// Who writes: the seat's thread. Who reads: the metrics collector.
// I1  The words of a pair never mix two sums: see wide.ts.
import { SEAT_COUNTER_COUNT, SEAT_COUNTERS } from '../../native-layout/control.ts';
import { seatWord } from './bell.ts';
import { readWide, storeWide } from './wide.ts';

/** What a thread counts. Numbers are places in its seat; never reuse one. */
export const COUNTER = {
  batchesIn: 0,
  messagesIn: 1,
  bytesIn: 2,
  duplicates: 3,
  rejected: 4,
  batchesOut: 5,
  messagesOut: 6,
  bytesOut: 7,
  gaps: 8,
  gapMessages: 9,
  connectionsOpened: 10,
  connectionsClosed: 11,
  refusals: 12,
  protocolErrors: 13,
  turns: 14,
  parks: 15,
  framesIn: 16,
  framesOut: 17,
  catchUps: 18,
  slowClosed: 19,
} as const;
export type CounterName = keyof typeof COUNTER;

/** The writing side: add() is a plain addition, publish() shows what changed. */
export class Counters {
  private readonly words: Int32Array;
  private readonly base: number;
  private readonly sums = new Float64Array(SEAT_COUNTER_COUNT);
  private readonly shown = new Float64Array(SEAT_COUNTER_COUNT);

  constructor(control: Int32Array, seat: number) {
    this.words = control;
    this.base = seatWord(seat) + SEAT_COUNTERS;
    for (let i = 0; i < SEAT_COUNTER_COUNT; i++) this.sums[i] = this.shown[i] = readCounter(control, seat, i);
  }

  /** HOT */
  add(counter: number, amount: number): void {
    this.sums[counter] += amount;
  }

  /** Shows the sums to other threads. Once a turn, not once a message. */
  publish(): void {
    for (let i = 0; i < SEAT_COUNTER_COUNT; i++) {
      const sum = this.sums[i];
      if (sum === this.shown[i]) continue;
      this.shown[i] = sum;
      storeWide(this.words, this.base + i * 2, sum);
    }
  }
}

/** Reads one counter of any seat. */
export function readCounter(control: Int32Array, seat: number, counter: number): number {
  return readWide(control, seatWord(seat) + SEAT_COUNTERS + counter * 2);
}
