import { expect, test } from 'vitest';
import { SEAT_COORDINATOR, SEAT_FIRST_FREE } from '../../../native-layout/control.ts';
import { RingmqError } from '../../../src/base/codes.ts';
import { CallLanes, type CallReply } from '../../../src/coordinator/call-lanes.ts';
import { Bells } from '../../../src/memory/bell.ts';
import { attachRegions, createRegions, type RegionSizes } from '../../../src/memory/regions.ts';
import { burySeat, claimSeat, openLane, openLanes, releaseSeat } from '../../../src/memory/seats.ts';
import { COORDINATOR, ControlLane } from '../../../src/thread/control-lane.ts';
import type { CommandOf } from '../../../src/wire/commands.ts';

const SIZES: RegionSizes = {
  workerCount: 1,
  frontendCount: 0,
  partitionMax: 16,
  laneBytes: 4_096,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
};
const NO_BYTES = new Uint8Array(0);

interface Asked {
  readonly command: CommandOf<'call'>;
  readonly reply: CallReply;
}

class Rig {
  readonly regions = attachRegions(createRegions('calls', SIZES));
  readonly asked: Asked[] = [];
  readonly left: number[] = [];
  lanes: CallLanes;

  constructor() {
    this.lanes = this.startCoordinator();
  }

  /** Takes the seat, as each thread of the coordinator does. */
  startCoordinator(): CallLanes {
    const { control } = this.regions;
    releaseSeat(control, SEAT_COORDINATOR);
    claimSeat(control, SEAT_COORDINATOR, SEAT_COORDINATOR, 'coordinator', 7);
    this.lanes = new CallLanes(this.regions, {
      call: (command, reply) => this.asked.push({ command, reply }),
      seatLeft: (seat) => this.left.push(seat),
    });
    return this.lanes;
  }

  client(): { seat: number; lane: ControlLane; call: (method: string) => Promise<string> } {
    const { control } = this.regions;
    const seat = claimSeat(control, SEAT_FIRST_FREE, 63, 'embedded', 9);
    openLane(control, SEAT_COORDINATOR, seat);
    const lane = new ControlLane(this.regions, seat, new Bells(control), COORDINATOR);
    const call = async (method: string): Promise<string> => {
      const reply = await lane.request({ type: 'call', method, params: '{}', payload: NO_BYTES }, 0);
      return (reply as CommandOf<'call-reply'>).result;
    };
    return { seat, lane, call };
  }

  isOpen(seat: number): boolean {
    return (openLanes(this.regions.control, SEAT_COORDINATOR, (seat >> 5) as 0 | 1) & (1 << (seat & 31))) !== 0;
  }
}

/** What became of a promise so far. */
async function outcome(promise: Promise<string>): Promise<string> {
  const settled = promise.then(
    (result) => result,
    (error: unknown) => (error as RingmqError).code,
  );
  return Promise.race([settled, new Promise<string>((resolve) => setImmediate(() => resolve('open')))]);
}

test('answers come in any order, each to its call, and once (I3)', async () => {
  const rig = new Rig();
  const client = rig.client();
  const calls = ['a', 'b', 'c'].map((method) => client.call(method));
  expect(rig.lanes.work()).toBe(3);
  for (const { command, reply } of [...rig.asked].reverse()) {
    reply.reply(`"${command.method}"`, NO_BYTES);
    reply.reply('"again"', NO_BYTES);
    reply.refuse(new RingmqError('internal'));
  }
  expect(client.lane.work()).toBe(3);
  expect(await Promise.all(calls)).toEqual(['"a"', '"b"', '"c"']);
});

test('answers wait while the lane back is full, and no more calls are taken meanwhile', async () => {
  const rig = new Rig();
  const client = rig.client();
  const calls = Array.from({ length: 20 }, (_, i) => client.call(`m${i}`));
  rig.lanes.work();
  const answer = JSON.stringify('x'.repeat(1_000));
  for (const { reply } of rig.asked.splice(0)) reply.reply(answer, NO_BYTES);
  const late = client.call('late');
  rig.lanes.work();
  expect(rig.asked).toEqual([]);
  for (let turn = 0; turn < 20; turn++) {
    client.lane.work();
    rig.lanes.work();
  }
  expect(await Promise.all(calls)).toEqual(new Array(20).fill(answer));
  expect(rig.asked.map(({ command }) => command.method)).toEqual(['late']);
  rig.asked[0].reply.reply('1', NO_BYTES);
  client.lane.work();
  expect(await late).toBe('1');
});

test('calls wait while the lane there is full, in order, and are refused past a limit', async () => {
  const rig = new Rig();
  const client = rig.client();
  const long = 'm'.repeat(1_000);
  const calls = Array.from({ length: 40 }, (_, i) => client.call(`${i} ${long}`));
  for (let turn = 0; turn < 60; turn++) {
    rig.lanes.work();
    client.lane.work();
  }
  expect(rig.asked.map(({ command }) => Number.parseInt(command.method, 10))).toEqual(calls.map((_, i) => i));
  const many = Array.from({ length: 20_000 }, () => outcome(client.call(long)));
  expect(await Promise.all(many)).toContain('lane-full');
  expect(await outcome(client.call('m'.repeat(8_000)))).toBe('frame-too-large');
});

test('an answer that no lane takes becomes a refusal', async () => {
  const rig = new Rig();
  const client = rig.client();
  const call = client.call('big');
  rig.lanes.work();
  rig.asked[0].reply.reply('{}', new Uint8Array(100_000));
  client.lane.work();
  expect(await outcome(call)).toBe('frame-too-large');
});

test('what a predecessor was asked is dropped, and refused to who asked (I4)', async () => {
  const rig = new Rig();
  const client = rig.client();
  const taken = client.call('taken');
  rig.lanes.work();
  const lying = client.call('lying in the lane');
  rig.startCoordinator();
  const fresh = client.call('fresh');
  rig.asked.length = 0;
  rig.lanes.work();
  expect(rig.asked.map(({ command }) => command.method)).toEqual(['fresh']);
  client.lane.expire(1);
  expect([await outcome(taken), await outcome(lying), await outcome(fresh)]).toEqual([
    'coordinator-unavailable',
    'coordinator-unavailable',
    'open',
  ]);
  rig.asked[0].reply.reply('1', NO_BYTES);
  client.lane.work();
  expect(await fresh).toBe('1');
});

test('a call that is not answered in time is given up, and a late answer meets nobody', async () => {
  const rig = new Rig();
  const client = rig.client();
  const call = client.call('slow');
  rig.lanes.work();
  client.lane.expire(COORDINATOR.timeoutMs);
  expect(await outcome(call)).toBe('timeout');
  rig.asked[0].reply.reply('1', NO_BYTES);
  expect(client.lane.work()).toBe(1);
});

test('the lane of a thread that has ended is closed when it is empty (I1), and answers go nowhere (I2)', async () => {
  const rig = new Rig();
  const client = rig.client();
  void client.call('held').catch(() => {});
  rig.lanes.work();
  void client.call('last words').catch(() => {});
  burySeat(rig.regions.control, client.seat);
  rig.lanes.work();
  expect([rig.isOpen(client.seat), rig.asked.length]).toEqual([true, 2]);
  rig.lanes.work();
  expect([rig.isOpen(client.seat), rig.left]).toEqual([false, [client.seat]]);
  releaseSeat(rig.regions.control, client.seat);
  const next = rig.client();
  expect(next.seat).toBe(client.seat);
  const call = next.call('mine');
  for (const { reply } of rig.asked.splice(0)) reply.reply('"yours"', NO_BYTES);
  next.lane.work();
  expect(await outcome(call)).toBe('open');
  rig.lanes.work();
  rig.asked[0].reply.reply('"mine"', NO_BYTES);
  next.lane.work();
  expect(await call).toBe('"mine"');
});
