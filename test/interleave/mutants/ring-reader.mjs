// Mutants of src/memory/ring-reader.ts; see all.mjs.
const SHOW_MASK = 'Atomics.or(this.table, this.entry + SLOT_MASK, 1 << this.slot);';
const HEAD_CHECK = 'const isGone = ((position - Atomics.load(this.table, this.entry + RING_HEAD)) | 0) < 0;';
const STORE_CURSOR = 'Atomics.store(this.table, this.slotWord + SLOT_CURSOR, position | this.idleState);';
const SHOW_SLOT = `${STORE_CURSOR} // PARK -> RingWriter.tryFree()`;
const RELEASE_SLOT = `${STORE_CURSOR} // PUBLISH -> RingWriter.gateOf()`;
const PIN =
  'if (Atomics.compareExchange(this.table, this.slotWord + SLOT_CURSOR, idle, pinned) !== idle) return EVICTED;';

function reader(name, edits, killers = ['ring:', 'flow:'], more = {}) {
  return { name: `ring reader: ${name}`, file: 'ring-reader.ts', edits, killers, ...more };
}

export const READER = [
  reader(
    'released by a plain store',
    [[RELEASE_SLOT, 'this.table[this.slotWord + SLOT_CURSOR] = position | this.idleState;']],
    ['ring:'],
  ),
  reader(
    'pinned without a swap',
    [[PIN, 'Atomics.store(this.table, this.slotWord + SLOT_CURSOR, pinned);']],
    ['ring:'],
    { quick: true },
  ),
  reader(
    'not pinned at all',
    [[PIN, 'if (Atomics.load(this.table, this.slotWord + SLOT_CURSOR) !== idle) return EVICTED;']],
    ['ring:'],
  ),
  reader(
    'TAIL is loaded plainly',
    [
      [
        'const tail = Atomics.load(this.table, this.entry + RING_TAIL); // OBSERVE: RingWriter.publish()',
        'const tail = this.table[this.entry + RING_TAIL];',
      ],
    ],
    ['ring:'],
  ),
  reader('HEAD is not looked at after joining', [[HEAD_CHECK, 'const isGone = false;']], ['ring:'], { quick: true }),
  reader(
    'HEAD is looked at before the slot is shown',
    [
      [SHOW_SLOT, `${HEAD_CHECK}\n    ${SHOW_SLOT}`],
      [`RingWriter.tryFree() published HEAD before it looked at the slots\n    ${HEAD_CHECK}`, ''],
    ],
    ['ring:'],
  ),
  reader(
    'the bit is set after HEAD was looked at',
    [
      [SHOW_MASK, ''],
      [HEAD_CHECK, `${HEAD_CHECK}\n    ${SHOW_MASK}`],
    ],
    ['ring:'],
  ),
  reader(
    'the bit is set before the cursor',
    [
      [`${SHOW_SLOT}\n    ${SHOW_MASK}`, `${SHOW_MASK}\n    ${HEAD_CHECK}\n    ${SHOW_SLOT}`],
      [`tryFree() published HEAD before it looked at the slots\n    ${HEAD_CHECK}`, ''],
    ],
    ['ring:'],
  ),
  reader('the bit is not set', [[SHOW_MASK, '']], ['ring:']),
  reader(
    'HEAD is compared without the wrap',
    [[HEAD_CHECK, 'const isGone = position < Atomics.load(this.table, this.entry + RING_HEAD);']],
    ['ring:'],
  ),
  reader(
    'TAIL is not looked at after joining',
    [['isGone || ((Atomics.load(this.table, this.entry + RING_TAIL) - position) | 0) < 0', 'isGone']],
    [],
    { unit: ['ring-reader'] },
  ),
  reader('a holding reader is idle', [['o.holds ? CURSOR_HOLDING : CURSOR_IDLE', 'CURSOR_IDLE']], ['ring: a holding']),
  reader(
    'a span runs over the wrap',
    [['return available < toEnd ? available : toEnd;', 'return available;']],
    ['ring:'],
  ),
  reader(
    'padding is not stepped over',
    [['words[word + (BATCH_MAGIC >> 2)] === MAGIC_WORD_PADDING', 'words[word + (BATCH_MAGIC >> 2)] === 0']],
    [],
    { unit: ['ring-reader'] },
  ),
  reader(
    'release does not ring a blocked writer',
    [[`${RELEASE_SLOT}\n    this.ringIfBlocked();`, RELEASE_SLOT]],
    ['flow:'],
    { quick: true },
  ),
  reader(
    'release rings before it has released',
    [[`${RELEASE_SLOT}\n    this.ringIfBlocked();`, `this.ringIfBlocked();\n    ${RELEASE_SLOT}`]],
    ['flow:'],
  ),
  reader(
    'leaving does not ring a blocked writer',
    [['SLOT_CURSOR, CURSOR_FREE);\n    this.ringIfBlocked();', 'SLOT_CURSOR, CURSOR_FREE);']],
    ['flow:'],
    { unit: ['ring-reader'] },
  ),
  reader(
    'the next notice is never allowed',
    [['Atomics.store(this.table, this.slotWord + SLOT_NOTICED, 0);', '']],
    ['flow:'],
    { unit: ['ring-writer'] },
  ),
  reader(
    'a new reader keeps the notice of the one before',
    [['Atomics.store(table, this.slotWord + SLOT_NOTICED, o.noticed === false ? NO_NOTICES : 0);', '']],
    ['flow: a slot changes'],
  ),
  reader(
    'a slot is given back before it is cleared',
    [
      [
        'this.leave();\n    Atomics.store(this.table, this.slotWord + SLOT_OWNER, 0);',
        'Atomics.store(this.table, this.slotWord + SLOT_OWNER, 0);\n    this.leave();',
      ],
    ],
    ['ring: two readers'],
  ),
  reader(
    'a slot is claimed without a swap',
    [
      [
        'if (Atomics.compareExchange(table, owner, 0, o.seat + 1) === 0) {',
        'if (Atomics.load(table, owner) === 0) {\n        Atomics.store(table, owner, o.seat + 1);',
      ],
    ],
    ['ring: two readers'],
  ),
  reader(
    'a slot of a retired partition is taken',
    [['if (o.epoch === undefined || isAlive(table, entry, o.epoch)) {', 'if (o !== undefined) {']],
    ['ring: no reader opens'],
  ),
  reader(
    'the dead keep their cursor',
    [['Atomics.store(table, word + SLOT_CURSOR, CURSOR_FREE);', '']],
    ['flow: a reader dies'],
  ),
  reader('the dead keep their bit', [['Atomics.and(table, entry + SLOT_MASK, ~(1 << slot));', '']], [], {
    unit: ['ring-reader'],
  }),
];
