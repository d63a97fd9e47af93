// Which messages of a bucket are over (fired or recalled), as a bitmap by their number in the bucket: an eighth of a
// byte a message. In the journal it is pairs [from, to), flat and ascending.

const BITS = 32;

export class OrdinalSet {
  /** How many are in it. */
  size = 0;
  private words = new Int32Array(0);

  /** HOT */
  has(ordinal: number): boolean {
    const word = ordinal >>> 5;
    return word < this.words.length && (this.words[word] & (1 << (ordinal & 31))) !== 0;
  }

  /** False if it was in it already. HOT */
  add(ordinal: number): boolean {
    const word = ordinal >>> 5;
    if (word >= this.words.length) this.grow(word + 1);
    const bit = 1 << (ordinal & 31);
    if ((this.words[word] & bit) !== 0) return false;
    this.words[word] |= bit;
    this.size++;
    return true;
  }

  addPairs(pairs: readonly number[]): void {
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      for (let ordinal = pairs[i]; ordinal < pairs[i + 1]; ordinal++) this.add(ordinal);
    }
  }

  /** Takes out everything from `length` on. False if there was nothing. */
  truncate(length: number): boolean {
    const before = this.size;
    for (let ordinal = length; ordinal < this.words.length * BITS; ordinal++) {
      const word = ordinal >>> 5;
      if (this.words[word] === 0) {
        ordinal |= BITS - 1;
      } else if (this.has(ordinal)) {
        this.words[word] &= ~(1 << (ordinal & 31));
        this.size--;
      }
    }
    return this.size < before;
  }

  /** Pairs [from, to) of everything that is in it, in pieces of at most `most` numbers. */
  *pairs(most: number): Generator<number[]> {
    let piece: number[] = [];
    let from = -1;
    for (let ordinal = 0; ordinal <= this.words.length * BITS; ordinal++) {
      // Whole words at a time where nothing changes.
      if ((ordinal & 31) === 0 && this.words[ordinal >>> 5] === (from < 0 ? 0 : -1)) {
        ordinal += BITS - 1;
        continue;
      }
      if (this.has(ordinal) === from >= 0) continue;
      if (from < 0) from = ordinal;
      else {
        piece.push(from, ordinal);
        from = -1;
        if (piece.length >= most) {
          yield piece;
          piece = [];
        }
      }
    }
    if (piece.length > 0) yield piece;
  }

  private grow(wordsMin: number): void {
    const words = new Int32Array(Math.max(wordsMin, this.words.length * 2, 16));
    words.set(this.words);
    this.words = words;
  }
}

/** Numbers in an order that matters, as runs [from, to) that follow each other. */
export function toRuns(ordinals: ArrayLike<number>): number[] {
  const runs: number[] = [];
  for (let i = 0; i < ordinals.length; i++) {
    const ordinal = ordinals[i];
    if (runs.length > 0 && runs[runs.length - 1] === ordinal) runs[runs.length - 1] = ordinal + 1;
    else runs.push(ordinal, ordinal + 1);
  }
  return runs;
}

/** The numbers that runs stand for, in their order. */
export function fromRuns(runs: readonly number[]): number[] {
  const ordinals: number[] = [];
  for (let i = 0; i + 1 < runs.length; i += 2) {
    for (let ordinal = runs[i]; ordinal < runs[i + 1]; ordinal++) ordinals.push(ordinal);
  }
  return ordinals;
}
