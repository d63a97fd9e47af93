// Acks that wait for the disk, with the store played by the test: it moves stored positions as the store thread does.
import { describe, expect, test } from 'vitest';
import { BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { CONTROL_STATES } from '../../../native-layout/control.ts';
import { LEDGER_ENTRIES, STORE_STATES } from '../../../native-layout/store.ts';
import { CODES } from '../../../src/base/codes.ts';
import { ACK_LEVELS } from '../../../src/base/units.ts';
import type { BrokerAgent } from '../../../src/broker/broker-agent.ts';
import { Doorbell } from '../../../src/memory/bell.ts';
import { AckLedger, WaitingAck } from '../../../src/memory/ledger.ts';
import { setPartitionState, setStoredPosition } from '../../../src/memory/partition-entry.ts';
import { ledgerPlace, type StoreRegion } from '../../../src/memory/regions.ts';
import type { RingReader } from '../../../src/memory/ring-reader.ts';
import { burySeat, claimSeat, releaseSeat, seatGeneration, setBrokerState } from '../../../src/memory/seats.ts';
import { setStoreFull, setStoreState } from '../../../src/memory/store-state.ts';
import { openRequest } from '../../../src/partition/join.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { batchOf, type Publisher, Table, WORKER } from '../../support/engine-table.ts';

const ID = 2;
const OTHER = 3;
const VOLATILE = 4;
const { written, durable, replicated } = ACK_LEVELS;
/** Answers that fit a lane back of the test's table. */
const ANSWERS_MAX = 8;

class Rig {
  readonly table = new Table(true);
  readonly store = this.table.regions.store as StoreRegion;
  readonly publisher: Publisher;
  agent: BrokerAgent;

  constructor() {
    this.table.activateDurable(ID);
    this.table.activateDurable(OTHER);
    this.table.activate(VOLATILE);
    setStoreState(this.store, STORE_STATES.running, 0);
    this.agent = this.table.agent();
    this.publisher = this.table.publisher();
  }

  send(ack: number, request: number, more: Parameters<typeof batchOf>[2] = {}, id = ID): void {
    this.publisher.send(batchOf(id, ['x'], { ack, request, ...more }));
    this.agent.work(1);
  }

  /** The store has everything of a ring, at one level or both. */
  reach(id: number, ...levels: readonly ('written' | 'durable')[]): void {
    const reader: RingReader = this.table.journal(id);
    reader.joinTail();
    for (const level of levels) setStoredPosition(this.table.regions.table, id, level, reader.position);
    this.agent.work(1);
  }

  get codes(): string[] {
    return this.publisher.answers().map((one) => `${one.request} ${one.code} ${one.baseOffset}`);
  }
}

describe('an ack', () => {
  test('none and accepted do not wait for the disk', () => {
    const rig = new Rig();
    rig.send(ACK_LEVELS.none, 1);
    rig.send(ACK_LEVELS.accepted, 2);
    expect(rig.codes).toEqual(['2 ok 1']);
  });

  test('written comes when it is written, durable when it is durable, each with its offset', () => {
    const rig = new Rig();
    rig.send(written, 1);
    rig.send(durable, 2);
    rig.send(written, 3);
    expect(rig.codes).toEqual([]);
    rig.reach(ID, 'written');
    expect(rig.codes).toEqual(['1 ok 0', '3 ok 2']);
    rig.agent.work(1);
    expect(rig.codes).toEqual([]);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['2 ok 1']);
  });

  test('waits for its own batch, not for what came after it', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    const position = rig.table.journal(ID).lagBytes;
    rig.send(durable, 2);
    setStoredPosition(rig.table.regions.table, ID, 'durable', position - 8);
    rig.agent.work(1);
    expect(rig.codes).toEqual([]);
    setStoredPosition(rig.table.regions.table, ID, 'durable', position);
    rig.agent.work(1);
    expect(rig.codes).toEqual(['1 ok 0']);
  });

  test('rings its publisher, who may sleep', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    const bell = new Doorbell(rig.table.regions.control, rig.publisher.seat);
    bell.park();
    rig.reach(ID, 'durable');
    const parkedAt = performance.now();
    bell.wait(5_000);
    expect(performance.now() - parkedAt).toBeLessThan(1_000);
  });

  test('of a duplicate waits until the disk has the ring, and has the first one’s offset', () => {
    const rig = new Rig();
    rig.send(ACK_LEVELS.none, 1);
    rig.send(durable, 2, { producerId: 7 });
    rig.send(durable, 3, { producerId: 7 });
    expect(rig.codes).toEqual([]);
    rig.reach(ID, 'written', 'durable');
    expect(rig.codes).toEqual(['2 ok 1', '3 duplicate 1']);
    rig.send(durable, 4, { producerId: 7 });
    rig.agent.work(1);
    expect(rig.codes).toEqual(['4 duplicate 1']);
  });

  test('of a refused batch does not wait', () => {
    const rig = new Rig();
    rig.send(durable, 1, { epoch: 9 });
    rig.send(durable, 2, { producerId: 5, sequence: 3, waits: false });
    rig.send(durable, 3, {}, 9);
    expect(rig.codes.map((one) => one.split(' ')[1])).toEqual(['route-stale', 'out-of-order', 'route-stale']);
  });

  test('that the partition cannot give is refused, and nothing is stored', () => {
    const rig = new Rig();
    for (const [level, id] of [
      [written, VOLATILE],
      [durable, VOLATILE],
      [replicated, VOLATILE],
      [replicated, ID],
      [99, ID],
    ]) {
      rig.send(level, 1, {}, id);
      expect(rig.codes, `${level}`).toEqual([expect.stringContaining('ack-unsupported')]);
    }
    rig.send(ACK_LEVELS.accepted, 2, {}, VOLATILE);
    rig.send(ACK_LEVELS.accepted, 3);
    expect(rig.codes).toEqual(['2 ok 0', '3 ok 0']);
  });

  test('is unsupported for all where the broker keeps no data', () => {
    const table = new Table();
    table.activate(ID);
    const agent = table.agent();
    const publisher = table.publisher();
    publisher.send(batchOf(ID, ['x'], { ack: durable, request: 1 }));
    agent.work(1);
    expect(publisher.answers().map((one) => one.code)).toEqual(['ack-unsupported']);
  });
});

describe('a store in trouble', () => {
  test('refuses new batches with its code, and their producer sends the same ones again', () => {
    const rig = new Rig();
    setStoreState(rig.store, STORE_STATES.full, CODES['disk-full'].number);
    rig.send(durable, 1, { producerId: 5, waits: false });
    rig.send(durable, 2, { producerId: 5, sequence: 1, waits: false });
    rig.send(ACK_LEVELS.accepted, 3);
    rig.send(ACK_LEVELS.accepted, 4, {}, VOLATILE);
    expect(rig.codes.map((one) => one.split(' ')[1])).toEqual(['disk-full', 'out-of-order', 'disk-full', 'ok']);
    setStoreState(rig.store, STORE_STATES.running, 0);
    rig.send(written, 5, { producerId: 5, waits: false });
    rig.reach(ID, 'written');
    expect(rig.codes).toEqual(['5 ok 0']);
    setStoreFull(rig.store, true);
    rig.send(written, 6);
    expect(rig.codes.map((one) => one.split(' ')[1])).toEqual(['disk-full']);
  });

  test('keeps what waits while the disk is full, and answers it when there is room again', () => {
    const rig = new Rig();
    rig.send(durable, 1, { producerId: 5 });
    setStoreState(rig.store, STORE_STATES.full, CODES['disk-full'].number);
    // A repeat of what is in the ring is no new batch.
    rig.send(durable, 2, { producerId: 5 });
    expect(rig.codes).toEqual([]);
    setStoreState(rig.store, STORE_STATES.running, 0);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['1 ok 0', '2 duplicate 0']);
  });

  test('that failed answers store-failed, except to what it has stored before', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    const reader = rig.table.journal(ID);
    reader.joinTail();
    rig.send(durable, 2);
    setStoredPosition(rig.table.regions.table, ID, 'durable', reader.position);
    setStoreState(rig.store, STORE_STATES.failed, CODES['store-failed'].number);
    rig.agent.work(1);
    expect(rig.codes).toEqual(['1 ok 0', '2 store-failed -1']);
    rig.send(ACK_LEVELS.accepted, 3);
    expect(rig.codes.map((one) => one.split(' ')[1])).toEqual(['store-failed']);
  });
});

describe('waiting', () => {
  test('for a partition that is deleted, or was and lives again, ends with route-stale', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    rig.send(durable, 2, {}, OTHER);
    setPartitionState(rig.table.regions.table, ID, 2);
    rig.table.routesChanged();
    rig.agent.work(1);
    expect(rig.codes).toEqual(['1 route-stale -1']);
    rig.table.activateDurable(OTHER, 0, 'block', 2);
    rig.agent.work(1);
    expect(rig.codes).toEqual(['2 route-stale -1']);
  });

  test('one partition behind another keeps its turn', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    rig.send(durable, 2, {}, OTHER);
    rig.reach(OTHER, 'written', 'durable');
    expect(rig.codes).toEqual([]);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['1 ok 0', '2 ok 0']);
  });

  test('is for the publisher who sent, not for the next one in its seat', () => {
    const rig = new Rig();
    const { control } = rig.table.regions;
    rig.send(durable, 1);
    burySeat(control, rig.publisher.seat);
    releaseSeat(control, rig.publisher.seat);
    expect(claimSeat(control, rig.publisher.seat, rig.publisher.seat, 'embedded', 100)).toBe(rig.publisher.seat);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual([]);
    rig.send(durable, 2);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['2 ok 1']);
  });

  test('nobody hears of it who is gone', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    burySeat(rig.table.regions.control, rig.publisher.seat);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual([]);
  });

  test('a publisher that takes no answers stops its own lane, and nobody else’s acks', () => {
    const rig = new Rig();
    const lazy = rig.table.publisher(21);
    for (let i = 0; i < 30; i++) lazy.send(batchOf(ID, ['lazy'], { ack: durable, request: i }));
    for (let turn = 0; turn < 5; turn++) rig.agent.work(1);
    rig.send(durable, 1);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual([`1 ok ${ANSWERS_MAX}`]);
    const requests: number[] = [];
    for (let turn = 0; turn < 20; turn++) {
      requests.push(...lazy.answers().map((one) => one.request));
      rig.reach(ID, 'durable');
    }
    expect(requests).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  test('a full ledger leaves batches in the lane until acks were released', () => {
    const rig = new Rig();
    owe(rig, LEDGER_ENTRIES - 1);
    rig.agent = rig.table.agent();
    rig.agent.takeOver();
    const { lane } = rig.publisher;
    rig.send(written, 1);
    expect(lane.pendingBytes).toBe(0);
    rig.send(written, 2);
    rig.send(durable, 3);
    const left = lane.pendingBytes;
    expect(left).toBeGreaterThan(0);
    rig.agent.work(1);
    expect(lane.pendingBytes).toBe(left);
    rig.reach(ID, 'written', 'durable');
    while (rig.agent.work(1) > 0);
    expect(rig.codes).toEqual(['1 ok 0']);
    expect(lane.pendingBytes).toBe(0);
    rig.reach(ID, 'written', 'durable');
    expect(rig.codes).toEqual(['2 ok 1', '3 ok 2']);
  });
});

describe('the successor of a dead worker', () => {
  test('answers what its predecessor owed', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    rig.send(written, 2);
    rig.agent = rig.table.agent();
    rig.agent.takeOver();
    rig.agent.work(1);
    expect(rig.codes).toEqual([]);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['1 ok 0']);
    rig.reach(ID, 'written');
    expect(rig.codes).toEqual(['2 ok 1']);
  });

  test('does not answer again what was answered', () => {
    const rig = new Rig();
    rig.send(durable, 1);
    rig.reach(ID, 'durable');
    rig.agent = rig.table.agent();
    rig.agent.takeOver();
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['1 ok 0']);
  });

  test('keeps room for the answers that are owed, and waits where a repeat finds none', () => {
    const rig = new Rig();
    owe(rig, ANSWERS_MAX + 2, rig.publisher.seat);
    rig.agent = rig.table.agent();
    rig.agent.takeOver();
    rig.send(durable, 77);
    expect(rig.publisher.lane.pendingBytes).toBeGreaterThan(0);
    setStoredPosition(rig.table.regions.table, ID, 'written', 8);
    rig.agent.work(1);
    expect(rig.codes).toHaveLength(ANSWERS_MAX);
    rig.agent.work(1);
    expect(rig.codes).toHaveLength(2);
    rig.agent.work(1);
    rig.reach(ID, 'durable');
    expect(rig.codes).toEqual(['77 ok 0']);
  });
});

test('the worker does not end while acks wait and the store runs', () => {
  const rig = new Rig();
  rig.send(durable, 1);
  expect(rig.agent.finished).toBe(false);
  setBrokerState(rig.table.regions.control, CONTROL_STATES.stopped);
  expect(rig.agent.finished).toBe(false);
  setStoreState(rig.store, STORE_STATES.full, CODES['disk-full'].number);
  expect(rig.agent.finished).toBe(true);
  setStoreState(rig.store, STORE_STATES.running, 0);
  rig.reach(ID, 'durable');
  expect(rig.codes).toEqual(['1 ok 0']);
  expect(rig.agent.finished).toBe(true);
});

/** A predecessor's ledger of `written`: acks that wait for the first bytes of the ring. */
function owe(rig: Rig, count: number, seat = 40): void {
  // The ring is opened before, as the predecessor did.
  rig.send(ACK_LEVELS.none, 0, {}, OTHER);
  rig.publisher.send(openBatch(ID));
  rig.agent.work(1);
  rig.publisher.answers();
  const { control, sizes } = rig.table.regions;
  const ledger = new AckLedger(rig.store.words, ledgerPlace(sizes, WORKER, 0));
  const ack = Object.assign(new WaitingAck(), {
    seat,
    generation: seatGeneration(control, seat),
    partition: ID,
    epoch: 1,
  });
  ack.position = 8;
  for (let i = 0; i < count; i++) ledger.push(ack);
  ledger.publish();
}

/** The request that a reader sends for a ring that is not there yet. */
function openBatch(id: number): BatchBuilder {
  const builder = new BatchBuilder(BATCH_HEADER_BYTES);
  const history = { nextOffset: 0, oldestOffset: 0, epochs: [] };
  const route = { id, number: 0, owner: WORKER, epoch: 1, permission: 6, available: true, ...history };
  builder.bytes.set(openRequest(route, 0));
  return builder;
}
