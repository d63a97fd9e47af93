// 53-bit numbers in int64 fields, without BigInt (which allocates).

const TWO_32 = 4_294_967_296;

/** Writes a safe integer as int64 at a word index. HOT */
export function putInt64(words: Int32Array, index: number, value: number): void {
  words[index] = value | 0;
  words[index + 1] = Math.floor(value / TWO_32);
}

/** Reads an int64 that is known to be a safe integer. HOT */
export function getInt64(words: Int32Array, index: number): number {
  return words[index + 1] * TWO_32 + (words[index] >>> 0);
}
