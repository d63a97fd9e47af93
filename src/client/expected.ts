// Requests that wait for their answers, by number. Numbers are given one after the other and are answered soon: a ring
// of places indexed by number does without hashing and without garbage.
import type { Expecting } from './outlet.ts';

const PLACES_FIRST = 1_024;

export class Expected {
  private last = 0;
  private places: (Expecting | undefined)[] = new Array(PLACES_FIRST).fill(undefined);
  private numbers = new Int32Array(PLACES_FIRST);
  private size = 0;
  /** Those that waited while the numbers came round to their places again. */
  private readonly late = new Map<number, Expecting>();

  /** Requests without an answer. */
  get pending(): number {
    return this.size + this.late.size;
  }

  /** Gives a request its number. HOT */
  add(expecting: Expecting): number {
    this.last = (this.last + 1) | 0;
    if (this.size >= this.places.length >> 1) this.grow();
    this.put(this.last, expecting);
    return this.last;
  }

  /** Who waits for this answer; undefined if nobody does (any more). HOT */
  take(number: number): Expecting | undefined {
    const at = number & (this.places.length - 1);
    const expecting = this.places[at];
    if (expecting !== undefined && this.numbers[at] === number) {
      this.places[at] = undefined;
      this.size--;
      return expecting;
    }
    if (this.late.size === 0) return undefined;
    const late = this.late.get(number);
    this.late.delete(number);
    return late;
  }

  private put(number: number, expecting: Expecting): void {
    const at = number & (this.places.length - 1);
    const before = this.places[at];
    if (before === undefined) this.size++;
    else this.late.set(this.numbers[at], before);
    this.places[at] = expecting;
    this.numbers[at] = number;
  }

  private grow(): void {
    const { places, numbers } = this;
    this.places = new Array(places.length * 2).fill(undefined);
    this.numbers = new Int32Array(places.length * 2);
    this.size = 0;
    for (let at = 0; at < places.length; at++) {
      const expecting = places[at];
      if (expecting !== undefined) this.put(numbers[at], expecting);
    }
  }
}
