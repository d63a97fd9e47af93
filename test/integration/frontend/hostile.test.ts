// Frames that nobody would send. The rule: whatever one client does, the thread lives and other clients notice nothing.
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import { encodeFrame } from '../../../src/wire/codec.ts';
import type { PartitionRoute } from '../../../src/wire/commands.ts';
import { SAMPLE_LIST } from '../../layout/command-samples.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, batchOf, joined, KINDS, RawClient, start, stopAll } from './harness.ts';

const RUNS = 150;
const opened: RawClient[] = [];
let marks = 0;

describe.each(KINDS)('hostile clients over %s', (transport) => {
  let broker: Broker;
  let url: string;
  let good: BinaryClient;
  let partition: PartitionRoute;

  beforeAll(async () => {
    broker = await start({ transport, connectionsMax: 1_000 });
    url = broker.url as string;
    good = await BinaryClient.connect(url);
    [partition] = (await good.createTopic('t', { overflow: 'drop-oldest', ringBytes: 65_536 })).partitions;
    await good.subscribe('t');
  });

  afterEach(async () => {
    for (const client of opened.splice(0)) client.raw.terminate();
    await isWell();
  });

  afterAll(stopAll);

  /** Others go on: what they publish is acknowledged and delivered. */
  async function isWell(): Promise<void> {
    const mark = `still here ${++marks}`;
    const entry = await good.ack(good.publish(partition, [mark]));
    expect(entry.status).toBe(0);
    await until(() => good.delivered.some((one) => one.text === mark), 'the message arrives');
    good.delivered.length = 0;
    expect(good.closed).toBeUndefined();
  }

  async function stranger(hello = true): Promise<BinaryClient> {
    const client = await BinaryClient.connect(url, hello);
    client.keeps = false;
    opened.push(client);
    return client;
  }

  /** Sends frames one after another, each on a connection that is open. */
  async function send(frames: Iterable<Uint8Array>): Promise<void> {
    let client = await stranger();
    for (const frame of frames) {
      if (client.closed !== undefined || client.raw.readyState !== client.raw.OPEN) client = await stranger();
      client.raw.send(frame);
    }
    // It has been looked at when a later command is answered, or the session is closed for it.
    await client.ask({ type: 'ping', time: 0 }).catch(() => {});
  }

  test.each<[string, () => Uint8Array | string]>([
    ['an empty frame', () => new Uint8Array(0)],
    ['four bytes', () => new Uint8Array(4)],
    ['a length that is no multiple of eight', () => batchOf(partition, ['a']).slice(0, -3)],
    ['a text frame', () => '{"op":"ping"}'],
    ['zeros', () => new Uint8Array(256)],
    ['a negative size that is no command', () => new Uint8Array(new Int32Array([-2, 0, 0, 0]).buffer)],
    ['a command of nothing', () => new Uint8Array(new Int32Array([-1, 8]).buffer)],
    ['a batch that says it is longer than the frame', () => patched(batchOf(partition, ['a']), 0, 4_096)],
    ['a batch that says it is shorter than its header', () => patched(batchOf(partition, ['a']), 0, 56)],
    [
      'garbage behind a good batch',
      () => joined(batchOf(partition, ['a'], { ack: 'none' }), new Uint8Array(64).fill(7)),
    ],
    ['more than a frame may have', () => new Uint8Array(4 * 1024 * 1024 + 8)],
  ])('%s closes the session with 4500', async (_, frame) => {
    const client = await stranger();
    client.raw.send(frame());
    expect(await client.ended()).toMatchObject({ code: 4500 });
  });

  test('a message beyond every limit closes the connection', async () => {
    const client = await stranger();
    client.raw.send(new Uint8Array(9 * 1024 * 1024));
    expect([1009, 1006]).toContain((await client.ended()).code);
  });

  test('batches before hello close the session; commands are refused', async () => {
    const client = await stranger(false);
    await expect(client.ask({ type: 'topics-request', after: '', limit: 1 })).rejects.toThrow('hello-expected');
    client.raw.send(batchOf(partition, ['a']));
    expect(await client.ended()).toMatchObject({ code: 4500 });
  });

  test('a command that cannot be read is refused, and one too many closes the session', async () => {
    const client = await stranger();
    const frame = encodeFrame({ correlation: 99, command: { type: 'ping', time: 1 } });
    const broken = frame.slice();
    // The type of the union: a command of a newer version.
    broken[broken.indexOf(20, 24)] = 200;
    client.raw.send(broken);
    await until(() => client.commands.length > 1, 'it is answered');
    expect(client.commands.at(-1)?.command).toMatchObject({ type: 'refused' });
    for (let i = 0; i < 40; i++) client.raw.send(broken);
    expect(await client.ended()).toMatchObject({ code: 4500 });
  });

  test('any bytes', async () => {
    const frames = fc.sample(fc.uint8Array({ maxLength: 400 }), { numRuns: RUNS, seed: 1 });
    await send(frames);
  });

  test('any words', async () => {
    const word = fc.oneof(fc.integer(), fc.constantFrom(-1, 0, 8, 64, 88, 96, 0x01014d52, 0x02014d52, 0x7fff_ffff));
    const words = fc.array(word, { maxLength: 80 }).map((list) => new Uint8Array(new Int32Array(list).buffer));
    await send(fc.sample(words, { numRuns: RUNS, seed: 2 }));
  });

  test('every command, cut off and with bytes changed', async () => {
    const commands = SAMPLE_LIST.map((command) => encodeFrame({ correlation: 7, command }));
    const cut = commands.flatMap((frame) =>
      fc
        .sample(fc.integer({ min: 0, max: frame.length }), { numRuns: 4, seed: 3 })
        .map((length) => frame.slice(0, length & ~7)),
    );
    await send([...commands, ...cut, ...commands.flatMap((frame) => mutations(frame, 12, 4))]);
  });

  test('batches with changed bytes', async () => {
    const batch = batchOf(partition, ['one', 'two', 'three'], { ack: 'accepted' });
    await send([...mutations(batch, RUNS, 5), ...mutations(joined(batch, batch, batch), RUNS, 6)]);
  });

  test('readable commands of any kind', async () => {
    const client = await new RawClient(url, ['ringmq.json.v1']).open();
    opened.push(client);
    const texts = fc.sample(fc.oneof(fc.json(), fc.string(), command()), { numRuns: RUNS * 2, seed: 7 });
    let current = client;
    for (const text of texts) {
      if (current.closed !== undefined || current.raw.readyState !== current.raw.OPEN) {
        current = await new RawClient(url, ['ringmq.json.v1']).open();
        opened.push(current);
      }
      current.raw.send(text);
    }
    await isWell();
  });

  test('a client that asks much and reads nothing is closed, and disturbs nobody', async () => {
    const client = await stranger();
    client.raw.pause();
    const pull = encodeFrame({
      correlation: 1,
      command: {
        type: 'pull',
        topic: 't',
        partition: 0,
        epoch: 0,
        from: 'earliest',
        maxBytes: 1 << 20,
        waitMs: 0,
        filter: '',
      },
    });
    for (let i = 0; i < 40; i++) good.publish(partition, ['filler'.repeat(200)]);
    // Answers of about 50 KB each: in the end more than the sockets and the limit on buffered bytes hold.
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 15; i++) client.raw.send(pull);
      await good.ask({ type: 'ping', time: round });
    }
    await isWell();
    client.raw.resume();
    expect((await client.ended(30_000)).code).toBe(4001);
  });

  test('clients that come and go at once', async () => {
    for (let round = 0; round < 5; round++) {
      const clients = await Promise.all(
        Array.from({ length: 30 }, () => new BinaryClient(url, ['ringmq.bin.v1']).open()),
      );
      for (const client of clients) {
        client.send({ type: 'hello', client: '', version: '', token: '' });
        client.send(
          {
            type: 'subscribe',
            subscription: 1,
            topic: 't',
            from: 'earliest',
            partitions: [],
            windowBytes: 0,
            filter: '',
          },
          5,
        );
        client.raw.send(batchOf(partition, ['bye'], { ack: 'accepted' }));
        client.raw.terminate();
      }
    }
    await isWell();
  });
});

function patched(frame: Uint8Array, word: number, value: number): Uint8Array {
  const copy = frame.slice();
  new DataView(copy.buffer).setInt32(word * 4, value, true);
  return copy;
}

/** Copies with one to four bytes or words changed. */
function mutations(frame: Uint8Array, count: number, seed: number): Uint8Array[] {
  const change = fc.record({
    at: fc.integer({ min: 0, max: frame.length - 4 }),
    value: fc.oneof(fc.integer(), fc.constantFrom(0, -1, 1, 0x7fff_ffff, frame.length, frame.length - 8)),
    wide: fc.boolean(),
  });
  return fc.sample(fc.array(change, { minLength: 1, maxLength: 4 }), { numRuns: count, seed }).map((changes) => {
    const copy = frame.slice();
    const view = new DataView(copy.buffer);
    for (const { at, value, wide } of changes) {
      if (wide) view.setInt32(at & ~3, value, true);
      else view.setInt8(at, value & 255);
    }
    return copy;
  });
}

/** Something that looks like a command. */
function command() {
  const op = fc.constantFrom('publish', 'subscribe', 'unsubscribe', 'pull', 'ping', 'topics', 'route', 'delete-topic');
  const topic = fc.oneof(fc.constant('t'), fc.string());
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom('earliest', 'latest', -1, 2 ** 53));
  return fc
    .record(
      { op, topic, id: fc.oneof(fc.nat(), value), body: value, from: value, partition: value },
      { requiredKeys: ['op'] },
    )
    .filter(({ op: name }) => name !== 'delete-topic')
    .map((fields) => JSON.stringify(fields));
}
