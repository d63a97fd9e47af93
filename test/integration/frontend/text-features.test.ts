// Every feature of groups, leases, delays and transactions by hand: over the readable protocol and over plain HTTP.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import type { GroupAssignment, GroupDescription, Method, Received } from '../../../src/wire/services.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { RawClient, start, stopAll } from './harness.ts';

type Text = { readonly [name: string]: unknown };
type Read = { readonly topic: string; readonly partition: number; readonly offset: number; readonly body: string };

/** What came back: `code` and `text` if it was refused. */
interface Answer {
  readonly code?: string;
  readonly text?: string;
  readonly result: unknown;
  readonly messages: readonly (Read & { readonly properties?: Readonly<Record<string, string>> })[];
}

interface Way {
  call(method: Method, params: object, messages?: readonly object[]): Promise<Answer>;
  publish(topic: string, message: object): Promise<Answer>;
  pull(topic: string, offset: number, filter?: string): Promise<Answer>;
}

class JsonWay extends RawClient implements Way {
  private readonly said: Text[] = [];
  private id = 0;

  call(method: Method, params: object, messages?: readonly object[]): Promise<Answer> {
    return this.ask({ op: 'call', method, params, ...(messages && { messages }) });
  }

  publish(topic: string, message: object): Promise<Answer> {
    return this.ask({ op: 'publish', topic, ...message });
  }

  pull(topic: string, offset: number, filter?: string): Promise<Answer> {
    return this.ask({ op: 'pull', topic, from: { offset }, waitMs: 0, ...(filter && { filter }) });
  }

  protected override took(data: Buffer): void {
    this.said.push(JSON.parse(data.toString()) as Text);
  }

  private async ask(command: object): Promise<Answer> {
    const id = ++this.id;
    this.raw.send(JSON.stringify({ id, ...command }));
    await until(() => this.said.some((one) => one.id === id), `an answer to ${JSON.stringify(command)}`);
    return this.said.find((one) => one.id === id) as unknown as Answer;
  }
}

class HttpWay implements Way {
  private readonly url: string;

  constructor(url: string) {
    this.url = url.replace('ws:', 'http:');
  }

  call(method: Method, params: object, messages?: readonly object[]): Promise<Answer> {
    return this.ask('POST', `/api/call/${method}`, { ...params, ...(messages && { messages }) });
  }

  publish(topic: string, message: object): Promise<Answer> {
    return this.ask('POST', `/api/topics/${topic}/messages`, message);
  }

  pull(topic: string, offset: number, filter?: string): Promise<Answer> {
    const path = `/api/topics/${encodeURIComponent(topic)}/messages?offset=${offset}&wait=0`;
    return this.ask('GET', filter ? `${path}&filter=${encodeURIComponent(filter)}` : path);
  }

  private async ask(method: string, path: string, body?: object): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
    const answer = (await (await fetch(`${this.url}${path}`, init)).json()) as Answer & { readonly error?: object };
    return answer.error ? ({ ...answer.error, result: undefined, messages: [] } as Answer) : answer;
  }
}

const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-text-features-'));
let broker: Broker;

beforeAll(async () => {
  const quick = { transactionTimeoutMs: 300, transactionCheckMs: 300 };
  broker = await start({}, { data, ...quick });
});

afterAll(async () => {
  await stopAll();
  fs.rmSync(data, { recursive: true });
});

const WAYS: Readonly<Record<string, () => Promise<Way>>> = {
  'over JSON': () => new JsonWay(broker.url as string, ['ringmq.json.v1']).open(),
  'over HTTP': async () => new HttpWay(broker.url as string),
};

const bodies = ({ messages }: Answer): string[] => messages.map((one) => one.body);

describe.each(Object.keys(WAYS))('%s', (name) => {
  const prefix = name === 'over JSON' ? 'json' : 'http';
  let way: Way;
  let topics = 0;

  beforeAll(async () => {
    way = await WAYS[name]();
  });

  /** A topic of one partition and a group that nobody else uses. */
  async function fresh(): Promise<{ readonly topic: string; readonly group: string }> {
    topics++;
    await broker.connect().createTopic(`${prefix}-${topics}`, { partitions: 1 });
    return { topic: `${prefix}-${topics}`, group: `${prefix}-group-${topics}` };
  }

  async function describeGroup(group: string): Promise<GroupDescription> {
    return (await way.call('group-describe', { group })).result as GroupDescription;
  }

  /** There may be no topic yet. */
  async function untilRead(topic: string, count: number): Promise<void> {
    const ask = (): Promise<Answer> => way.pull(topic, 0);
    await untilAnswer(ask, ({ messages }) => messages?.length === count, `${count} messages in ${topic}`);
  }

  test('a push member joins, reads, commits, gives up to another one, and leaves', async () => {
    const { topic, group } = await fresh();
    for (const body of ['a', 'b', 'c']) await way.publish(topic, { body });
    const a = { group, topic, member: 'a', from: 'earliest' };
    const first = (await way.call('group-sync', a)).result as GroupAssignment;
    const [queue] = first.queues;
    expect([queue.partition, queue.offset]).toEqual([0, 0]);
    expect(bodies(await way.pull(topic, 0))).toEqual(['a', 'b', 'c']);
    const progress = { ...queue, offset: 1, acked: [2, 3] };
    const committed = await way.call('group-commit', {
      ...a,
      from: undefined,
      generation: first.generation,
      queues: [progress],
    });
    expect(committed.code).toBeUndefined();
    expect((await describeGroup(group)).queues[0]).toMatchObject({ owner: 'a', offset: 1, acked: [2, 3], lag: 1 });
    await way.call('group-sync', { ...a, member: 'b' });
    const held = { ...a, generation: first.generation, owned: [{ topic, partition: 0 }] };
    const second = (await way.call('group-sync', held)).result as GroupAssignment;
    expect(second.generation).toBeGreaterThan(first.generation);
    const stranger = { group, topic, member: 'b', generation: second.generation, queues: [progress] };
    expect(await way.call('group-commit', stranger)).toMatchObject({ code: 'stale-generation' });
    await way.call('group-leave', { group, topic, member: 'a' });
    const taken = (await way.call('group-sync', { ...a, member: 'b' })).result as GroupAssignment;
    expect(taken.queues[0]).toMatchObject({ offset: 1, acked: [2, 3] });
    await way.call('group-leave', { group, topic, member: 'b' });
    expect((await describeGroup(group)).members).toEqual([]);
  });

  test('a member that holds a partition seeks in it', async () => {
    const { topic, group } = await fresh();
    for (const body of ['a', 'b', 'c']) await way.publish(topic, { body });
    const member = { group, topic, member: 'm' };
    const { generation, queues } = (await way.call('group-sync', { ...member, from: 'earliest' }))
      .result as GroupAssignment;
    const commit = (offset: number, more: object = {}): Promise<Answer> => {
      return way.call('group-commit', { ...member, generation, queues: [{ ...queues[0], offset }], ...more });
    };
    const lag = async (): Promise<number> => (await describeGroup(group)).queues[0].lag;
    await commit(3);
    expect(await lag()).toBe(0);
    await commit(1);
    expect(await lag(), 'progress does not go back by itself').toBe(0);
    await commit(1, { anew: true });
    expect(await lag()).toBe(2);
    expect(await commit(9, { anew: true })).toMatchObject({ code: 'offset-out-of-range' });
  });

  test('while a message is out, later ones of its key wait, and others do not', async () => {
    const { topic, group } = await fresh();
    for (const body of ['a1', 'b1', 'a2']) await way.publish(topic, { body, key: body[0] });
    const receive = { group, topic, member: 'm', from: 'earliest', order: 'key', waitMs: 5_000, maxMessages: 3 };
    const first = await way.call('receive', receive);
    expect(bodies(first)).toEqual(['a1', 'b1']);
    const { messages: lease } = first.result as Received;
    const acks = [lease[1], lease[2]];
    await way.call('settle', { group, topic, queues: [{ topic, partition: 0, acks }] });
    expect(bodies(await way.call('receive', receive))).toEqual(['a2']);
  });

  test('messages are received, acknowledged, refused, prolonged; leases expire', async () => {
    const { topic, group } = await fresh();
    await way.call('group-settings', { group, settings: { retryDelaysMs: [20], attemptsMax: 5 } });
    for (const body of ['a', 'b', 'c']) await way.publish(topic, { body });
    const receive = { group, topic, member: 'm', from: 'earliest', waitMs: 5_000, maxMessages: 3 };
    const settle = (more: object) => way.call('settle', { group, topic, queues: [{ topic, partition: 0, ...more }] });
    const first = await way.call('receive', receive);
    expect(bodies(first)).toEqual(['a', 'b', 'c']);
    const { messages: leases } = first.result as Received;
    const lease = (n: number): number[] => [leases[n * 4 + 1], leases[n * 4 + 2]];
    await settle({ acks: lease(1), nacks: [...lease(0), 10], extensions: [...lease(2), 1] });
    const came = new Map<string, number[]>();
    while (came.size < 2) {
      const more = await way.call('receive', { ...receive, maxMessages: 1 });
      came.set(more.messages[0].body, [...(more.result as Received).messages]);
    }
    expect([...came.keys()].sort()).toEqual(['a', 'c']);
    expect([...came.values()].map((one) => one[3])).toEqual([2, 2]);
    const stale = await settle({ acks: lease(2) });
    expect(stale.result).toEqual({ stale: [[2]] });
  });

  test('failures climb the ladder to the dead letters, and are replayed', async () => {
    const { topic, group } = await fresh();
    const set = await way.call('group-settings', { group, settings: { retryDelaysMs: [10, 20], attemptsMax: 2 } });
    expect(set.result).toEqual({ retryDelaysMs: [10, 20], attemptsMax: 2 });
    await way.publish(topic, { body: 'poison' });
    const member = { group, topic, member: 'm' };
    const { queues } = (await way.call('group-sync', { ...member, from: 'earliest' })).result as GroupAssignment;
    const failed = { ...member, queue: { topic, partition: 0 }, epoch: queues[0].epoch, offset: 0, delayMs: 0 };
    const later = await way.call('send-back', { ...failed, attempts: 1 });
    expect(later.result).toEqual({ deadLetter: false });
    await untilRead(`%RETRY%${group}|${topic}`, 1);
    await way.call('group-leave', member);
    const { topic: other, group: dead } = await fresh();
    await way.publish(other, { body: 'poison' });
    const receive = { group: dead, topic: other, member: 'm', from: 'earliest', waitMs: 5_000 };
    await way.call('group-settings', { group: dead, settings: { attemptsMax: 1 } });
    const { messages: lease } = (await way.call('receive', receive)).result as Received;
    const nacks = [lease[1], lease[2], -1];
    await way.call('settle', { group: dead, topic: other, queues: [{ topic: other, partition: 0, nacks }] });
    await untilAnswer(
      () => describeGroup(dead),
      ({ deadLetters }) => deadLetters === 1,
      'it is a dead letter',
    );
    const letters = await way.pull(`%DLQ%${dead}`, 0);
    expect(letters.messages[0]).toMatchObject({ body: 'poison', properties: { REAL_TOPIC: other } });
    expect((await way.call('dlq-replay', { group: dead })).result).toEqual({ replayed: 1, left: 0 });
    await untilRead(other, 2);
  });

  test('groups are listed, reset to an offset, a time, the earliest and the latest, and deleted', async () => {
    const { topic, group } = await fresh();
    for (const body of ['a', 'b']) await way.publish(topic, { body });
    const { result } = await way.call('group-sync', { group, topic, member: 'm', from: 'earliest' });
    expect((result as GroupAssignment).queues).toHaveLength(1);
    const reset = (to: unknown, partition = -1) => way.call('group-reset', { group, topic, partition, to });
    expect(await reset('latest')).toMatchObject({ code: 'group-in-use' });
    await way.call('group-leave', { group, topic, member: 'm' });
    const lags = [];
    for (const [to, partition] of [
      ['latest'],
      ['earliest'],
      [{ offset: 1 }, 0],
      [{ time: Date.now() + 60_000 }],
    ] as const) {
      await reset(to, partition);
      lags.push((await describeGroup(group)).queues[0].lag);
    }
    expect(lags).toEqual([0, 2, 1, 0]);
    expect(await reset({ offset: 9 }, 0)).toMatchObject({ code: 'offset-out-of-range' });
    const listed = async () => JSON.stringify((await way.call('group-list', {})).result).includes(`"${group}"`);
    expect(await listed()).toBe(true);
    await way.call('group-delete', { group });
    expect(await listed()).toBe(false);
  });

  test('delayed messages come when they are due, recalled ones do not; priorities go first', async () => {
    const { topic, group } = await fresh();
    const deliverAt = [Date.now() + 100, Date.now() + 300];
    const messages = [{ body: 'comes', key: 'k' }, { body: 'never' }];
    const { handles } = (await way.call('schedule', { topic, deliverAt }, messages)).result as { handles: string[] };
    await way.call('recall', { handle: handles[1] });
    expect(await way.call('recall', { handle: handles[1] })).toMatchObject({ code: 'too-late' });
    await way.publish(topic, { body: 'later', delayMs: 150 });
    await untilRead(topic, 2);
    await until(() => Date.now() > deliverAt[1] + 50, 'the time of the other one is over');
    expect(bodies(await way.pull(topic, 0))).toEqual(['comes', 'later']);
    await way.publish(topic, { body: 'urgent', priority: 9 });
    const receive = { group, topic, member: 'm', from: 'earliest', order: 'none', priority: true, maxMessages: 3 };
    expect(bodies(await way.call('receive', { ...receive, waitMs: 5_000 }))).toEqual(['urgent', 'comes', 'later']);
  });

  test('transactions are prepared, committed, rolled back, and asked about', async () => {
    const { topic, group: producerGroup } = await fresh();
    const messages = [{ body: 'yes' }, { body: 'no' }, { body: 'open' }];
    const prepared = await way.call('transaction-prepare', { topic, producerGroup }, messages);
    const { transactions } = prepared.result as { transactions: string[] };
    const [yes, no, open] = transactions;
    const end = { commits: [yes], rollbacks: [no], receipts: true };
    expect((await way.call('transaction-end', end)).result).toEqual({
      commits: ['ok'],
      rollbacks: ['ok'],
      places: [0, 0],
    });
    const other = await way.call('transaction-end', { commits: [no] });
    expect(other.result).toMatchObject({ commits: ['transaction-ended'] });
    const never = await way.call('transaction-end', { commits: ['000000010000000000000099'] });
    expect(never.result).toMatchObject({ commits: ['unknown-transaction'] });
    const asked = await way.call('transaction-checks', { producerGroup, waitMs: 10_000 });
    expect([bodies(asked), asked.result]).toEqual([['open'], { checks: [{ transaction: open, topic, checks: 1 }] }]);
    await way.call('transaction-end', { commits: [open] });
    await untilRead(topic, 2);
    expect(bodies(await way.pull(topic, 0))).toEqual(['yes', 'open']);
  });

  test('filters by tag and by SQL, of pulls and of leases', async () => {
    const { topic, group } = await fresh();
    for (const [i, tag] of ['a', 'b', 'a'].entries()) {
      await way.publish(topic, { body: `${i}`, tag, properties: { n: `${i}` } });
    }
    expect(bodies(await way.pull(topic, 0, 'b'))).toEqual(['1']);
    const receive = { group, topic, member: 'm', from: 'earliest', filter: "sql:TAGS = 'a' AND n > 1", waitMs: 5_000 };
    expect(bodies(await way.call('receive', receive))).toEqual(['2']);
  });

  test('bad input is refused by code, with a text that says what is wrong', async () => {
    const { topic, group } = await fresh();
    const receive = { group, topic, member: 'm', waitMs: 0 };
    const cases: readonly (readonly [Promise<Answer>, string, RegExp])[] = [
      [way.call('group-describe', { group: 'nobody' }), 'unknown-group', /nobody|no such group/],
      [way.call('group-describe', { group: 'a|b' }), 'illegal-group', /A-Z a-z 0-9/],
      [way.call('receive', { ...receive, topic: 'no topic' }), 'illegal-topic', /A-Z a-z 0-9/],
      [way.call('receive', { ...receive, filter: 'sql:price >' }), 'illegal-filter', /column 8/],
      [way.pull(topic, 0, 'a || || b'), 'illegal-filter', /column 5/],
      [way.call('receive', { ...receive, maxMessages: 0 }), 'illegal-argument', /maxMessages/],
      [way.call('recall', { handle: 'nonsense' }), 'illegal-argument', /handle/],
      [way.publish(topic, { body: 'x', priority: 10 }), 'malformed-command', /priority.*9/],
      [way.publish(topic, { body: 'x', delayMs: 367 * 86_400_000 }), 'delay-out-of-range', /366 days/],
    ];
    for (const [asked, code, text] of cases) {
      expect(await asked).toMatchObject({ code, text: expect.stringMatching(text) });
    }
    await way.call('group-sync', { group, topic, member: 'm', client: 'one' });
    const twin = await way.call('group-sync', { group, topic, member: 'm', client: 'two' });
    expect(twin).toMatchObject({ code: 'member-exists', text: expect.stringContaining('choose another id') });
  });
});
