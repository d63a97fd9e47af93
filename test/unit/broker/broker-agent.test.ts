import { describe, expect, test } from 'vitest';
import { BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { CONTROL_STATES, SEAT_STATES } from '../../../native-layout/control.ts';
import { COUNTER, readCounter } from '../../../src/memory/counters.ts';
import { setPartitionState } from '../../../src/memory/partition-entry.ts';
import { burySeat, openLanes, seatState, setBrokerState } from '../../../src/memory/seats.ts';
import { openRequest } from '../../../src/partition/join.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { batchOf, Table, textsIn, WORKER } from '../../support/engine-table.ts';

const ID = 2;
const KILOBYTE = 'x'.repeat(1_000);

function rig(overflow: 'block' | 'drop-oldest' | 'reject' = 'block') {
  const table = new Table();
  table.activate(ID, overflow);
  const agent = table.agent();
  const publisher = table.publisher();
  return { table, agent, publisher };
}

/** The request that a reader sends for a ring that is not there yet. */
function openBatch(id: number, request: number): BatchBuilder {
  const builder = new BatchBuilder(BATCH_HEADER_BYTES);
  const history = { nextOffset: 0, oldestOffset: 0, epochs: [] };
  const route = { id, number: 0, owner: WORKER, epoch: 1, permission: 6, available: true, ...history };
  builder.bytes.set(openRequest(route, request));
  return builder;
}

describe('publishing', () => {
  test('every batch is answered with its offset, in order', () => {
    const { table, agent, publisher } = rig();
    publisher.send(batchOf(ID, ['a', 'b'], { request: 10 }));
    publisher.send(batchOf(ID, ['c'], { request: 11 }));
    expect(agent.work(1)).toBeGreaterThan(0);
    expect(publisher.answers()).toEqual([
      { request: 10, code: 'ok', partition: ID, baseOffset: 0, count: 2 },
      { request: 11, code: 'ok', partition: ID, baseOffset: 2, count: 1 },
    ]);
    const reader = table.reader(ID);
    reader.joinHead();
    expect(textsIn(reader)).toEqual(['0:a', '1:b', '2:c']);
    expect(agent.work(1)).toBe(0);
  });

  test('without acknowledgement nothing is answered', () => {
    const { agent, publisher } = rig();
    publisher.send(batchOf(ID, ['a'], { ack: 0 }));
    agent.work(1);
    expect(publisher.answers()).toEqual([]);
  });

  test('batches of several publishers keep each publisher’s order', () => {
    const { table, agent, publisher } = rig();
    const other = table.publisher(21);
    for (let i = 0; i < 20; i++) {
      publisher.send(batchOf(ID, [`p${i}`], { ack: 0 }));
      other.send(batchOf(ID, [`q${i}`], { ack: 0 }));
    }
    while (agent.work(1) > 0);
    const reader = table.reader(ID);
    reader.joinHead();
    const texts = textsIn(reader).map((one) => one.split(':')[1]);
    for (const line of ['p', 'q']) {
      expect(texts.filter((one) => one[0] === line)).toEqual(Array.from({ length: 20 }, (_, i) => `${line}${i}`));
    }
  });

  test('what is not ours, deleted or of another epoch is refused, and the rest goes on', () => {
    const { table, agent, publisher } = rig();
    publisher.send(batchOf(9, ['x'], { request: 1 }));
    publisher.send(batchOf(-1, ['x'], { request: 2 }));
    publisher.send(batchOf(0x7fffffff, ['x'], { request: 3 }));
    publisher.send(batchOf(ID, ['x'], { request: 4, epoch: 5 }));
    publisher.send(batchOf(ID, ['x'], { request: 5 }));
    agent.work(1);
    expect(publisher.answers().map((one) => one.code)).toEqual([
      'route-stale',
      'route-stale',
      'route-stale',
      'route-stale',
      'ok',
    ]);
    setPartitionState(table.regions.table, ID, 2);
    table.routesChanged();
    publisher.send(batchOf(ID, ['x'], { request: 6 }));
    agent.work(1);
    expect(publisher.answers().map((one) => one.code)).toEqual(['route-stale']);
  });

  test('a full lane of answers stops the lane there and loses nothing', () => {
    const { agent, publisher } = rig();
    for (let i = 0; i < 30; i++) publisher.send(batchOf(ID, ['x'], { request: i }));
    const requests: number[] = [];
    for (let turn = 0; turn < 10; turn++) {
      agent.work(1);
      requests.push(...publisher.answers().map((one) => one.request));
    }
    expect(requests).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });
});

describe('a ring that readers hold', () => {
  test('a publisher that waits keeps its batch in the lane until there is room', () => {
    const { table, agent, publisher } = rig('block');
    publisher.send(batchOf(ID, ['first'], { ack: 0 }));
    agent.work(1);
    const reader = table.reader(ID);
    reader.joinHead();
    for (let i = 0; i < 30; i++) publisher.send(batchOf(ID, [KILOBYTE], { request: i, ack: 0 }));
    while (agent.work(1) > 0);
    expect(publisher.lane.pendingBytes).toBeGreaterThan(0);
    const texts: string[] = [];
    for (let turn = 0; turn < 10; turn++) {
      texts.push(...textsIn(reader));
      agent.work(1);
    }
    expect(publisher.lane.pendingBytes).toBe(0);
    expect(texts).toEqual(['0:first', ...Array.from({ length: 30 }, (_, i) => `${i + 1}:${KILOBYTE}`)]);
  });

  test('one lane that waits does not stop another', () => {
    const { table, agent, publisher } = rig('block');
    table.activate(4);
    const other = table.publisher(21);
    publisher.send(batchOf(ID, ['first'], { ack: 0 }));
    agent.work(1);
    table.reader(ID).joinHead();
    for (let i = 0; i < 30; i++) publisher.send(batchOf(ID, [KILOBYTE], { ack: 0 }));
    while (agent.work(1) > 0);
    other.send(batchOf(4, ['free'], { request: 1 }));
    agent.work(1);
    expect(other.answers().map((one) => one.code)).toEqual(['ok']);
  });

  test('a publisher that does not wait is told busy, and what follows does not overtake', () => {
    const { table, agent, publisher } = rig('block');
    publisher.send(batchOf(ID, ['first'], { ack: 0 }));
    agent.work(1);
    const reader = table.reader(ID);
    reader.joinHead();
    const codes: string[] = [];
    let sequence = 0;
    const send = (): void => {
      publisher.send(batchOf(ID, [KILOBYTE], { request: sequence, waits: false, producerId: 3, sequence }));
      agent.work(1);
      codes.push(...publisher.answers().map((one) => one.code));
    };
    while (codes.at(-1) !== 'busy') {
      send();
      sequence++;
    }
    textsIn(reader);
    send();
    expect(codes.at(-1)).toBe('out-of-order');
    sequence--;
    send();
    expect(codes.at(-1)).toBe('ok');
  });

  test('a topic that is deleted frees the publisher that waited', () => {
    const { table, agent, publisher } = rig('block');
    publisher.send(batchOf(ID, ['first'], { ack: 0 }));
    agent.work(1);
    table.reader(ID).joinHead();
    for (let i = 0; i < 20; i++) publisher.send(batchOf(ID, [KILOBYTE], { request: i }));
    while (agent.work(1) > 0) publisher.answers();
    setPartitionState(table.regions.table, ID, 2);
    table.routesChanged();
    agent.work(1);
    expect(publisher.answers().at(-1)).toMatchObject({ code: 'route-stale' });
  });

  test('with policy reject a burst larger than the ring is taken while nobody holds it', () => {
    const { agent, publisher } = rig('reject');
    for (let i = 0; i < 40; i++) publisher.send(batchOf(ID, [KILOBYTE], { request: i }));
    const codes = new Set<string>();
    for (let turn = 0; turn < 20; turn++) {
      agent.work(1);
      for (const one of publisher.answers()) codes.add(one.code);
    }
    expect(codes).toEqual(new Set(['ok']));
  });
});

describe('readers', () => {
  test('a request to open the ring makes it and leaves nothing in it', () => {
    const { table, agent, publisher } = rig();
    publisher.send(openBatch(ID, 77));
    agent.work(1);
    expect(publisher.answers()).toMatchObject([{ request: 77, code: 'ok' }]);
    const reader = table.reader(ID);
    reader.joinHead();
    expect(reader.hasNews).toBe(false);
    expect(reader.tryPin()).toBe(0);
  });

  test('are noticed once until they have looked', () => {
    const { table, agent, publisher } = rig();
    publisher.send(batchOf(ID, ['a'], { ack: 0 }));
    agent.work(1);
    const reader = table.reader(ID);
    reader.joinTail();
    for (const text of ['b', 'c']) {
      publisher.send(batchOf(ID, [text], { ack: 0 }));
      agent.work(1);
    }
    expect(publisher.notices()).toEqual([ID]);
    reader.noticed();
    expect(textsIn(reader)).toEqual(['1:b', '2:c']);
    publisher.send(batchOf(ID, ['d'], { ack: 0 }));
    agent.work(1);
    expect(publisher.notices()).toEqual([ID]);
  });

  test('are noticed again by a successor, whose notice may have died with its predecessor', () => {
    const { table, agent, publisher } = rig();
    publisher.send(batchOf(ID, ['a'], { ack: 0 }));
    agent.work(1);
    const reader = table.reader(ID);
    reader.joinTail();
    publisher.send(batchOf(ID, ['b'], { ack: 0 }));
    agent.work(1);
    publisher.notices();
    const successor = table.agent();
    successor.takeOver();
    expect(publisher.notices()).toEqual([ID]);
    publisher.send(batchOf(ID, ['c'], { request: 1 }));
    successor.work(1);
    expect(publisher.answers()).toMatchObject([{ code: 'ok', baseOffset: 2 }]);
    expect(textsIn(reader)).toEqual(['1:b', '2:c']);
  });
});

describe('a seat that was given up', () => {
  test('is drained and then closed', () => {
    const { table, agent, publisher } = rig();
    publisher.send(batchOf(ID, ['a'], { ack: 0 }));
    burySeat(table.regions.control, publisher.seat);
    expect(agent.work(1)).toBeGreaterThan(0);
    expect(openLanes(table.regions.control, WORKER, 0)).not.toBe(0);
    agent.work(1);
    expect(openLanes(table.regions.control, WORKER, 0)).toBe(0);
    expect(seatState(table.regions.control, publisher.seat)).toBe(SEAT_STATES.dead);
    const reader = table.reader(ID);
    reader.joinHead();
    expect(textsIn(reader)).toEqual(['0:a']);
  });
});

test('counters say what was taken, and the agent ends when the broker has stopped', () => {
  const { table, agent, publisher } = rig();
  publisher.send(batchOf(ID, ['a', 'b', 'c'], { producerId: 1 }));
  publisher.send(batchOf(ID, ['a', 'b', 'c'], { producerId: 1 }));
  agent.work(1);
  agent.housekeep(1);
  const counted = (name: keyof typeof COUNTER): number => readCounter(table.regions.control, WORKER, COUNTER[name]);
  expect([counted('batchesIn'), counted('messagesIn'), counted('duplicates')]).toEqual([2, 3, 1]);
  expect(agent.finished).toBe(false);
  setBrokerState(table.regions.control, CONTROL_STATES.stopped);
  expect(agent.finished).toBe(true);
});
