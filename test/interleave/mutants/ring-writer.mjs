// Mutants of src/memory/ring-writer.ts; see all.mjs.
const PUBLISH_HEAD =
  'Atomics.store(this.table, this.entry + RING_HEAD, head); // CLAIM the bytes before it -> RingReader.join()';
const SWAP_EVICTED =
  'if (Atomics.compareExchange(this.table, cursorWord, cursor, head | CURSOR_EVICTED) === cursor) return head;';

function writer(name, edits, killers = ['ring:', 'flow:'], more = {}) {
  return { name: `ring writer: ${name}`, file: 'ring-writer.ts', edits, killers, ...more };
}

export const WRITER = [
  writer(
    'TAIL is published by a plain store',
    [
      [
        'Atomics.store(this.table, this.entry + RING_TAIL, this.tail);',
        'this.table[this.entry + RING_TAIL] = this.tail;',
      ],
    ],
    ['ring:'],
    { quick: true },
  ),
  writer('HEAD is published by a plain store', [[PUBLISH_HEAD, 'this.table[this.entry + RING_HEAD] = head;']]),
  writer(
    'HEAD is published after the slots were looked at',
    [
      [PUBLISH_HEAD, ''],
      ['this.free = free;', 'this.free = free;\n    Atomics.store(this.table, this.entry + RING_HEAD, head);'],
    ],
    ['ring:'],
    { quick: true },
  ),
  writer('HEAD is not published', [[PUBLISH_HEAD, '']]),
  writer('a reader is evicted without a swap', [
    [SWAP_EVICTED, 'Atomics.store(this.table, cursorWord, head | CURSOR_EVICTED);\n      return head;'],
  ]),
  writer(
    'a pinned reader is evicted',
    [['if (!this.evicts || state !== CURSOR_IDLE) return position;', 'if (!this.evicts) return position;']],
    ['ring:'],
    { quick: true },
  ),
  writer(
    'an idle reader is evicted under block',
    [['if (!this.evicts || state !== CURSOR_IDLE)', 'if (state !== CURSOR_IDLE)']],
    ['flow:'],
  ),
  writer('a slot does not gate', [
    [
      'if (!this.evicts || state !== CURSOR_IDLE) return position;',
      'if (!this.evicts || state !== CURSOR_IDLE) return head;',
    ],
  ]),
  writer('slots are not looked at', [['const gate = this.gateOf(', 'const gate = head || this.gateOf(']]),
  writer(
    'only the first slot is looked at',
    [['if (((gate - free) | 0) < 0) free = gate;', 'if (((gate - free) | 0) < 0) free = gate;\n      mask = 0;']],
    ['ring: two readers'],
    { unit: ['ring-writer'] },
  ),
  writer('gates are compared without the wrap', [
    ['if (((gate - free) | 0) < 0) free = gate;', 'if (gate < free) free = gate;'],
  ]),
  writer('a full ring is not FULL', [
    ['this.place.capacity && !this.tryFree(end)) return FULL;', 'this.place.capacity) this.tryFree(end);'],
  ]),
  writer(
    'a successor takes HEAD for free',
    [['this.free = (this.tail - place.capacity) | 0;', 'this.free = this.head;']],
    ['ring: the writer dies'],
    { quick: true },
  ),
  writer('batches straddle the wrap', [['const padding = lengthBytes > toEnd ? toEnd : 0;', 'const padding = 0;']]),
  writer('padding is not marked', [['this.place.words[word + 1] = MAGIC_WORD_PADDING;', '']]),
  writer('padding is not counted', [
    ['const end = (this.tail + padding + lengthBytes) | 0;', 'const end = (this.tail + lengthBytes) | 0;'],
  ]),
  writer('HEAD passes what is not published', [['if (((next - this.published) | 0) >= 0) break;', '']], [], {
    unit: ['ring-writer'],
  }),
  writer('batches are published by the claim', [
    [
      'return this.place.byte + (this.tail & this.mask);',
      `Atomics.store(this.table, this.entry + RING_TAIL, (this.tail + lengthBytes) | 0);
    return this.place.byte + (this.tail & this.mask);`,
    ],
  ]),
  writer(
    'readers are noticed again while a notice is under way',
    [
      [
        `Atomics.load(this.table, word + SLOT_NOTICED) === 0 &&
        Atomics.compareExchange(this.table, word + SLOT_NOTICED, 0, 1) === 0`,
        'Atomics.load(this.table, word + SLOT_NOTICED) >= 0',
      ],
    ],
    ['flow:'],
  ),
  writer(
    'the last slot is not noticed',
    [
      [
        'const slot = 31 - Math.clz32(mask & -mask);\n      mask &= mask - 1;\n      const word',
        'const slot = 30 - Math.clz32(mask & -mask);\n      mask &= mask - 1;\n      const word',
      ],
    ],
    [],
    { unit: ['ring-writer'] },
  ),
  writer('blocked is not shown', [['blocked ? 1 : 0', '0']], ['flow:']),
];
