import { expect, test } from 'vitest';
import { HalfReader, halfBody, halvesOf } from '../../../src/transaction/half-message.ts';
import { OPS_MAX, opBody, opsOf } from '../../../src/transaction/op-message.ts';
import { payloadOf } from '../../support/move-world.ts';

const OFFSETS = [0, 1, 4_294_967_296, Number.MAX_SAFE_INTEGER];

test('says which half messages it commits', () => {
  expect(opsOf(opBody(7, OFFSETS), 7)).toEqual(OFFSETS);
  const most = Array.from({ length: OPS_MAX }, (_, i) => i * 3);
  expect(opsOf(opBody(7, most), 7)).toEqual(most);
  expect(opBody(7, most).length).toBeLessThan(4_096);
});

test('those of a topic mean nothing in another one of its name', () => {
  expect(opsOf(opBody(7, OFFSETS), 8)).toBeUndefined();
});

test('whatever bit is flipped, wherever it is torn: it is none', () => {
  const body = opBody(7, OFFSETS);
  for (let bit = 0; bit < 8 * body.length; bit++) {
    const damaged = body.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    expect(opsOf(damaged, 7), `bit ${bit}`).toBeUndefined();
  }
  for (let length = 0; length < body.length; length++) expect(opsOf(body.subarray(0, length), 7)).toBeUndefined();
});

test('is no half message, and a half message is no op message', () => {
  const reader = new HalfReader();
  expect(reader.read(opBody(7, OFFSETS))).toBeUndefined();
  for (const ops of [true, false]) {
    const [half] = halvesOf('orders', 'g', payloadOf(['one']), 1_000);
    const body = halfBody({ ...half, ops });
    expect(opsOf(body, 7)).toBeUndefined();
    expect(reader.read(body)).toEqual({ ...half, ops });
  }
});
