// Writers first: on a disk that the store keeps busy, reads of history rest in between.
//
// A disk that is shared half and half would take half of the throughput from publishers, who wait for their
// acknowledgements; who reads history is behind anyway. So after each read the next one waits for a multiple of the
// time that it took, the longer the more the store has written meanwhile. Beside a store that writes little, or
// nothing, reads do not wait.
//
// Who writes, who reads: the log reader thread alone.
import { STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { storeNumber } from '../memory/store-state.ts';

/** Beside a store that writes as much as was read, or more, a read is followed by a rest so many times as long. */
const REST_FACTOR = 8;
/** Longest rest in milliseconds: nobody who asks for little waits for long behind somebody who asks for much. */
const REST_MAX_MS = 20;

export class ReadPace {
  private readonly store: StoreRegion;
  private readonly clock: () => number;
  private startedAt = 0;
  /** When the read before ended, and how far the store was. */
  private lastAt: number;
  private lastWritten: number;
  private restsUntil = 0;

  /** `clock`: milliseconds, with fractions. */
  constructor(store: StoreRegion, clock: () => number) {
    this.store = store;
    this.clock = clock;
    this.lastAt = clock();
    this.lastWritten = storeNumber(store, STORE_WRITTEN_LOW);
  }

  /** Milliseconds for which nothing should be read; 0: reads may go on. */
  get restMs(): number {
    if (this.restsUntil === 0) return 0;
    const left = this.restsUntil - this.clock();
    if (left > 0) return left;
    this.restsUntil = 0;
    return 0;
  }

  /** A read begins. */
  begin(): void {
    this.startedAt = this.clock();
  }

  /** It has brought this much. */
  end(lengthBytes: number): void {
    const now = this.clock();
    const written = storeNumber(this.store, STORE_WRITTEN_LOW);
    const tookMs = now - this.startedAt;
    // Bytes that the store has written in the time of a read, for each byte of the read.
    const share = ((written - this.lastWritten) / (now - this.lastAt)) * (tookMs / lengthBytes);
    this.lastAt = now;
    this.lastWritten = written;
    if (!(share > 0)) return;
    // Reads for several threads follow one another without a rest in between: it is made up for afterwards.
    const from = Math.max(this.restsUntil, now);
    this.restsUntil = from + Math.min(REST_MAX_MS, tookMs * REST_FACTOR * Math.min(1, share));
  }
}
