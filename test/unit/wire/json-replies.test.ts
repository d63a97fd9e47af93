import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJsonCommand } from '../../../src/wire/json.ts';
import * as replies from '../../../src/wire/json-replies.ts';
import { RECORD_FLAG_JSON } from '../../../src/wire/json-text.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const DELIVERY: replies.JsonDelivery = {
  topic: 't',
  partition: 1,
  epoch: 2,
  offset: 3,
  key: '',
  tag: '',
  properties: {},
  bornAt: 4,
  storedAt: 5,
  body: utf8('hi'),
  flags: 0,
};

/** What a subscriber sees of the body after a publish of `fields`. */
function delivered(fields: object): unknown {
  const command = parseJsonCommand(utf8(JSON.stringify({ op: 'publish', topic: 't', ...fields })));
  if (command.op !== 'publish') throw new Error(`unexpected ${command.op}`);
  const [{ key, tag, properties, body, flags }] = command.messages;
  return JSON.parse(replies.jsonMessage({ ...DELIVERY, key, tag, properties, body, flags }));
}

describe('message', () => {
  test('leaves out what is empty', () => {
    expect(replies.jsonMessage(DELIVERY)).toBe(
      '{"op":"message","topic":"t","partition":1,"epoch":2,"offset":3,"bornAt":4,"storedAt":5,"body":"hi"}',
    );
  });

  test('carries key, tag and properties', () => {
    const message = { ...DELIVERY, key: 'k', tag: 'a', properties: { p: 'v' } };
    expect(JSON.parse(replies.jsonMessage(message))).toMatchObject({ key: 'k', tag: 'a', properties: { p: 'v' } });
  });

  test('any JSON value that was published is delivered as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (body) => {
        const expected = JSON.parse(JSON.stringify(body));
        expect(delivered({ body })).toMatchObject({ op: 'message' });
        expect((delivered({ body }) as { body: unknown }).body).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('any string, even half a surrogate pair or text that looks like JSON', () => {
    for (const body of ['', 'null', '{"op":"error"}', '\ud800', '\ufeffx', '\u2028', '"', '\0', 'ünïcödé 🎉']) {
      expect((delivered({ body }) as { body: unknown }).body).toBe(body);
    }
  });

  test('any bytes: as text where they are UTF-8, else as base64', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const bodyBase64 = Buffer.from(bytes).toString('base64');
        const message = delivered({ bodyBase64 }) as { body?: string; bodyBase64?: string };
        const back = message.body === undefined ? Buffer.from(message.bodyBase64!, 'base64') : utf8(message.body);
        expect(Buffer.from(bytes).equals(back)).toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(delivered({ bodyBase64: '/w==' })).toMatchObject({ bodyBase64: '/w==' });
    const large = new Uint8Array(1_000_000).fill(0x80);
    const text = replies.jsonMessage({ ...DELIVERY, body: large });
    expect(Buffer.from(JSON.parse(text).bodyBase64, 'base64').equals(large)).toBe(true);
  });

  test('a body in shared memory', () => {
    const body = new Uint8Array(new SharedArrayBuffer(2));
    body.set(utf8('ok'));
    expect(JSON.parse(replies.jsonMessage({ ...DELIVERY, body })).body).toBe('ok');
    body.fill(0xff);
    expect(JSON.parse(replies.jsonMessage({ ...DELIVERY, body })).bodyBase64).toBe('//8=');
  });

  test('a body that only claims to be JSON cannot forge members', () => {
    for (const forged of ['1,"op":"error"', '1}{"op":"error"', '', '{', '\ufeff1', '1,"offset":99']) {
      const text = replies.jsonMessage({ ...DELIVERY, body: utf8(forged), flags: RECORD_FLAG_JSON });
      expect(JSON.parse(text)).toMatchObject({ op: 'message', offset: 3, body: forged });
    }
  });

  test('JSON text of other publishers is passed on digit by digit', () => {
    const body = utf8(' {"n": 12345678901234567890} ');
    const text = replies.jsonMessage({ ...DELIVERY, body, flags: RECORD_FLAG_JSON | 1 });
    expect(text).toContain('12345678901234567890');
    expect(JSON.parse(text).op).toBe('message');
  });
});

describe('answers', () => {
  const route = {
    topic: 't',
    topicId: 1,
    version: 2,
    overflow: 'block',
    ringBytes: 3,
    messageMaxBytes: 4,
    direct: false,
    durable: false,
    retentionMs: 0,
    retentionBytes: 0,
    partitions: [
      {
        id: 9,
        number: 0,
        owner: 2,
        epoch: 1,
        permission: 6,
        available: true,
        nextOffset: 5,
        oldestOffset: 0,
        epochs: [],
      },
    ],
  } as const;
  const epochs = [
    { epoch: 0, offset: 0 },
    { epoch: 1, offset: 3 },
  ];
  const durableRoute = {
    ...route,
    durable: true,
    retentionMs: 60_000,
    retentionBytes: 1_000,
    partitions: [{ ...route.partitions[0], oldestOffset: 2, epochs }],
  };
  const routeJson = {
    topic: 't',
    version: 2,
    overflow: 'block',
    ringBytes: 3,
    messageMaxBytes: 4,
    direct: false,
    durable: false,
    partitions: [{ partition: 0, epoch: 1, permission: 6, available: true, nextOffset: 5 }],
  };
  const start = { id: 9, number: 0, epoch: 1, offset: 5, gap: false, gapFrom: 0 };
  const gap = { topic: 't', number: 0, epoch: 1, fromOffset: 2, toOffset: 5, reason: 'evicted' } as const;
  const pull = { number: 0, epoch: 1, nextOffset: 5, gap: false };
  const text = 'no such topic';

  const cases: readonly (readonly [name: string, frame: string, value: object])[] = [
    ['ok', replies.jsonOk(1), { op: 'ok', id: 1 }],
    ['ack', replies.jsonAck(1, 2, 3, 4), { op: 'ack', id: 1, partition: 2, offset: 3, count: 4 }],
    ['pong', replies.jsonPong(0, 5), { op: 'pong', time: 5 }],
    [
      'error',
      replies.jsonError(7, 'unknown-topic'),
      { op: 'error', id: 7, code: 'unknown-topic', number: 200, advice: 'fix', text },
    ],
    [
      'error in other words',
      replies.jsonError(0, 'busy', 'wait'),
      { op: 'error', code: 'busy', number: 100, advice: 'retry', text: 'wait' },
    ],
    [
      'subscribed',
      replies.jsonSubscribed(1, 't', [start, { ...start, number: 1, gap: true, gapFrom: 3 }]),
      {
        op: 'subscribed',
        id: 1,
        topic: 't',
        partitions: [
          { partition: 0, epoch: 1, offset: 5 },
          { partition: 1, epoch: 1, offset: 5, gapFrom: 3 },
        ],
      },
    ],
    ['gap', replies.jsonGap(gap), { op: 'gap', topic: 't', partition: 0, epoch: 1, from: 2, to: 5, reason: 'evicted' }],
    ['route', replies.jsonRoute(1, route), { op: 'route', id: 1, ...routeJson }],
    [
      'route of a durable topic',
      replies.jsonRoute(0, durableRoute),
      {
        op: 'route',
        ...routeJson,
        durable: true,
        retentionMs: 60_000,
        retentionBytes: 1_000,
        partitions: [{ ...routeJson.partitions[0], oldestOffset: 2, epochs }],
      },
    ],
    [
      'route of a durable topic that is kept as long as the broker keeps',
      replies.jsonRoute(0, { ...durableRoute, retentionMs: 0, retentionBytes: 0, partitions: [] }),
      { op: 'route', ...routeJson, durable: true, partitions: [] },
    ],
    [
      'offsets',
      replies.jsonOffsets(3, 'g', 't', [{ partition: 1, epoch: 2, offset: 3 }]),
      { op: 'offsets', id: 3, group: 'g', topic: 't', positions: [{ partition: 1, epoch: 2, offset: 3 }] },
    ],
    [
      'queried',
      replies.jsonQueried(3, 't', [{ partition: 1, epoch: 2, offset: 3, storedAt: 4 }], true),
      { op: 'queried', id: 3, topic: 't', matches: [{ partition: 1, epoch: 2, offset: 3, storedAt: 4 }], more: true },
    ],
    ['topics', replies.jsonTopics(1, [route], true), { op: 'topics', id: 1, topics: [routeJson], more: true }],
    [
      'route-changed',
      replies.jsonRouteChanged('t', 3, true),
      { op: 'route-changed', topic: 't', version: 3, deleted: true },
    ],
    [
      'pulled',
      replies.jsonPulled(1, pull, [replies.jsonMessage(DELIVERY), replies.jsonMessage(DELIVERY)]),
      {
        op: 'pulled',
        id: 1,
        partition: 0,
        epoch: 1,
        nextOffset: 5,
        gap: false,
        messages: [JSON.parse(replies.jsonMessage(DELIVERY)), JSON.parse(replies.jsonMessage(DELIVERY))],
      },
    ],
    [
      'pulled, empty',
      replies.jsonPulled(0, pull, []),
      { op: 'pulled', partition: 0, epoch: 1, nextOffset: 5, gap: false, messages: [] },
    ],
  ];

  test.each(cases)('%s', (_, frame, value) => {
    expect(JSON.parse(frame)).toStrictEqual(value);
  });
});
