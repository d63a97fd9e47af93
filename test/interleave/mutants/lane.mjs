// Mutants of src/memory/lane.ts; see all.mjs.
const LOAD_HEAD = 'this.headCache = Atomics.load(this.words, this.headWord); // OBSERVE: LaneReader.release()';

function lane(name, from, to, more = {}) {
  return { name: `lane: ${name}`, file: 'lane.ts', edits: [[from, to]], killers: ['lane:'], ...more };
}

export const LANE = [
  lane(
    'TAIL is published by a plain store',
    'Atomics.store(this.words, this.tailWord, this.tail);',
    'this.words[this.tailWord] = this.tail;',
    { quick: true },
  ),
  lane(
    'HEAD is published by a plain store',
    'Atomics.store(this.words, this.headWord, this.head);',
    'this.words[this.headWord] = this.head;',
  ),
  lane(
    'TAIL is loaded plainly',
    'this.tailCache = Atomics.load(this.words, this.tailWord);',
    'this.tailCache = this.words[this.tailWord];',
  ),
  lane('HEAD is loaded plainly', `${LOAD_HEAD}\n      if`, 'this.headCache = this.words[this.headWord];\n      if'),
  lane(
    'TAIL is published by the claim',
    'return this.data + (this.tail & this.mask);\n',
    `Atomics.store(this.words, this.tailWord, (this.tail + lengthBytes) | 0);
    return this.data + (this.tail & this.mask);
`,
  ),
  lane('a full lane is not FULL', 'if (this.capacity - ((this.tail - this.headCache) | 0) < needed) return FULL;', ''),
  lane('the skipped end is not counted', 'const needed = skipped + lengthBytes;', 'const needed = lengthBytes;'),
  lane('no wrap mark', 'this.words[(this.data + index) >> 2] = LANE_WRAP;', ''),
  lane('frames straddle the wrap', 'const skipped = lengthBytes > toEnd ? toEnd : 0;', 'const skipped = 0;'),
  lane(
    'the free room ignores the wrap of the count',
    'if (this.capacity - ((this.tail - this.headCache) | 0) < needed) {',
    'if (this.capacity - (this.tail - this.headCache) < needed) {',
  ),
  lane(
    'the consumer ignores the wrap of the count',
    'this.head = (this.head + this.frameLength) | 0;',
    'this.head = this.head + this.frameLength;',
  ),
  lane(
    'bytes are given back when they are looked at',
    'this.frameLength = length;',
    'this.frameLength = length;\n        Atomics.store(this.words, this.headWord, (this.head + length) | 0);',
  ),
  lane(
    'a consumer trusts any length',
    "assert(length > 0 && (length & 7) === 0 && index + length <= this.capacity, 'lane: broken frame length');",
    '',
    { killers: [], unit: ['lane'] },
  ),
];
