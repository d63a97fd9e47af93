// Mutants of what durable partitions add to src/memory: the journal slot, ledgers, stored positions; see all.mjs.
function journal(file, name, edits, killers, more = {}) {
  return { name: `${file.replace('.ts', '')}: ${name}`, file, edits, killers, ...more };
}

export const JOURNAL = [
  journal('ring-writer.ts', 'readers hold a durable partition too', [[' || isDurable(table, partition);', ';']], [], {
    unit: ['journal'],
  }),
  journal(
    'ring-writer.ts',
    'the store is evicted from a durable partition',
    [['if (!this.evicts || state !== CURSOR_IDLE) return position;', 'if (!this.evicts) return position;']],
    ['journal: the store holds'],
    { quick: true, unit: ['journal'] },
  ),
  journal(
    'ring-reader.ts',
    'readers take the store’s slot',
    [['isDurable(table, partition) ? JOURNAL_SLOT + 1 : 0', '0']],
    ['journal: a deleted'],
    { unit: ['journal'] },
  ),
  journal(
    'ring-reader.ts',
    'the store adopts a slot that it does not have',
    [['if (!hasJournalSlot(table, partition)) return undefined;', '']],
    [],
    { unit: ['journal'] },
  ),
  journal(
    'ring-reader.ts',
    'a successor of the store begins at the newest batch',
    [
      [
        'reader.current = cursor & ~CURSOR_STATE_MASK;',
        'reader.current = Atomics.load(table, reader.entry + RING_TAIL) + (cursor & 0);',
      ],
    ],
    ['journal: the store'],
    { unit: ['journal'] },
  ),
  journal(
    'journal.ts',
    'the slot is opened without a claim',
    [
      [
        'const owner = Atomics.compareExchange(table, entry + SLOT + SLOT_OWNER, 0, SEAT_STORE + 1);',
        'const owner = 0;\n  Atomics.store(table, entry + SLOT + SLOT_OWNER, SEAT_STORE + 1);',
      ],
    ],
    [],
    { unit: ['journal'] },
  ),
  journal(
    'journal.ts',
    'a slot in use is opened from the beginning',
    [['if (Atomics.load(table, entry + PLACE_READY) === 1) return true;', '']],
    [],
    { unit: ['journal'] },
  ),
  journal(
    'journal.ts',
    'the writer does not see the slot',
    [['Atomics.or(table, entry + SLOT_MASK, BIT);', '']],
    ['journal:'],
    { unit: ['journal'] },
  ),
  journal('journal.ts', 'the slot does not hold', [['tail | CURSOR_HOLDING);', 'tail | 1);']], ['journal:'], {
    unit: ['journal'],
  }),
  journal(
    'journal.ts',
    'stored positions of the life before are believed',
    [
      ['Atomics.store(table, entry + STORED_WRITTEN, tail);', ''],
      ['Atomics.store(table, entry + STORED_DURABLE, tail);', ''],
    ],
    [],
    { unit: ['journal'] },
  ),
  journal(
    'journal.ts',
    'I7: the slot of a partition that lives is given up',
    [['if (Atomics.load(table, entry + PARTITION_STATE) !== PARTITION_STATES.deleted) return false;', '']],
    ['journal: a deleted'],
    { quick: true, unit: ['journal'] },
  ),
  journal(
    'journal.ts',
    'the slot is free before the writer stops looking at it',
    [
      ['  Atomics.and(table, entry + SLOT_MASK, ~BIT);\n', ''],
      [
        'Atomics.store(table, entry + SLOT + SLOT_OWNER, 0);',
        'Atomics.store(table, entry + SLOT + SLOT_OWNER, 0);\n  Atomics.and(table, entry + SLOT_MASK, ~BIT);',
      ],
    ],
    ['journal: a deleted'],
  ),
  journal(
    'journal.ts',
    'the store is told again and again',
    [['return Atomics.compareExchange(table, word, 0, 1) === 0;', 'return true;']],
    [],
    { unit: ['journal'] },
  ),
  journal(
    'ledger.ts',
    'a successor finds nothing of what waits',
    [['Atomics.store(this.words, this.control + LEDGER_TAIL, this.tail);', '']],
    ['acks:'],
    { unit: ['ledger'] },
  ),
  journal(
    'ledger.ts',
    'I2: what was answered is not given back',
    [['Atomics.store(this.words, this.control + LEDGER_HEAD, this.head);', '']],
    ['acks: a worker dies'],
    { unit: ['ledger'] },
  ),
  journal(
    'ledger.ts',
    'I1: an entry is shown when it is begun',
    [
      [
        'const at = this.wordOf(this.tail);\n',
        `const at = this.wordOf(this.tail);
    Atomics.store(this.words, this.control + LEDGER_TAIL, (this.tail + 1) | 0);
`,
      ],
    ],
    ['acks: a worker dies'],
    { quick: true, unit: ['ledger'] },
  ),
  journal(
    'ledger.ts',
    'I3: a popped entry is used again before its HEAD is stored',
    [['((this.tail - this.released) | 0) < this.entries', '((this.tail - this.head) | 0) < this.entries']],
    [],
    { unit: ['ledger'] },
  ),
  journal(
    'lane.ts',
    'room is what was known of it',
    [
      [
        `if (this.capacity - ((this.tail - this.headCache) | 0) >= lengthBytes) return true;
    this.headCache = Atomics.load(this.words, this.headWord);`,
        'if (this.capacity - ((this.tail - this.headCache) | 0) >= lengthBytes) return true;',
      ],
    ],
    [],
    { unit: ['lane'] },
  ),
  journal(
    'partition-entry.ts',
    'the stored position is moved by a plain store',
    [
      [
        'Atomics.store(table, partition * PARTITION_ENTRY_WORDS + word, position);',
        'table[partition * PARTITION_ENTRY_WORDS + word] = position;',
      ],
    ],
    ['acks:'],
  ),
];
