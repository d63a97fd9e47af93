// Calls to the coordinator from threads of the process, over lanes: answered, held, refused; and what happens when the
// thread of the coordinator, or of a caller, ends in the middle.
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { SEAT_FIRST_FREE, SEAT_STATES, SEATS_MAX } from '../../../native-layout/control.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { seatState } from '../../../src/memory/seats.ts';
import type { GroupDescription, GroupSync } from '../../../src/wire/services.ts';
import {
  controlOf,
  dataFolder,
  errorOf,
  kill,
  RoleThread,
  startConnected,
  startTestBroker,
  supervisorOf,
} from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

const SYNC: GroupSync = {
  group: 'g',
  topic: 'orders',
  member: 'm1',
  client: 'a test',
  generation: 0,
  owned: [],
  from: 'earliest',
  order: 'key',
  filter: '',
  waitMs: 0,
};

async function describeGroup(connection: InProcessConnection): Promise<GroupDescription> {
  return (await connection.call('group-describe', { group: 'g' })).result;
}

/** Joins as m1, and returns what its next, held call takes. */
async function join(connection: InProcessConnection): Promise<GroupSync> {
  const { result } = await connection.call('group-sync', SYNC);
  const owned = result.queues.map(({ topic, partition }) => ({ topic, partition }));
  return { ...SYNC, generation: result.generation, owned, waitMs: 20_000 };
}

function seatsInUse(control: Int32Array): number {
  let used = 0;
  for (let seat = SEAT_FIRST_FREE; seat < SEATS_MAX; seat++) {
    if (seatState(control, seat) !== SEAT_STATES.free) used++;
  }
  return used;
}

test('calls are answered, to each connection its own', async () => {
  const { broker, connection } = await startConnected();
  const others = [connection, broker.connect(), broker.connect()];
  for (const [i, one] of others.entries()) {
    await one.call('group-settings', { group: `g${i}`, settings: { attemptsMax: i + 1 } });
  }
  const answers = await Promise.all(
    Array.from({ length: 3_000 }, (_, i) => others[i % 3].call('group-describe', { group: `g${i % 3}` })),
  );
  answers.forEach(({ result }, i) => {
    expect([result.group, result.settings.attemptsMax]).toEqual([`g${i % 3}`, (i % 3) + 1]);
  });
});

test('what cannot be served is refused by name, and the next call is served', async () => {
  const { connection } = await startConnected();
  expect(await errorOf(connection.call('group-describe', { group: 'nobody' }))).toMatchObject({
    code: 'unknown-group',
  });
  expect(await errorOf(connection.call('group-describe', { group: 'a b' }))).toMatchObject({ code: 'illegal-group' });
  expect(await errorOf(connection.call('nothing' as never, {} as never))).toMatchObject({ code: 'unknown-method' });
  const unknown = { group: 'g', groop: 1 } as never;
  expect(await errorOf(connection.call('group-describe', unknown))).toMatchObject({ code: 'illegal-argument' });
  expect((await connection.call('group-list', {})).result.groups).toEqual([]);
});

test('a call that is held is answered when its time is up, and holds nobody else up', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('orders', { partitions: 2 });
  const held = await join(connection);
  const start = performance.now();
  const answered = connection.call('group-sync', { ...held, waitMs: 300 });
  expect((await describeGroup(connection)).members).toHaveLength(1);
  expect(performance.now() - start).toBeLessThan(250);
  expect((await answered).result.queues).toHaveLength(2);
  expect(performance.now() - start).toBeGreaterThan(280);
});

test('more calls at once than a lane has room for wait their turn, and all are answered', async () => {
  const { connection } = await startConnected();
  const padding = { retryDelaysMs: new Array(64).fill(31_000_000_000) };
  const calls = Array.from({ length: 12_000 }, (_, i) =>
    connection.call('group-settings', { group: `g${i % 50}`, settings: padding }),
  );
  for (const { result } of await Promise.all(calls)) expect(result.retryDelaysMs).toHaveLength(64);
});

test('an answer with messages comes back whole, and they lie as a reader needs them', async () => {
  const { connection } = await startConnected({ ringBytes: 8 * 1024 * 1024 });
  const body = new Uint8Array(20_000).map((_, i) => i * 7);
  await connection.producer('orders').send(body);
  const { result, payload } = await connection.call('receive', {
    group: 'g',
    topic: 'orders',
    member: 'm1',
    from: 'earliest',
    order: 'key',
    priority: false,
    filter: '',
    maxMessages: 10,
    invisibleMs: 60_000,
    waitMs: 10_000,
  });
  expect(result.messages).toHaveLength(4);
  expect(payload.byteOffset % 8).toBe(0);
  expect(Buffer.from(payload).includes(Buffer.from(body))).toBe(true);
});

test('a call that no lane takes is refused, and the connection goes on', async () => {
  const { connection } = await startConnected();
  const payload = new Uint8Array(4 * 1024 * 1024);
  const error = await errorOf(connection.call('schedule', { topic: 'orders', deliverAt: [0] }, { payload }));
  expect(error).toMatchObject({ code: 'frame-too-large' });
  expect((await connection.call('group-list', {})).result.groups).toEqual([]);
});

test('a coordinator that dies refuses what it held, and its successor knows what was written', async () => {
  const { broker, connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('orders', { partitions: 2 });
  const held = await join(connection);
  await connection.call('group-settings', { group: 'g', settings: { attemptsMax: 5 } });
  const refused = errorOf(connection.call('group-sync', held));
  await kill(broker, 'coordinator');
  expect(await refused).toMatchObject({ code: 'coordinator-unavailable' });
  const { settings, members } = await describeGroup(connection);
  expect([settings.attemptsMax, members]).toEqual([5, []]);
  // It goes on as the member that it was.
  const again = await connection.call('group-sync', { ...held, waitMs: 0 });
  expect(again.result.queues).toHaveLength(2);
});

test('calls that a dead coordinator never saw are not served by its successor', async () => {
  const { broker, connection } = await startConnected();
  const { control } = { control: controlOf(broker) };
  const victim = supervisorOf(broker).threadsOf('coordinator')[0];
  const before = seatsInUse(control);
  await victim.terminate();
  // Nobody takes it: it lies in the lane when the successor starts.
  const refused = errorOf(connection.call('group-settings', { group: 'stale', settings: { attemptsMax: 2 } }));
  expect(await refused).toMatchObject({ code: 'coordinator-unavailable' });
  expect((await connection.call('group-list', {})).result.groups).toEqual([]);
  await until(() => seatsInUse(control) === before, 'the seat of the dead one is free');
});

test('a coordinator that dies again and again leaves no seat behind', async () => {
  const { broker, connection } = await startConnected();
  const control = controlOf(broker);
  const before = seatsInUse(control);
  for (let i = 0; i < 4; i++) {
    await kill(broker, 'coordinator');
    await untilAnswer(
      () => connection.call('group-list', {}).catch(() => undefined),
      (answer) => answer !== undefined,
      'it answers again',
    );
  }
  await until(() => seatsInUse(control) === before, 'all other seats are free');
});

test('50 connections that call and close, one after the other, leak no seat', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('orders', { partitions: 1 });
  const control = controlOf(broker);
  const before = seatsInUse(control);
  for (let i = 0; i < 50; i++) {
    const one = broker.connect();
    await one.call('group-sync', { ...SYNC, member: `m${i}` });
    const held = errorOf(one.call('group-sync', { ...SYNC, member: `h${i}`, waitMs: 20_000 }));
    await one.close();
    expect(await held).toMatchObject({ code: 'closed' });
  }
  expect(seatsInUse(control)).toBe(before);
  await untilAnswer(
    () => describeGroup(connection),
    ({ members }) => members.length === 0,
    'members of threads that left have left',
  );
});

test('a thread that ends in the middle of a held call leaves its group, and its seat is free', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('orders', { partitions: 4 });
  const control = controlOf(broker);
  const before = seatsInUse(control);
  const thread = new RoleThread(broker, 'member', { topic: 'orders', group: 'g', member: 'other' });
  expect((await thread.heard<{ queues: number }>('joined')).queues).toBe(4);
  expect((await connection.call('group-sync', SYNC)).result.queues).toHaveLength(0);
  await thread.terminate();
  await untilAnswer(
    () => connection.call('group-sync', SYNC),
    ({ result }) => result.queues.length === 4,
    'its queues have gone over',
    3_000,
  );
  await until(() => seatsInUse(control) === before, 'its seat is free');
});

test('a broker that stops refuses held calls and does not wait for them', async () => {
  const broker = await startTestBroker({ data: dataFolder() });
  const connection = broker.connect();
  await connection.createTopic('orders', { partitions: 1 });
  const held = errorOf(connection.call('group-sync', await join(connection)));
  const thread = new RoleThread(broker, 'member', { topic: 'orders', group: 'h', member: 'other' });
  await thread.heard('joined');
  const start = performance.now();
  await broker.stop();
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(await held).toMatchObject({ code: 'closed' });
});

test('a damaged journal stops the start by name, and leaves the folder as it is', async () => {
  const data = dataFolder();
  const first = await startTestBroker({ data });
  await first.connect().call('group-settings', { group: 'g', settings: { attemptsMax: 5 } });
  await first.stop();
  const file = path.join(data, 'coordinator', 'coordinator.journal');
  const good = fs.readFileSync(file);
  const bad = Buffer.from(good);
  bad[40] ^= 1;
  fs.writeFileSync(file, bad);
  const error = await errorOf(startTestBroker({ data, logLevel: 'silent' }));
  expect(error).toMatchObject({ code: 'state-corrupt', message: expect.stringContaining('byte') });
  expect(fs.readFileSync(file).equals(bad)).toBe(true);
  fs.writeFileSync(file, good);
  const again = (await startTestBroker({ data })).connect();
  expect((await describeGroup(again)).settings.attemptsMax).toBe(5);
});

test('what a group knows is there after a restart of the broker', async () => {
  const data = dataFolder();
  const first = await startTestBroker({ data });
  const connection = first.connect();
  await connection.createTopic('orders', { partitions: 1 });
  await connection.producer('orders', { ack: 'durable' }).send('x');
  const { generation, queues: owned } = (await connection.call('group-sync', SYNC)).result;
  const queue = { ...owned[0], offset: 1 };
  await connection.call('group-commit', { group: 'g', topic: 'orders', member: 'm1', generation, queues: [queue] });
  await first.stop();
  const next = (await startTestBroker({ data })).connect();
  const { queues, members } = await describeGroup(next);
  expect([queues.map(({ offset, lag }) => [offset, lag]), members]).toEqual([[[1, 0]], []]);
});
