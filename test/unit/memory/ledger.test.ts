import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  LEDGER_BYTES,
  LEDGER_CONTROL_BYTES,
  LEDGER_ENTRIES,
  LEDGER_ENTRY_WORDS,
  LEDGER_HEAD,
  LEDGER_TAIL,
} from '../../../native-layout/store.ts';
import { AckLedger, WaitingAck } from '../../../src/memory/ledger.ts';

const ENTRIES = 8;
const BYTE = 128;

function memory(position = 0): Int32Array {
  const words = new Int32Array((BYTE + LEDGER_CONTROL_BYTES) / 4 + ENTRIES * LEDGER_ENTRY_WORDS + 4);
  words[BYTE / 4 + LEDGER_TAIL] = words[BYTE / 4 + LEDGER_HEAD] = position;
  return words;
}

function attach(words: Int32Array): AckLedger {
  return new AckLedger(words, BYTE, ENTRIES);
}

function ackOf(number: number): WaitingAck {
  const ack = new WaitingAck();
  const fields = { seat: number & 63, generation: number + 1, request: -1 - number, partition: number + 2, epoch: 5 };
  const rest = { position: number * 8, baseOffset: number * 1_000_003, count: number + 3, status: number & 1 };
  return Object.assign(ack, fields, rest);
}

function take(ledger: AckLedger): WaitingAck | undefined {
  const ack = new WaitingAck();
  if (!ledger.peek(ack)) return undefined;
  ledger.pop();
  return ack;
}

describe.each([0, 0x7ffffffc])('a ledger whose positions start at %i', (start) => {
  test('gives acks back as they came, every field of them', () => {
    const ledger = attach(memory(start));
    for (let n = 0; n < ENTRIES; n++) ledger.push(ackOf(n));
    expect(ledger.size).toBe(ENTRIES);
    const first = new WaitingAck();
    expect(ledger.peek(first)).toBe(true);
    expect(first).toEqual(ackOf(0));
    for (let n = 0; n < ENTRIES; n++) expect(take(ledger)).toEqual(ackOf(n));
    expect(take(ledger)).toBeUndefined();
    expect(ledger.size).toBe(0);
  });

  test('I3: a full one has room again after release, not after pop', () => {
    const ledger = attach(memory(start));
    for (let n = 0; n < ENTRIES; n++) {
      expect(ledger.hasRoom()).toBe(true);
      ledger.push(ackOf(n));
    }
    expect(ledger.hasRoom()).toBe(false);
    take(ledger);
    expect(ledger.hasRoom()).toBe(false);
    ledger.release();
    expect(ledger.hasRoom()).toBe(true);
  });

  test('I1, I2: a successor finds what was published and not released, and nothing else', () => {
    const words = memory(start);
    const dead = attach(words);
    for (let n = 0; n < 4; n++) dead.push(ackOf(n));
    expect(attach(words).size).toBe(0);
    dead.publish();
    take(dead);
    dead.release();
    take(dead);
    dead.push(ackOf(9));
    const heir = attach(words);
    expect(heir.size).toBe(3);
    const seats: number[] = [];
    heir.eachSeat((seat) => seats.push(seat));
    expect(seats).toEqual([1, 2, 3]);
    expect([take(heir), take(heir), take(heir), take(heir)]).toEqual([ackOf(1), ackOf(2), ackOf(3), undefined]);
  });

  test('is a first-in first-out queue over many turns and successors, like an array', () => {
    const step = fc.oneof(fc.constant('push'), fc.constant('pop'), fc.constant('turn'), fc.constant('death'));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const words = memory(start);
        let ledger = attach(words);
        let next = 0;
        let model: number[] = [];
        let shown: number[] = [];
        for (const one of steps) {
          if (one === 'push' && ledger.hasRoom()) {
            ledger.push(ackOf(next));
            model.push(next++);
          } else if (one === 'pop')
            expect(take(ledger)?.count).toBe(model.length > 0 ? (model.shift() as number) + 3 : undefined);
          else if (one === 'turn') {
            ledger.publish();
            ledger.release();
            shown = [...model];
          } else if (one === 'death') {
            ledger = attach(words);
            model = [...shown];
          }
          expect(ledger.size).toBe(model.length);
        }
      }),
    );
  });
});

test('offsets beyond 2^32 and the unknown offset -1 come back', () => {
  for (const baseOffset of [-1, 2 ** 32 - 1, 2 ** 32, 2 ** 52 + 12_345]) {
    const ledger = attach(memory());
    ledger.push(Object.assign(ackOf(1), { baseOffset }));
    expect(take(ledger)?.baseOffset).toBe(baseOffset);
  }
});

test('fills its place and not a word more, and refuses a size that is no power of two', () => {
  const words = memory();
  const ledger = attach(words);
  for (let n = 1; n <= ENTRIES; n++) ledger.push(ackOf(n));
  ledger.publish();
  expect(words.subarray(0, BYTE / 4).every((word) => word === 0)).toBe(true);
  expect(words.subarray(-4).every((word) => word === 0)).toBe(true);
  expect(LEDGER_BYTES).toBe(LEDGER_CONTROL_BYTES + LEDGER_ENTRIES * LEDGER_ENTRY_WORDS * 4);
  expect(() => new AckLedger(words, BYTE, 7)).toThrow('no power of two');
});
