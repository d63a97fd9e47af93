// One frame of every command, with a value in every field.
import type { Command, CommandOf, CommandType, TopicRoute } from '../../src/wire/commands.ts';

const ROUTE: TopicRoute = {
  topic: 'orders',
  topicId: 3,
  version: 9,
  overflow: 'drop-oldest',
  ringBytes: 1_048_576,
  messageMaxBytes: 262_144,
  direct: true,
  durable: true,
  retentionMs: 259_200_000,
  retentionBytes: 10_000_000_000,
  partitions: [
    {
      id: 5,
      number: 0,
      owner: 2,
      epoch: 8,
      permission: 6,
      available: true,
      nextOffset: 4_294_967_297,
      oldestOffset: 4_294_967_000,
      epochs: [
        { epoch: 1, offset: 0 },
        { epoch: 8, offset: 4_294_967_299 },
      ],
    },
    {
      id: 6,
      number: 1,
      owner: 3,
      epoch: 1,
      permission: 4,
      available: false,
      nextOffset: 7,
      oldestOffset: 0,
      epochs: [],
    },
  ],
};

const WELCOME: CommandOf<'welcome'> = {
  type: 'welcome',
  broker: 'b1',
  version: '0.1.0',
  session: 's1',
  messageMaxBytes: 4_194_304,
  frameMaxBytes: 8_388_608,
  publishWindowBytes: 16_777_216,
  heartbeatMs: 30_000,
  serverTime: 1_700_000_000_000,
};

const SUBSCRIBE: CommandOf<'subscribe'> = {
  type: 'subscribe',
  subscription: 4,
  topic: 'orders',
  from: { positions: [{ partition: 1, epoch: 2, offset: 4_294_967_297 }] },
  partitions: [1, 2],
  windowBytes: 65_536,
  filter: 'A || B',
};

const START = { id: 5, number: 0, epoch: 1, offset: 100, gap: true, gapFrom: 90 } as const;

const GAP: CommandOf<'gap'> = {
  type: 'gap',
  id: 5,
  number: 1,
  epoch: 2,
  topic: 'orders',
  fromOffset: 10,
  toOffset: 4_294_967_297,
  reason: 'epoch-changed',
};

const PULL: CommandOf<'pull'> = {
  type: 'pull',
  topic: 'orders',
  partition: 1,
  epoch: 2,
  from: { offset: 4_294_967_297 },
  maxBytes: 65_536,
  waitMs: 500,
  filter: 'A || B',
};

const PULL_REPLY: CommandOf<'pull-reply'> = {
  type: 'pull-reply',
  id: 5,
  number: 1,
  epoch: 2,
  nextOffset: 4_294_967_297,
  gap: true,
  batches: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]),
};

const CREATE_TOPIC: CommandOf<'create-topic'> = {
  type: 'create-topic',
  topic: 'orders',
  partitions: 4,
  overflow: 'reject',
  ringBytes: 1_048_576,
  direct: true,
  durable: false,
  retentionMs: 3_600_000,
  retentionBytes: 10_000_000_000,
  ifNotExists: true,
};

const POSITIONS = [
  { partition: 1, epoch: 2, offset: 4_294_967_297 },
  { partition: 3, epoch: 4, offset: 5 },
];

const QUERY: CommandOf<'query'> = {
  type: 'query',
  topic: 'orders',
  key: 'o-17',
  fromTime: 1_700_000_000_000,
  toTime: 1_700_000_060_000,
  limit: 32,
};

const MATCHES = [{ partition: 1, epoch: 2, offset: 4_294_967_297, storedAt: 1_700_000_000_123 }];

const PAYLOAD = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);

const ACK_ENTRIES = [
  { request: 7, status: 0, partition: 5, count: 10, baseOffset: 4_294_967_297 },
  { request: -1, status: 100, partition: 6, count: 1, baseOffset: -1 },
];

export const SAMPLES: { readonly [T in CommandType]: CommandOf<T> } = {
  hello: { type: 'hello', client: 'c1', version: '0.1.0', token: 'secret' },
  welcome: WELCOME,
  'route-request': { type: 'route-request', topic: 'orders', create: true },
  'route-reply': { type: 'route-reply', route: ROUTE },
  'create-topic': CREATE_TOPIC,
  'open-direct': { type: 'open-direct', topic: 'orders' },
  'delete-topic': { type: 'delete-topic', topic: 'orders' },
  'set-permission': { type: 'set-permission', topic: 'orders', owner: 2, permission: 4 },
  'topics-request': { type: 'topics-request', after: 'orders', limit: 100 },
  'topics-reply': { type: 'topics-reply', topics: [ROUTE], more: true },
  subscribe: SUBSCRIBE,
  subscribed: { type: 'subscribed', subscription: 4, topic: 'orders', topicId: 21, starts: [START] },
  unsubscribe: { type: 'unsubscribe', subscription: 4 },
  credit: { type: 'credit', bytes: 4_294_967_295 },
  ack: { type: 'ack', entries: ACK_ENTRIES },
  pull: PULL,
  'pull-reply': PULL_REPLY,
  gap: GAP,
  'route-changed': { type: 'route-changed', topic: 'orders', version: 10, deleted: true },
  ping: { type: 'ping', time: 1_700_000_000_000 },
  pong: { type: 'pong', time: 1_700_000_000_000 },
  done: { type: 'done' },
  refused: { type: 'refused', code: 'unknown-topic', text: 'no topic orders' },
  'set-retention': { type: 'set-retention', topic: 'orders', retentionMs: 3_600_000, retentionBytes: 10_000_000_000 },
  'commit-offsets': { type: 'commit-offsets', group: 'billing', topic: 'orders', positions: POSITIONS },
  'offsets-request': { type: 'offsets-request', group: 'billing', topic: 'orders' },
  'offsets-reply': { type: 'offsets-reply', positions: POSITIONS },
  query: QUERY,
  'query-reply': { type: 'query-reply', matches: MATCHES, more: true },
  call: { type: 'call', method: 'group-describe', params: '{"group":"billing"}', payload: PAYLOAD },
  'call-reply': { type: 'call-reply', result: '{"handles":["h1"]}', payload: PAYLOAD },
};

export const SAMPLE_CORRELATION = 0x01020304;
export const SAMPLE_LIST: readonly Command[] = Object.values(SAMPLES);
