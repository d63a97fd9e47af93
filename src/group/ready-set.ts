// Offsets of a window that wait to be handed on, lowest first: one bit each, in a ring that the window makes larger.

export class ReadySet {
  count = 0;
  private readonly words: Int32Array;
  private readonly mask: number;
  /** No offset of the set is lower. */
  private least = Number.POSITIVE_INFINITY;

  /** `slots`: a power of two, at least 32. The set's offsets never lie further apart than that. */
  constructor(slots: number) {
    this.words = new Int32Array(slots >> 5);
    this.mask = slots - 1;
  }

  /** An offset that is not in the set. HOT */
  add(offset: number): void {
    const slot = offset & this.mask;
    this.words[slot >> 5] |= 1 << (slot & 31);
    if (offset < this.least) this.least = offset;
    this.count++;
  }

  /** An offset that is in the set. HOT */
  delete(offset: number): void {
    const slot = offset & this.mask;
    this.words[slot >> 5] &= ~(1 << (slot & 31));
    this.count--;
    if (this.count === 0) this.least = Number.POSITIVE_INFINITY;
  }

  /** The lowest offset before `end`; -1 if there is none. HOT */
  first(end: number): number {
    if (this.count === 0) return -1;
    let offset = this.least;
    while (offset < end) {
      const slot = offset & this.mask;
      const bit = slot & 31;
      const word = this.words[slot >> 5] & (-1 << bit);
      if (word !== 0) {
        const found = offset - bit + (31 - Math.clz32(word & -word));
        this.least = found;
        return found < end ? found : -1;
      }
      offset += 32 - bit;
    }
    this.least = Math.max(this.least, end);
    return -1;
  }
}
