// What the threads of the stress tests send: a frame or batch whose length and every word follow from its sequence.
/** Words before the payload: length, magic, producer, sequence. */
const BATCH_HEADER_WORDS = 4;

/** Seeded numbers, 0 to below 2^32 (xorshift32). */
export function randomOf(seed) {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function wordOf(producer, sequence, at) {
  return (Math.imul(sequence + 1, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b) ^ producer) | 0;
}

/** Bytes of a frame or batch: a multiple of eight from 32 to `most`. */
export function lengthOf(sequence, most) {
  return 32 + ((Math.imul(sequence, 0x9e3779b1) >>> 16) % ((most - 32) / 8 + 1)) * 8;
}

/** Fills `length` bytes at word `at`: [length, magic, producer, sequence, words ..., checksum]. */
export function write(words, at, length, magic, producer, sequence) {
  const end = at + length / 4 - 1;
  let sum = producer ^ sequence;
  words[at] = length;
  words[at + 1] = magic;
  words[at + 2] = producer;
  words[at + 3] = sequence;
  for (let i = at + BATCH_HEADER_WORDS; i < end; i++) {
    const value = wordOf(producer, sequence, i - at);
    words[i] = value;
    sum = (sum + value) | 0;
  }
  words[end] = sum;
}

/** Checks what write() wrote; returns its sequence. Throws on anything else. */
export function verify(words, at, length, magic, producer, most) {
  const sequence = words[at + 3];
  demand(words[at] === length && words[at + 1] === magic && words[at + 2] === producer, 'a broken header');
  demand(length === lengthOf(sequence, most), `batch ${sequence} of ${length} bytes should have another length`);
  const end = at + length / 4 - 1;
  let sum = producer ^ sequence;
  for (let i = at + BATCH_HEADER_WORDS; i < end; i++) {
    demand(words[i] === wordOf(producer, sequence, i - at), `word ${i - at} of batch ${sequence} is foreign`);
    sum = (sum + words[i]) | 0;
  }
  demand(words[end] === sum, `batch ${sequence} has a wrong checksum`);
  return sequence;
}

export function demand(condition, what) {
  if (!condition) throw new Error(what);
}
