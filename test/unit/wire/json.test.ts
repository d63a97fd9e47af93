import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import { CommandError } from '../../../src/wire/frame.ts';
import { JSON_COMMAND_BYTES_MAX, JSON_DEPTH_MAX, type JsonCommand, parseJsonCommand } from '../../../src/wire/json.ts';
import { JSON_MESSAGES_MAX } from '../../../src/wire/json-schema.ts';
import { RECORD_FLAG_JSON } from '../../../src/wire/json-text.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (value: unknown): JsonCommand => parseJsonCommand(utf8(JSON.stringify(value)));
const parseText = (text: string): JsonCommand => parseJsonCommand(utf8(text));

function refusal(run: () => unknown): CommandError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toBeInstanceOf(RingmqError);
    return error as CommandError;
  }
  throw new Error('it was accepted');
}

const MESSAGE = { key: '', tag: '', properties: {}, flags: 0 } as const;

describe('every op', () => {
  const cases: readonly (readonly [input: object, output: object])[] = [
    [
      { op: 'publish', topic: 't', body: 'hi' },
      { op: 'publish', id: 0, topic: 't', ack: undefined, messages: [{ ...MESSAGE, body: utf8('hi') }] },
    ],
    [
      { op: 'publish', topic: 't', key: 'k', tag: 'a', properties: { p: 'v' }, body: { n: 1 }, ack: 'none', id: 1 },
      {
        op: 'publish',
        id: 1,
        topic: 't',
        ack: 'none',
        messages: [{ key: 'k', tag: 'a', properties: { p: 'v' }, flags: RECORD_FLAG_JSON, body: utf8('{"n":1}') }],
      },
    ],
    [
      { op: 'publish', topic: 't', messages: [{ body: 'a' }, { key: 'k', bodyBase64: 'AP8=' }], id: 2 },
      {
        op: 'publish',
        id: 2,
        topic: 't',
        ack: undefined,
        messages: [
          { ...MESSAGE, body: utf8('a') },
          { ...MESSAGE, key: 'k', body: new Uint8Array([0, 255]) },
        ],
      },
    ],
    [
      { op: 'subscribe', topic: 't' },
      { op: 'subscribe', id: 0, topic: 't', from: 'latest', partitions: [] },
    ],
    [
      { op: 'subscribe', topic: 't', filter: { sql: 'a > 1' } },
      { op: 'subscribe', id: 0, topic: 't', from: 'latest', partitions: [], filter: { sql: 'a > 1' } },
    ],
    [
      { op: 'subscribe', topic: 't', from: 'earliest', partitions: [0, 2], id: 3 },
      { op: 'subscribe', id: 3, topic: 't', from: 'earliest', partitions: [0, 2] },
    ],
    [
      { op: 'subscribe', topic: 't', from: { offset: 5 } },
      { op: 'subscribe', id: 0, topic: 't', from: { offset: 5 }, partitions: [] },
    ],
    [
      { op: 'subscribe', topic: 't', from: { last: 10 } },
      { op: 'subscribe', id: 0, topic: 't', from: { last: 10 }, partitions: [] },
    ],
    [
      { op: 'subscribe', topic: 't', from: { time: 1_700_000_000_000 } },
      { op: 'subscribe', id: 0, topic: 't', from: { time: 1_700_000_000_000 }, partitions: [] },
    ],
    [
      { op: 'subscribe', topic: 't', from: { positions: [{ partition: 1, offset: 2 }] } },
      {
        op: 'subscribe',
        id: 0,
        topic: 't',
        from: { positions: [{ partition: 1, epoch: 0, offset: 2 }] },
        partitions: [],
      },
    ],
    [
      { op: 'unsubscribe', topic: 't', id: 4294967295 },
      { op: 'unsubscribe', id: 4294967295, topic: 't' },
    ],
    [
      { op: 'pull', topic: 't', partition: 1, epoch: 2, from: { offset: 3 }, maxBytes: 4, waitMs: 5, id: 6 },
      { op: 'pull', id: 6, topic: 't', partition: 1, epoch: 2, from: { offset: 3 }, maxBytes: 4, waitMs: 5 },
    ],
    [
      { op: 'pull', topic: 't' },
      { op: 'pull', id: 0, topic: 't', partition: 0, epoch: 0, from: 'latest', maxBytes: 0, waitMs: 0 },
    ],
    [
      { op: 'ping', id: 4 },
      { op: 'ping', id: 4 },
    ],
    [{ op: 'topics' }, { op: 'topics', id: 0, after: '', limit: 0 }],
    [
      { op: 'topics', after: 'a', limit: 9, id: 1 },
      { op: 'topics', id: 1, after: 'a', limit: 9 },
    ],
    [
      { op: 'route', topic: 't', create: true },
      { op: 'route', id: 0, topic: 't', create: true },
    ],
    [
      { op: 'create-topic', topic: 't', partitions: 4, overflow: 'reject', ringBytes: 65536, ifNotExists: true },
      {
        op: 'create-topic',
        id: 0,
        topic: 't',
        partitions: 4,
        overflow: 'reject',
        ringBytes: 65536,
        retentionMs: 0,
        retentionBytes: 0,
        ifNotExists: true,
      },
    ],
    [
      { op: 'create-topic', topic: 't', durable: false, retentionMs: 60_000, retentionBytes: 2 ** 40 },
      {
        op: 'create-topic',
        id: 0,
        topic: 't',
        partitions: 0,
        ringBytes: 0,
        durable: false,
        retentionMs: 60_000,
        retentionBytes: 2 ** 40,
        ifNotExists: false,
      },
    ],
    [
      { op: 'create-topic', topic: 't' },
      {
        op: 'create-topic',
        id: 0,
        topic: 't',
        partitions: 0,
        ringBytes: 0,
        retentionMs: 0,
        retentionBytes: 0,
        ifNotExists: false,
      },
    ],
    [
      { op: 'set-retention', topic: 't', retentionMs: 5, id: 1 },
      { op: 'set-retention', id: 1, topic: 't', retentionMs: 5, retentionBytes: 0 },
    ],
    [
      { op: 'commit-offsets', group: 'g', topic: 't', positions: [{ partition: 0, offset: 5 }] },
      { op: 'commit-offsets', id: 0, group: 'g', topic: 't', positions: [{ partition: 0, epoch: 0, offset: 5 }] },
    ],
    [
      { op: 'offsets', group: 'g', topic: 't', id: 2 },
      { op: 'offsets', id: 2, group: 'g', topic: 't' },
    ],
    [
      { op: 'query', topic: 't' },
      { op: 'query', id: 0, topic: 't', key: '', fromTime: 0, toTime: 0, limit: 0 },
    ],
    [
      { op: 'query', topic: 't', key: 'k', fromTime: 1, toTime: 2, limit: 1000, id: 3 },
      { op: 'query', id: 3, topic: 't', key: 'k', fromTime: 1, toTime: 2, limit: 1000 },
    ],
    [
      { op: 'delete-topic', topic: 't', id: 1 },
      { op: 'delete-topic', id: 1, topic: 't' },
    ],
  ];

  test.each(cases)('%j', (input, output) => {
    expect(parse(input)).toEqual(output);
  });

  test('is read from shared memory and from the middle of a buffer', () => {
    const text = utf8('{"op":"ping","id":9}');
    const shared = new Uint8Array(new SharedArrayBuffer(text.length + 5), 5);
    shared.set(text);
    expect(parseJsonCommand(shared)).toEqual({ op: 'ping', id: 9 });
    expect(parseJsonCommand(Buffer.from(text))).toEqual({ op: 'ping', id: 9 });
  });
});

describe('refused by the name of the field', () => {
  const publish = { op: 'publish', topic: 't', body: 'b', id: 7 };
  const cases: readonly (readonly [text: RegExp, input: unknown])[] = [
    [/^the frame is not a JSON object$/, []],
    [/^the frame is not a JSON object$/, null],
    [/^the frame is not a JSON object$/, 'publish'],
    [/^op must be a string$/, {}],
    [/^op must be a string$/, { op: 1 }],
    [/^topic is missing$/, { op: 'publish', body: '' }],
    [/^topic must be a string$/, { ...publish, topic: 5 }],
    [/^topic must be a string$/, { ...publish, topic: null }],
    [/^key must be a string$/, { ...publish, key: {} }],
    [/^tag must be a string$/, { ...publish, tag: [] }],
    [/^properties must be an object of strings$/, { ...publish, properties: 'x' }],
    [/^properties\.n must be a string$/, { ...publish, properties: { n: 1 } }],
    [/^id must be an integer/, { ...publish, id: '1' }],
    [/^id must be an integer/, { ...publish, id: -1 }],
    [/^id must be an integer/, { ...publish, id: 4294967296 }],
    [/^ack must be one of none, accepted/, { ...publish, ack: 'maybe' }],
    [/^propertes: no such field$/, { ...publish, propertes: {} }],
    [/^body or bodyBase64 is needed/, { op: 'publish', topic: 't' }],
    [/^body or bodyBase64 is needed/, { ...publish, bodyBase64: '' }],
    [/^bodyBase64 is not base64$/, { op: 'publish', topic: 't', bodyBase64: 'a' }],
    [/^bodyBase64 is not base64$/, { op: 'publish', topic: 't', bodyBase64: 'AA =' }],
    [/^bodyBase64 is not base64$/, { op: 'publish', topic: 't', bodyBase64: 'A===' }],
    [/^bodyBase64 must be a string$/, { op: 'publish', topic: 't', bodyBase64: 5 }],
    [/^messages must be an array$/, { op: 'publish', topic: 't', messages: {} }],
    [/^messages must not be empty$/, { op: 'publish', topic: 't', messages: [] }],
    [/^messages\.1\.key must be a string$/, { op: 'publish', topic: 't', messages: [{ body: 1 }, { key: 1 }] }],
    [/^messages\.0\.body or bodyBase64 is needed/, { op: 'publish', topic: 't', messages: [{}] }],
    [/^messages\.0 /, { op: 'publish', topic: 't', messages: [1] }],
    [/^body belongs into messages$/, { ...publish, messages: [{ body: 1 }] }],
    [/^messages\.1: when it/, { op: 'call', method: 'schedule', messages: [{ body: 1 }, { body: 1, delayMs: 0 }] }],
    [/^messages takes at most 1024/, { op: 'publish', topic: 't', messages: Array(1025).fill({ body: 1 }) }],
    [/^from must be "latest"/, { op: 'subscribe', topic: 't', from: 'newest' }],
    [/^from must be "latest"/, { op: 'subscribe', topic: 't', from: { offset: 1.5 } }],
    [/^from must be "latest"/, { op: 'subscribe', topic: 't', from: { offset: 1, last: 1 } }],
    [/^from must be "latest"/, { op: 'pull', topic: 't', from: { last: 1 } }],
    [/^filter must be "A \|\| B" or/, { op: 'subscribe', topic: 't', filter: 1 }],
    [/^filter must be "A \|\| B" or/, { op: 'subscribe', topic: 't', filter: { sql: 'a', tag: 'b' } }],
    [/^partitions\.1 must be an integer/, { op: 'subscribe', topic: 't', partitions: [0, -1] }],
    [/^partition must be an integer/, { op: 'pull', topic: 't', partition: 1e10 }],
    [/^overflow must be one of block/, { op: 'create-topic', topic: 't', overflow: 'spill' }],
    [/^ifNotExists must be true or false$/, { op: 'create-topic', topic: 't', ifNotExists: 1 }],
    [/^create must be true or false$/, { op: 'route', topic: 't', create: 'yes' }],
    [/^limit must be an integer/, { op: 'topics', limit: -1 }],
    [/^from must be "latest"/, { op: 'subscribe', topic: 't', from: { time: -1 } }],
    [/^from must be "latest"/, { op: 'pull', topic: 't', from: { time: 1 } }],
    [/^durable must be true or false$/, { op: 'create-topic', topic: 't', durable: 'yes' }],
    [/^retentionMs must be an integer/, { op: 'create-topic', topic: 't', retentionMs: -1 }],
    [/^retentionBytes must be an integer/, { op: 'set-retention', topic: 't', retentionBytes: 1.5 }],
    [/^positions must not be empty$/, { op: 'commit-offsets', group: 'g', topic: 't', positions: [] }],
    [
      /^positions takes at most 4096/,
      { op: 'commit-offsets', group: 'g', topic: 't', positions: Array(4097).fill({ partition: 0, offset: 0 }) },
    ],
    [/^group is missing$/, { op: 'offsets', topic: 't' }],
    [/^limit must be an integer/, { op: 'query', topic: 't', limit: 1001 }],
    [/^key must be a string$/, { op: 'query', topic: 't', key: 1 }],
    [/^fromTime must be an integer/, { op: 'query', topic: 't', fromTime: 'now' }],
    [/^time: no such field$/, { op: 'ping', time: 1 }],
  ];

  test.each(cases)('%s', (text, input) => {
    const error = refusal(() => parse(input));
    expect(error.message).toMatch(text);
    expect(error.code).toBe('malformed-command');
  });

  test.each(['', '{', '{"op":"ping"', '{"op":"ping"}{', 'NaN', '\ufeff{"op":"ping"}'])('not JSON: %j', (text) => {
    expect(refusal(() => parseText(text)).message).toBe('the frame is not JSON');
  });

  test('the refusal carries the id where it can be read', () => {
    expect(refusal(() => parse({ op: 'subscribe', id: 12 })).correlation).toBe(12);
    expect(refusal(() => parse({ op: 'subscribe', id: 'x' })).correlation).toBe(0);
    expect(refusal(() => parseText('{"op"')).correlation).toBe(0);
  });

  test.each(['nope', '', 'toString', '__proto__', 'constructor', 'hello'])('unknown op %j', (op) => {
    expect(refusal(() => parse({ op, id: 3 }))).toMatchObject({ code: 'unknown-command', correlation: 3 });
  });

  test('a long wrong value is not sent back whole', () => {
    expect(refusal(() => parse({ op: 'x'.repeat(10_000) })).message.length).toBeLessThan(250);
    expect(refusal(() => parse({ op: 'ping', ['y'.repeat(10_000)]: 1 })).message.length).toBeLessThan(250);
  });
});

describe('hostile', () => {
  test.each(['__proto__', 'constructor', 'prototype'])(
    '%s is refused at the top, in messages, in properties',
    (name) => {
      const frames = [
        `{"op":"ping","${name}":{"admin":true}}`,
        `{"op":"publish","topic":"t","body":1,"${name}":{}}`,
        `{"op":"publish","topic":"t","body":1,"properties":{"${name}":"x"}}`,
        `{"op":"publish","topic":"t","messages":[{"body":1,"${name}":"x"}]}`,
        `{"op":"publish","topic":"t","messages":[{"body":1},{"body":1,"properties":{"${name}":"x"}}]}`,
      ];
      for (const text of frames) expect(refusal(() => parseText(text)).message, text).toContain(name);
      expect(({} as { admin?: boolean }).admin).toBeUndefined();
    },
  );

  test('a body may name anything: it passes through as it is', () => {
    const command = parseText('{"op":"publish","topic":"t","body":{"__proto__":{"constructor":1}}}');
    const [message] = command.op === 'publish' ? command.messages : [];
    expect(new TextDecoder().decode(message.body)).toBe('{"__proto__":{"constructor":1}}');
  });

  test('deep nesting is refused, at any depth', () => {
    const nested = (depth: number) => `{"op":"publish","topic":"t","body":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(parseText(nested(JSON_DEPTH_MAX - 1)).op).toBe('publish');
    expect(refusal(() => parseText(nested(JSON_DEPTH_MAX))).message).toMatch(/nested deeper/);
    expect(refusal(() => parseText(nested(1_000_000))).code).toBe('malformed-command');
    expect(refusal(() => parseText('['.repeat(1_000_000))).code).toBe('malformed-command');
    const objects = `{"op":"ping","a":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`;
    expect(refusal(() => parseText(objects)).message).toMatch(/nested deeper/);
  });

  test.each(['1e400', '-1e999', '1'.repeat(400)])('a number beyond double is refused: %s', (number) => {
    const error = refusal(() => parseText(`{"op":"publish","topic":"t","id":5,"body":{"n":[${number}]}}`));
    expect(error).toMatchObject({ message: 'a number is too large', correlation: 5 });
  });

  test('half a surrogate pair is refused in names and kept in bodies', () => {
    const half = '"\\ud800"';
    for (const field of ['topic', 'key', 'tag']) {
      const text = `{"op":"publish","body":1,${field === 'topic' ? '' : '"topic":"t",'}"${field}":${half}}`;
      expect(refusal(() => parseText(text)).message).toBe(`${field} has half a surrogate pair`);
    }
    const properties = [`{"a":${half}}`, `{${half}:"a"}`];
    for (const each of properties) {
      const text = `{"op":"publish","topic":"t","body":1,"properties":${each}}`;
      expect(refusal(() => parseText(text)).message).toMatch(/half a surrogate pair/);
    }
    const command = parseText(`{"op":"publish","topic":"t","body":${half}}`);
    const [message] = command.op === 'publish' ? command.messages : [];
    expect(message.flags).toBe(RECORD_FLAG_JSON);
    expect(new TextDecoder().decode(message.body)).toBe(half);
  });

  test('bytes that are not UTF-8 are refused', () => {
    const bytes = utf8('{"op":"publish","topic":"t","body":"?"}');
    bytes[bytes.indexOf(0x3f)] = 0xff;
    expect(refusal(() => parseJsonCommand(bytes)).message).toBe('the frame is not UTF-8');
  });

  test('a command over the limit is refused before it is read', () => {
    const error = refusal(() => parseJsonCommand(new Uint8Array(JSON_COMMAND_BYTES_MAX + 1)));
    expect(error.code satisfies CodeName).toBe('frame-too-large');
    expect(refusal(() => parseJsonCommand(utf8('{"op":"ping"}'), 12)).code).toBe('frame-too-large');
    expect(parseJsonCommand(utf8('{"op":"ping"}'), 13).op).toBe('ping');
  });

  test('a body of 4 MiB in base64 and as text is taken', () => {
    const bytes = new Uint8Array(4 * 1024 * 1024).fill(200);
    const command = parse({ op: 'publish', topic: 't', bodyBase64: Buffer.from(bytes).toString('base64') });
    const [message] = command.op === 'publish' ? command.messages : [];
    expect(Buffer.from(bytes).equals(message.body)).toBe(true);
    expect(parse({ op: 'publish', topic: 't', body: 'x'.repeat(4 * 1024 * 1024) }).op).toBe('publish');
  });

  test('as many messages as are allowed', () => {
    const command = parse({ op: 'publish', topic: 't', messages: Array(JSON_MESSAGES_MAX).fill({ body: 1 }) });
    expect(command.op === 'publish' && command.messages.length).toBe(JSON_MESSAGES_MAX);
  });

  test('any bytes and any JSON give a command or a refusal', () => {
    const ops = fc.constantFrom(
      'publish',
      'subscribe',
      'pull',
      'topics',
      'create-topic',
      'route',
      'query',
      'commit-offsets',
    );
    const names = [
      'op',
      'topic',
      'id',
      'body',
      'key',
      'properties',
      'messages',
      'from',
      'partitions',
      'limit',
      'group',
      'positions',
    ];
    const fields = fc.dictionary(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 3 }));
    const tryParse = (bytes: Uint8Array) => {
      try {
        parseJsonCommand(bytes);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), tryParse), { numRuns: 1000 });
    const command = fc.tuple(ops, fields).map(([op, rest]) => utf8(JSON.stringify({ ...rest, op })));
    fc.assert(fc.property(command, tryParse), { numRuns: 2000 });
  });
});
