// Doorbells: how a thread sleeps without missing news and without being rung while awake.
//
// Who writes: the seat's own thread parks (0 -> 1), anybody wakes (1 -> 0). Who reads: everybody.
// I1  A waker publishes its news first and looks at the bell after; a sleeper parks first and looks for news after.
//     Atomics are sequentially consistent, so one of the two always sees the other: no wake-up is lost.
// I2  Only the thread that swapped 1 for 0 notifies: an awake thread costs its wakers one load.
import { CONTROL_HEADER_BYTES, SEAT_BELL, SEAT_WORDS } from '../../native-layout/control.ts';

const HEADER_WORDS = CONTROL_HEADER_BYTES / 4;
const AWAKE = 0;
const PARKED = 1;
const NAP_MS = 0.001;

/** Index of a seat's first word in the control block. */
export function seatWord(seat: number): number {
  return HEADER_WORDS + seat * SEAT_WORDS;
}

/** Rings any seat's bell. One object per thread. */
export class Bells {
  private readonly words: Int32Array;

  constructor(control: Int32Array) {
    this.words = control;
  }

  /**
   * Wakes the seat's thread if it sleeps or is about to. Costs the caller 14-20 us then, and one load otherwise. HOT
   */
  ring(seat: number): void {
    const bell = seatWord(seat) + SEAT_BELL;
    // WAKE -> Doorbell.park()
    if (
      Atomics.load(this.words, bell) === PARKED &&
      Atomics.compareExchange(this.words, bell, PARKED, AWAKE) === PARKED
    ) {
      // All: a promise of waitAsync() that was given up may still stand before the one that counts.
      Atomics.notify(this.words, bell);
    }
  }

  /**
   * Wakes the seat's thread whatever its bell says. For who cleans up after a dead thread: that one may have swapped
   * the bell and died before it notified (or published and died before it rang).
   */
  rouse(seat: number): void {
    const bell = seatWord(seat) + SEAT_BELL;
    Atomics.store(this.words, bell, AWAKE); // WAKE -> Doorbell.park()
    Atomics.notify(this.words, bell);
  }
}

/** The bell of the calling thread's own seat. Order of use: park(), look for news, then wait() or unpark(). */
export class Doorbell {
  private readonly words: Int32Array;
  private readonly bell: number;

  constructor(control: Int32Array, seat: number) {
    this.words = control;
    this.bell = seatWord(seat) + SEAT_BELL;
  }

  /** Says "about to sleep". The caller must look for news after this and before wait(). */
  park(): void {
    Atomics.store(this.words, this.bell, PARKED); // PARK -> Bells.ring()
  }

  /** Takes park() back: there was news. */
  unpark(): void {
    Atomics.store(this.words, this.bell, AWAKE);
  }

  /** Blocks the thread until rung or until the timeout (milliseconds), which is a safety net. After park() only. */
  wait(timeoutMs: number): void {
    Atomics.wait(this.words, this.bell, PARKED, timeoutMs);
    Atomics.store(this.words, this.bell, AWAKE);
  }

  /**
   * Sleeps for the shortest time that the system knows (about 80 us on Linux) without saying so: nobody rings, so it
   * costs the others nothing. For a stage that just did a lot and expects more at once.
   */
  nap(): void {
    Atomics.wait(this.words, this.bell, AWAKE, NAP_MS);
  }

  /**
   * The same for a thread with an event loop. Resolves when rung or timed out; the caller must unpark() then.
   * Does not keep the event loop alive by itself.
   */
  waitAsync(timeoutMs: number): Promise<unknown> | undefined {
    const outcome = Atomics.waitAsync(this.words, this.bell, PARKED, timeoutMs);
    return outcome.async ? outcome.value : undefined;
  }
}
