// Ring positions are int32: after 2 GiB through one ring they are negative, after 4 GiB they begin again.
import { expect, test } from 'vitest';
import {
  CURSOR_HOLDING,
  JOURNAL_SLOT,
  PARTITION_ENTRY_WORDS,
  RING_HEAD,
  RING_TAIL,
  SLOT_BASE,
  SLOT_CURSOR,
  SLOT_STRIDE,
  STORED_DURABLE,
  STORED_WRITTEN,
} from '../../../native-layout/partition-table.ts';
import { storedPosition } from '../../../src/memory/partition-entry.ts';
import { batchOf, RING } from '../../support/engine-table.ts';
import { LEVEL, StoreRig } from './rig.ts';

const CURSOR = SLOT_BASE + JOURNAL_SLOT * SLOT_STRIDE + SLOT_CURSOR;

/** A partition whose ring has seen this many bytes, with the threads that took over there. */
function rigAt(position: number, mode: 'direct' | 'buffered'): StoreRig {
  const rig = new StoreRig({ mode });
  const { table } = rig.regions;
  rig.table.activateDurable(1);
  rig.publisher.send(batchOf(1, [], { ack: LEVEL.none }));
  rig.settle();
  const entry = PARTITION_ENTRY_WORDS;
  for (const word of [RING_TAIL, RING_HEAD, STORED_WRITTEN, STORED_DURABLE]) {
    Atomics.store(table, entry + word, position);
  }
  Atomics.store(table, entry + CURSOR, position | CURSOR_HOLDING);
  rig.succeedBroker();
  rig.startStore();
  return rig;
}

test.each([
  ['2 GiB', 'direct', (2 ** 31 - 2 * RING) | 0],
  ['2 GiB', 'buffered', (2 ** 31 - 2 * RING) | 0],
  ['4 GiB', 'direct', -2 * RING],
] as const)('acks come, and nothing is lost or doubled, around %s (%s)', (_, mode, position) => {
  const rig = rigAt(position, mode);
  const expected: string[] = [];
  for (let i = 0; i < 60; i++) {
    const request = rig.send(1, ['x'.repeat(1_000 + ((i * 331) % 2_000))], i % 2 === 0 ? LEVEL.durable : LEVEL.written);
    expected.push(`${request}:ok@${i}`);
    rig.append();
    expect(rig.answers()).toEqual([]);
    if (i % 20 === 10) rig.startStore();
    if (i % 20 === 15) rig.succeedBroker();
    rig.settle();
    expect(rig.answers()).toEqual([expected[i]]);
  }
  const at = storedPosition(rig.regions.table, 1, 'durable');
  expect((at - position) | 0).toBeGreaterThan(4 * RING);
  expect(at < 0).toBe(position > 0);
  expect(rig.ends(rig.disk.crash(1))).toEqual({ 1: 60 });
});
