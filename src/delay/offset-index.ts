// Which message of a bucket has which offset in the timer topic: four bytes a message. Offsets ascend; of each the
// lower 32 bits are kept.
const FIRST_CAPACITY = 1_024;
const NONE = -1;

/** Place of an offset among the first `count` of an ascending list; -1: it is not there. */
export function indexOfOffset(offsets: Uint32Array, count: number, offset: number): number {
  const first = offsets[0];
  const wanted = (offset - first) >>> 0;
  let low = 0;
  let high = count - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = (offsets[middle] - first) >>> 0;
    if (found === wanted) return middle;
    if (found < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return NONE;
}

export class OffsetIndex {
  /** Messages that it knows; the number of the next one. */
  count = 0;
  /** Bytes of the bucket's file that they are in. */
  readTo = 0;
  private offsets = new Uint32Array(FIRST_CAPACITY);

  add(offset: number): void {
    if (this.count === this.offsets.length) {
      const larger = new Uint32Array(this.count * 2);
      larger.set(this.offsets);
      this.offsets = larger;
    }
    this.offsets[this.count++] = offset;
  }

  /** Number of the message with this offset; -1: there is none. */
  ordinalAt(offset: number): number {
    return indexOfOffset(this.offsets, this.count, offset);
  }
}
