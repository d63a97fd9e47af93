// Wide numbers: counts up to 2^53 in two int32 words (low, then high), read without a lock.
//
// Who writes: one thread. Who reads: anybody.
// I1  The high word changes before and after the low word does: first to the complement of its new value (negative:
//     "being raised to"), at last to the new value. A reader takes high, low, high again and repeats if high moved;
//     where high is negative it answers the round number that is being passed. Low words of two spans never mix, the
//     answers never fall, and a writer that dies in between stops nobody.
const TWO_32 = 4_294_967_296;

/** Shows a new value, at least as large as the one before. */
export function storeWide(words: Int32Array, word: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  const carries = Atomics.load(words, word + 1) !== high;
  if (carries) Atomics.store(words, word + 1, ~high); // CLAIM both words -> readWide()
  Atomics.store(words, word, value | 0);
  if (carries) Atomics.store(words, word + 1, high); // PUBLISH: low word -> readWide()
}

/** The value that was stored last, or one between it and the one before. */
export function readWide(words: Int32Array, word: number): number {
  // Repeats only if 2^32 was passed meanwhile.
  for (;;) {
    const high = Atomics.load(words, word + 1); // OBSERVE: storeWide()
    const low = Atomics.load(words, word) >>> 0;
    if (high !== Atomics.load(words, word + 1)) continue;
    return high < 0 ? ~high * TWO_32 : high * TWO_32 + low;
  }
}
