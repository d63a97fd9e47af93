// Something that one thread of a process does and no other, its successors included.
//
// Who writes: the first thread that comes; who reads: all of them. Whoever starts them holds the word.

/** A word that nobody has claimed. */
export function unclaimed(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** True for the first caller of all threads, and never again. */
export function tryClaim(word: Int32Array): boolean {
  // CLAIM: nothing else is handed over.
  return Atomics.exchange(word, 0, 1) === 0;
}
