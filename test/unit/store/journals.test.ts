import { expect, test } from 'vitest';
import { BlockBuilder } from '../../../src/log/block-builder.ts';
import { ArenaSet } from '../../../src/memory/arena.ts';
import { type JournaledPartition, STAGE } from '../../../src/store/journaled-partition.ts';
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

test('no second notice comes while a partition is in the list, and what comes meanwhile is found without one', () => {
  const rig = new StoreRig();
  rig.table.activateDurable(1);
  const { regions, table } = rig;
  const { arenas, bells } = table;
  const journals = new Journals({ regions, arenas, bells, logNext: () => 0, hear: () => {}, wantArenas: () => {} });
  const send = (body: string): void => {
    rig.send(1, [body]);
    rig.append();
  };
  const commit = (one: JournaledPartition): void => {
    // No more than one batch.
    expect(one.stage(new BlockBuilder(), 0)).toBe(STAGE.staged);
    one.listed = false;
    one.written(one.position);
  };
  send('a');
  journals.take();
  const [partition] = journals.dirty.splice(0);
  commit(partition);
  journals.requeue(partition);
  expect(journals.dirty.length).toBe(0);
  send('b');
  expect(journals.take()).toBe(1);
  send('c');
  expect(journals.take()).toBe(0);
  journals.dirty.length = 0;
  commit(partition);
  journals.requeue(partition);
  expect(journals.dirty.map((one) => one.id)).toEqual([1]);
  commit(partition);
  // It looks, and something comes before the next notice is allowed.
  expect(partition.stage(new BlockBuilder(), 0)).toBe(STAGE.nothing);
  send('d');
  expect(journals.hasMore(partition)).toBe(true);
});
