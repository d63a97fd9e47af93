// Mutants of the smaller files of src/memory; see all.mjs.
const RING_SWAP = 'Atomics.compareExchange(this.words, bell, PARKED, AWAKE) === PARKED';

function other(file, name, edits, killers, more = {}) {
  return { name: `${file.replace('.ts', '')}: ${name}`, file, edits, killers, ...more };
}

export const OTHERS = [
  other('bell.ts', 'rung without a swap', [[RING_SWAP, 'Atomics.load(this.words, bell) === PARKED']], ['bell:'], {
    quick: true,
  }),
  other('bell.ts', 'swapped but not rung', [['Atomics.notify(this.words, bell);\n    }', '}']], ['bell:']),
  other(
    'bell.ts',
    'one of several waiters is woken',
    [['Atomics.notify(this.words, bell);\n    }', 'Atomics.notify(this.words, bell, 1);\n    }']],
    ['bell:'],
  ),
  other(
    'bell.ts',
    'parked by a plain store',
    [['Atomics.store(this.words, this.bell, PARKED);', 'this.words[this.bell] = PARKED;']],
    ['bell:'],
  ),
  other('bell.ts', 'not parked', [['Atomics.store(this.words, this.bell, PARKED);', '']], ['bell:'], {
    unit: ['bell'],
  }),
  other(
    'bell.ts',
    'still parked after a timeout',
    [
      [
        'Atomics.wait(this.words, this.bell, PARKED, timeoutMs);\n    Atomics.store(this.words, this.bell, AWAKE);',
        'Atomics.wait(this.words, this.bell, PARKED, timeoutMs);',
      ],
    ],
    [],
    { unit: ['bell'] },
  ),
  other(
    'bell.ts',
    'the dead are not made up for',
    [
      [
        'Atomics.store(this.words, bell, AWAKE); // WAKE -> Doorbell.park()\n    Atomics.notify(this.words, bell);',
        'this.ring(seat);',
      ],
    ],
    ['flow: a reader dies'],
    { unit: ['bell'] },
  ),
  other(
    'notice.ts',
    'TAIL is published by a plain store',
    [['Atomics.store(this.words, this.tailWord, this.tail);', 'this.words[this.tailWord] = this.tail;']],
    ['notice:'],
  ),
  other(
    'notice.ts',
    'TAIL is published before the entry is written',
    [
      [
        'this.words[this.data + (this.tail & this.mask)] = partition;',
        `Atomics.store(this.words, this.tailWord, (this.tail + 1) | 0);
    this.words[this.data + (this.tail & this.mask)] = partition;`,
      ],
    ],
    ['notice:'],
  ),
  other(
    'notice.ts',
    'an entry is given back before it is read',
    [
      [
        'const partition = this.words[this.data + (this.head & this.mask)];\n    this.head = (this.head + 1) | 0;',
        'this.head = (this.head + 1) | 0;',
      ],
      ['return partition;', 'return this.words[this.data + ((this.head - 1) & this.mask)];'],
    ],
    ['notice:'],
  ),
  other(
    'notice.ts',
    'a full ring is overwritten',
    [["<= this.mask, 'notice ring full: I1 is broken'", "<= 1e9, 'notice ring full: I1 is broken'"]],
    ['notice:'],
    { unit: ['notice'] },
  ),
  other(
    'wide.ts',
    'the high word is not marked while it changes',
    [['if (carries) Atomics.store(words, word + 1, ~high);', 'if (carries) Atomics.store(words, word + 1, high);']],
    ['words:'],
  ),
  other(
    'wide.ts',
    'the high word is not looked at again',
    [['if (high !== Atomics.load(words, word + 1)) continue;', '']],
    ['words:'],
  ),
  other(
    'partition-entry.ts',
    'an identity is read once',
    [['return Atomics.load(table, entry + PARTITION_EPOCH) === epoch ? identity : undefined;', 'return identity;']],
    ['words: identity'],
  ),
  other(
    'partition-entry.ts',
    'a place is read once',
    [['return Atomics.load(table, entry + PARTITION_EPOCH) === epoch ? place : undefined;', 'return place;']],
    ['words: identity'],
  ),
  other(
    'partition-entry.ts',
    'a place is ready before it is written',
    [
      [
        'Atomics.store(table, entry + PLACE_ARENA, arena);',
        'Atomics.store(table, entry + PLACE_READY, 1);\n  Atomics.store(table, entry + PLACE_ARENA, arena);',
      ],
    ],
    ['words: identity'],
  ),
  other(
    'partition-entry.ts',
    'an entry is active before it is written',
    [
      [
        'Atomics.store(table, entry + PARTITION_TOPIC, identity.topic);',
        `Atomics.store(table, entry + PARTITION_STATE, PARTITION_STATES.active);
  Atomics.store(table, entry + PARTITION_TOPIC, identity.topic);`,
      ],
    ],
    ['words: identity'],
  ),
  other(
    'partition-entry.ts',
    'a reader that is out does not hold its ring',
    [['if (Atomics.load(table, entry + SLOT_BASE + slot * SLOT_STRIDE + SLOT_OWNER) !== 0) return false;', '']],
    ['ring: no reader opens'],
  ),
  other(
    'seats.ts',
    'taken without a swap',
    [
      [
        'Atomics.compareExchange(control, word + SEAT_STATE, SEAT_STATES.free, SEAT_STATES.taken) === SEAT_STATES.free',
        `Atomics.load(control, word + SEAT_STATE) === SEAT_STATES.free &&
      Atomics.store(control, word + SEAT_STATE, SEAT_STATES.taken) >= 0`,
      ],
    ],
    ['words: seats'],
  ),
  other(
    'seats.ts',
    'given back before it is cleared',
    [
      [
        'Atomics.store(control, word + SEAT_ROLE, SEAT_ROLES.none);',
        `Atomics.store(control, word + SEAT_STATE, SEAT_STATES.free);
  Atomics.store(control, word + SEAT_ROLE, SEAT_ROLES.none);`,
      ],
    ],
    ['words: seats'],
  ),
  other('arena.ts', 'freed blocks are not joined', [['this.joinAt(index - 1);', '']], [], { unit: ['arena'] }),
  other(
    'arena.ts',
    'a block is reserved with one byte too few behind it',
    [['length: gap.byte + gap.length - byte - lengthBytes', 'length: gap.byte + gap.length - byte']],
    [],
    { unit: ['arena'] },
  ),
  other(
    'regions.ts',
    'notices lie over the lane back',
    [
      [
        'byte: back.byte + LANE_CONTROL_BYTES + back.capacity, capacity: noticeBytes(sizes)',
        'byte: back.byte + LANE_CONTROL_BYTES, capacity: noticeBytes(sizes)',
      ],
    ],
    [],
    { unit: ['regions'] },
  ),
];
