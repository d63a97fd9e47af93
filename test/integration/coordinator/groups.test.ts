// Groups in a real broker: where they begin, what people are told of them, and what becomes of them when topics,
// threads or the broker go.
import { expect, test } from 'vitest';
import type { Connection } from '../../../src/client/connection.ts';
import type { GroupAdmin } from '../../../src/client/group-admin.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { connect } from '../../../src/client/node.ts';
import { ConnectionTopics } from '../../../src/coordinator/topic-source.ts';
import { type GroupAssignment, type GroupSync, retryTopic } from '../../../src/wire/services.ts';
import { dataFolder, errorOf, kill, startConnected, startTestBroker } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

const GROUP = { group: 'g', topic: 't', member: 'm' } as const;
const SYNC: GroupSync = {
  ...GROUP,
  client: 'a test',
  generation: 0,
  owned: [],
  from: 'earliest',
  order: 'key',
  filter: '',
  waitMs: 0,
};

async function sync(connection: InProcessConnection, more: Partial<GroupSync> = {}): Promise<GroupAssignment> {
  return (await connection.call('group-sync', { ...SYNC, ...more })).result;
}

/** What the next sync of a member says that takes all it is given. */
function next({ generation, queues }: GroupAssignment): Partial<GroupSync> {
  return { generation, owned: queues.map(({ topic, partition }) => ({ topic, partition })) };
}

async function commit(connection: InProcessConnection, { generation, queues }: GroupAssignment, offset: number) {
  const changed = queues.map((queue) => ({ ...queue, offset, acked: [], attempts: [] }));
  await connection.call('group-commit', { ...GROUP, generation, queues: changed });
}

/** Sends messages to partition 0, and resolves when they are acknowledged. */
async function send(connection: Connection, topic: string, count: number): Promise<void> {
  const producer = connection.producer(topic, { partition: 0 });
  for (let i = 0; i < count; i++) await producer.send(`${i}`);
  await producer.close();
}

/** While the coordinator is being restarted nobody can know. */
function unavailable(error: unknown): undefined {
  expect(error).toMatchObject({ code: 'coordinator-unavailable' });
}

const offsets = (assignment: GroupAssignment) =>
  assignment.queues.map(({ topic, partition, offset }) => [topic, partition, offset]);

for (const durable of [true, false]) {
  const kind = durable ? 'durable' : 'volatile';

  test(`of a ${kind} topic: latest, earliest and a time lead to where a consumer would begin`, async () => {
    const { connection } = await startConnected(durable ? { data: dataFolder() } : {});
    await connection.createTopic('t', { partitions: 2 });
    await send(connection, 't', 5);
    const [fifth] = (await connection.pull({ topic: 't', from: { offset: 4 } })).messages;
    while (Date.now() <= fifth.storedAt) await new Promise((resolve) => setTimeout(resolve, 1));
    const time = Date.now();
    await send(connection, 't', 3);
    const topics = new ConnectionTopics(connection);
    const route = await topics.open('t');
    const startsAt = async (from: 'latest' | 'earliest' | { time: number }) =>
      (await topics.starts(route, from, [0, 1])).map(({ partition, offset }) => [partition, offset]);
    expect(await startsAt('latest')).toEqual([
      [0, 8],
      [1, 0],
    ]);
    expect(await startsAt('earliest')).toEqual([
      [0, 0],
      [1, 0],
    ]);
    expect(await startsAt({ time })).toEqual([
      [0, 5],
      [1, 0],
    ]);
    expect(route.partitions.map((one) => topics.nextOffset(one))).toEqual([8, 0]);
    await topics.delete('t');
    expect(topics.nextOffset(route.partitions[0])).toBe(-1);
    expect(await topics.find('t')).toBeUndefined();
  });
}

test('whoever joins first makes the topic, where the broker allows it', async () => {
  const { connection } = await startConnected();
  expect((await sync(connection)).queues.length).toBeGreaterThan(0);
  const { connection: strict } = await startConnected({ autoCreateTopics: false });
  expect(await errorOf(sync(strict))).toMatchObject({ code: expect.stringMatching(/auto-create-off|unknown-topic/) });
});

test('what comes between the death of the last member and the next one is not lost', async () => {
  const { connection, broker } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 1 });
  await send(connection, 't', 3);
  const other = broker.connect();
  expect(offsets(await sync(other, { from: 'latest' }))).toEqual([['t', 0, 3]]);
  await other.close();
  await send(connection, 't', 2);
  await kill(broker, 'coordinator');
  const assignment = await untilAnswer(
    () => sync(connection, { member: 'n', from: 'latest' }).catch(unavailable),
    (answer) => answer?.queues.length === 1,
    'the new member has the queue',
  );
  expect(assignment && offsets(assignment)).toEqual([['t', 0, 3]]);
});

test('members go on through the death of the coordinator', async () => {
  const { connection, broker } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 2 });
  await send(connection, 't', 5);
  const first = await sync(connection);
  await kill(broker, 'coordinator');
  const again = await untilAnswer(
    () => sync(connection, next(first)).catch(unavailable),
    (answer) => answer !== undefined,
    'the successor answers',
  );
  expect(again && [again.generation, offsets(again)]).toEqual([first.generation, offsets(first)]);
  await commit(connection, { ...first, queues: [first.queues[0]] }, 4);
  const { queues } = await connection.describeGroup('g');
  expect(queues.map(({ owner, offset, lag }) => [owner, offset, lag])).toEqual([
    ['m', 4, 1],
    ['m', 0, 0],
  ]);
});

test('the retry topic of a group is read beside the topic, from the next sync on', async () => {
  const { connection, broker } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 1 });
  await sync(connection);
  await connection.call('group-leave', GROUP);
  await connection.createTopic(retryTopic('g', 't'), { partitions: 1 });
  await kill(broker, 'coordinator');
  const assignment = await untilAnswer(
    () => sync(connection, { member: 'n' }).catch(unavailable),
    (answer) => answer?.queues.length === 2,
    'a member reads both',
  );
  expect(assignment && offsets(assignment)).toEqual([
    ['t', 0, 0],
    ['%RETRY%g|t', 0, 0],
  ]);
});

test('a topic that is deleted ends the syncs of its members, and its progress', async () => {
  const { connection } = await startConnected({ data: dataFolder() });
  await connection.createTopic('t', { partitions: 1 });
  await send(connection, 't', 3);
  const first = await sync(connection);
  await commit(connection, first, 2);
  const held = errorOf(sync(connection, { ...next(first), waitMs: 5_000 }));
  await connection.deleteTopic('t');
  expect(await held).toMatchObject({ code: 'unknown-topic' });
  await connection.createTopic('t', { partitions: 1 });
  await send(connection, 't', 1);
  expect(offsets(await sync(connection))).toEqual([['t', 0, 0]]);
});

test('progress outlives the broker, also what lies above the floor, and old members do not', async () => {
  const data = dataFolder();
  const broker = await startTestBroker({ data });
  const connection = broker.connect();
  await connection.createTopic('t', { partitions: 1 });
  await send(connection, 't', 10);
  const first = await sync(connection);
  const queues = [{ ...first.queues[0], offset: 3, acked: [5, 7], attempts: [4, 2] }];
  await connection.call('group-commit', { ...GROUP, generation: first.generation, queues });
  await broker.stop();
  const later = (await startTestBroker({ data })).connect();
  expect(await errorOf(sync(later, next(first)))).toMatchObject({ code: 'stale-generation' });
  const [queue] = (await sync(later)).queues;
  expect(queue).toMatchObject({ offset: 3, acked: [5, 7], attempts: [4, 2] });
  expect((await later.groups()).map(({ group, lag }) => [group, lag])).toEqual([['g', 5]]);
});

test('a volatile topic begins anew with the broker', async () => {
  const data = dataFolder();
  const broker = await startTestBroker({ data });
  const connection = broker.connect();
  await connection.createTopic('t', { partitions: 1, durable: false });
  await send(connection, 't', 10);
  await commit(connection, await sync(connection), 8);
  await broker.stop();
  const later = (await startTestBroker({ data })).connect();
  await send(later, 't', 2);
  const assignment = await sync(later);
  const { nextOffset } = (await later.route('t')).partitions[0];
  expect(assignment.queues[0].offset).toBe(nextOffset - 2);
});

for (const way of ['in process', 'over WebSocket']) {
  test(`people look at groups, set, move and end them: ${way}`, async () => {
    const { connection: member, broker } = await startConnected({ data: dataFolder(), listen: { port: 0 } });
    const connection: Connection & GroupAdmin = way === 'in process' ? broker.connect() : connect(broker.url as string);
    await connection.createTopic('t', { partitions: 2 });
    await send(connection, 't', 10);
    const assignment = await sync(member);
    await commit(member, { ...assignment, queues: [assignment.queues[0]] }, 4);
    expect(await connection.groups()).toEqual([{ group: 'g', topics: ['t'], members: 1, lag: 6 }]);
    const described = await connection.describeGroup('g');
    expect(described.members.map(({ member, client }) => [member, client])).toEqual([['m', 'a test']]);
    expect(described.queues.map(({ owner, lag }) => [owner, lag])).toEqual([
      ['m', 6],
      ['m', 0],
    ]);
    expect(await connection.setGroup('g', { attemptsMax: 3 })).toMatchObject({ attemptsMax: 3 });
    expect(await errorOf(connection.resetGroup('g', 't', 'latest'))).toMatchObject({ code: 'group-in-use' });
    expect(await errorOf(connection.deleteGroup('g'))).toMatchObject({ code: 'group-in-use' });
    await member.call('group-leave', GROUP);
    await connection.resetGroup('g', 't', { offset: 7 }, 0);
    expect((await connection.groups())[0].lag).toBe(3);
    await connection.resetGroup('g', 't', 'earliest');
    expect((await connection.groups())[0].lag).toBe(10);
    const wrong = connection.resetGroup('g', 't', { offset: 11 }, 0);
    expect(await errorOf(wrong)).toMatchObject({ code: 'offset-out-of-range' });
    expect(await errorOf(connection.resetGroup('g', 'misspelt', 'latest'))).toMatchObject({ code: 'unknown-topic' });
    expect(await errorOf(connection.route('misspelt'))).toMatchObject({ code: 'unknown-topic' });
    await connection.deleteGroup('g');
    expect(await connection.groups()).toEqual([]);
    for (const call of [
      connection.describeGroup('g'),
      connection.resetGroup('g', 't', 'latest'),
      connection.deleteGroup('g'),
    ]) {
      expect(await errorOf(call)).toMatchObject({ code: 'unknown-group' });
    }
    expect(await errorOf(connection.describeGroup('a|b'))).toMatchObject({ code: 'illegal-group' });
    await connection.close();
  });
}

test('of two consumers with one id the second is refused, and the first one goes on', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('t', { partitions: 1 });
  const texts: string[] = [];
  const errors: Error[] = [];
  const options = { group: 'g', member: 'm', onError: (error: Error) => void errors.push(error) };
  const first = connection.consumer('t', { ...options, onMessage: (message) => void texts.push(message.text()) });
  await first.ready();
  const second = connection.consumer('t', { ...options, onMessage: () => {} });
  expect(await errorOf(second.ready())).toMatchObject({ code: 'member-exists' });
  await send(connection, 't', 3);
  await until(() => texts.length === 3, 'all messages');
  expect([texts, errors]).toEqual([['0', '1', '2'], []]);
});
