import { expect, test } from 'vitest';
import { CODES } from '../../../src/base/codes.ts';
import { placeNumbers, setPartitionState } from '../../../src/memory/partition-entry.ts';
import { RING, Table } from '../../support/engine-table.ts';

const DELETED = 2;

test('a ring is carved at the first look, and the same partition is given afterwards', () => {
  const table = new Table();
  table.activate(1);
  const owned = table.owned();
  const partition = owned.find(1);
  expect(partition?.id).toBe(1);
  expect(owned.find(1)).toBe(partition);
  expect(owned.find(2)).toBeUndefined();
  expect(owned.refusal).toBe(0);
  expect(placeNumbers(table.regions.table, 1)).toMatchObject({ byte: 0, capacity: RING });
});

test('a full arena is followed by another one, until no more is given', () => {
  const table = new Table();
  table.arenasMax = 2;
  for (let id = 0; id < 9; id++) table.activate(id);
  const owned = table.owned();
  for (let id = 0; id < 8; id++) expect(owned.find(id)?.id).toBe(id);
  expect(table.arenaIds).toHaveLength(2);
  expect(owned.find(8)).toBeUndefined();
  expect(owned.refusal).toBe(CODES['memory-quota'].number);
});

test('ring memory beyond the quota is refused with its own code, and freed memory is used again', () => {
  const table = new Table();
  for (let id = 0; id < 3; id++) table.activate(id);
  const owned = table.owned(2 * RING);
  expect(owned.find(0)).toBeDefined();
  expect(owned.find(1)).toBeDefined();
  expect(owned.find(2)).toBeUndefined();
  expect(owned.refusal).toBe(CODES['memory-quota'].number);
  const { byte } = placeNumbers(table.regions.table, 0) as { byte: number };
  setPartitionState(table.regions.table, 0, DELETED);
  owned.refresh();
  owned.retireDeleted();
  expect(owned.find(2)?.id).toBe(2);
  expect(placeNumbers(table.regions.table, 2)?.byte).toBe(byte);
});

test('the ring of a deleted partition is kept while somebody reads it, and its number lives again afterwards', () => {
  const table = new Table();
  table.activate(1);
  const owned = table.owned();
  owned.find(1);
  const reader = table.reader(1);
  reader.joinHead();
  setPartitionState(table.regions.table, 1, DELETED);
  owned.refresh();
  owned.retireDeleted();
  expect(owned.find(1)).toBeUndefined();
  expect(placeNumbers(table.regions.table, 1)).toBeDefined();
  reader.close();
  owned.retireDeleted();
  expect(placeNumbers(table.regions.table, 1)).toBeUndefined();
  table.activate(1, 'block', 2);
  expect(owned.find(1)?.identity.epoch).toBe(2);
  expect(owned.find(1)?.nextOffset).toBe(0);
});

test('a successor finds every ring again, carves no second time from what is in use, and returns deleted ones', () => {
  const table = new Table();
  for (let id = 0; id < 3; id++) table.activate(id);
  const predecessor = table.owned();
  for (let id = 0; id < 3; id++) predecessor.find(id);
  const places = [0, 1, 2].map((id) => placeNumbers(table.regions.table, id));
  setPartitionState(table.regions.table, 1, DELETED);
  const successor = table.owned();
  expect(successor.recoverAll().map((one) => one.id)).toEqual([0, 2]);
  expect([0, 2].map((id) => placeNumbers(table.regions.table, id))).toEqual([places[0], places[2]]);
  table.activate(3);
  successor.find(3);
  expect(placeNumbers(table.regions.table, 3)?.byte).toBe(3 * RING);
  successor.retireDeleted();
  table.activate(4);
  successor.find(4);
  expect(placeNumbers(table.regions.table, 4)?.byte).toBe(places[1]?.byte);
});
