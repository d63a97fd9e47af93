import { expect, test } from 'vitest';
import { ArenaSet } from '../../../src/memory/arena.ts';
import { Journals } from '../../../src/store/journals.ts';
import { StoreRig } from './rig.ts';

test('a ring in a new arena is reached at its first notice', () => {
  const rig = new StoreRig();
  rig.table.activateDurable(1);
  rig.send(1, ['a']);
  rig.append();
  const arenas = new ArenaSet();
  let wanted = 0;
  const { regions, table } = rig;
  // What the worker announced is in this thread's mail and has not been looked at.
  const hear = (): void => {
    for (const id of table.arenaIds) arenas.add(id, table.arenas.get(id)?.bytes.buffer as SharedArrayBuffer);
  };
  const context = { regions, arenas, bells: table.bells, logNext: () => 0, hear, wantArenas: () => wanted++ };
  const journals = new Journals(context);
  expect(journals.take()).toBe(1);
  expect(journals.dirty.map((one) => one.id)).toEqual([1]);
  expect(wanted).toBe(0);
});

test('one in an arena that nobody announced is asked for, and reached once it is known', () => {
  const rig = new StoreRig();
  rig.table.activateDurable(1);
  rig.send(1, ['a']);
  rig.append();
  const arenas = new ArenaSet();
  let wanted = 0;
  const { regions, table } = rig;
  const journals = new Journals({
    regions,
    arenas,
    bells: table.bells,
    logNext: () => 0,
    hear: () => {},
    wantArenas: () => wanted++,
  });
  journals.take();
  expect([journals.dirty.length, journals.idle, wanted]).toEqual([0, false, 1]);
  for (const id of table.arenaIds) arenas.add(id, table.arenas.get(id)?.bytes.buffer as SharedArrayBuffer);
  journals.reach();
  expect(journals.dirty.map((one) => one.id)).toEqual([1]);
});
