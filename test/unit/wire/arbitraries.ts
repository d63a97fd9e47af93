// Any command that may stand on the wire, for property tests.
import * as fc from 'fast-check';
import { CODES, type CodeName } from '../../../src/base/codes.ts';
import type { Command, CommandType, Frame } from '../../../src/wire/commands.ts';
import { DURABILITIES, GAP_REASONS, OVERFLOWS, PERMISSIONS } from '../../../src/wire/enums.ts';
import { QUERY_MATCHES_MAX } from '../../../src/wire/frame.ts';

const text = fc.string({ unit: 'binary', maxLength: 40 });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const count = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const seat = fc.integer({ min: -1, max: 64 });
const offset = fc.maxSafeInteger().map((value) => (value < 0 ? -1 : value));
const time = fc.maxSafeNat();
const natural = fc.maxSafeNat();
const permission = fc.constantFrom(...PERMISSIONS);
const overflow = fc.constantFrom(...OVERFLOWS);
const code = fc.constantFrom(...(Object.keys(CODES) as CodeName[]));

const epochStart = fc.record({ epoch: int32, offset }, { noNullPrototype: true });

const partitionRoute = fc.record(
  {
    id: count,
    number: count,
    owner: seat,
    epoch: int32,
    permission,
    available: fc.boolean(),
    nextOffset: offset,
    oldestOffset: offset,
    epochs: fc.array(epochStart, { maxLength: 3 }),
  },
  { noNullPrototype: true },
);

const route = fc.record(
  {
    topic: text,
    topicId: count,
    version: int32,
    overflow,
    ringBytes: count,
    messageMaxBytes: count,
    direct: fc.boolean(),
    durable: fc.boolean(),
    retentionMs: natural,
    retentionBytes: natural,
    partitions: fc.array(partitionRoute, { maxLength: 5 }),
  },
  { noNullPrototype: true },
);

const position = fc.record({ partition: count, epoch: int32, offset }, { noNullPrototype: true });
const match = fc.record({ partition: count, epoch: int32, offset, storedAt: time }, { noNullPrototype: true });
const start = fc.record(
  { id: count, number: count, epoch: int32, offset, gap: fc.boolean(), gapFrom: offset },
  { noNullPrototype: true },
);
const ackEntry = fc.record(
  { request: int32, status: count, partition: seat, count, baseOffset: offset },
  { noNullPrototype: true },
);
const fixedStart = fc.constantFrom('latest' as const, 'earliest' as const);

type Fields<T extends CommandType> = Omit<Extract<Command, { type: T }>, 'type'>;
type FieldArbitraries = { readonly [T in CommandType]: { [K in keyof Fields<T>]: fc.Arbitrary<Fields<T>[K]> } };

const FIELDS: FieldArbitraries = {
  hello: { client: text, version: text, token: text },
  welcome: {
    broker: text,
    version: text,
    session: text,
    messageMaxBytes: count,
    frameMaxBytes: count,
    publishWindowBytes: count,
    heartbeatMs: count,
    serverTime: time,
  },
  'route-request': { topic: text, create: fc.boolean() },
  'route-reply': { route },
  'create-topic': {
    topic: text,
    partitions: count,
    overflow,
    ringBytes: count,
    direct: fc.boolean(),
    durable: fc.constantFrom(...DURABILITIES),
    retentionMs: natural,
    retentionBytes: natural,
    ifNotExists: fc.boolean(),
  },
  'open-direct': { topic: text },
  'delete-topic': { topic: text },
  'set-permission': { topic: text, owner: seat, permission },
  'topics-request': { after: text, limit: count },
  'topics-reply': { topics: fc.array(route, { maxLength: 3 }), more: fc.boolean() },
  subscribe: {
    subscription: uint32,
    topic: text,
    from: fc.oneof(
      fixedStart,
      offset.map((value) => ({ offset: value })),
      count.map((last) => ({ last })),
      time.map((value) => ({ time: value })),
      fc.array(position, { maxLength: 5 }).map((positions) => ({ positions })),
    ),
    partitions: fc.array(count, { maxLength: 5 }),
    windowBytes: count,
    filter: text,
  },
  subscribed: { subscription: uint32, topic: text, topicId: count, starts: fc.array(start, { maxLength: 5 }) },
  unsubscribe: { subscription: uint32 },
  credit: { bytes: uint32 },
  ack: { entries: fc.array(ackEntry, { maxLength: 8 }) },
  pull: {
    topic: text,
    partition: count,
    epoch: int32,
    from: fc.oneof(
      fixedStart,
      offset.map((value) => ({ offset: value })),
    ),
    maxBytes: count,
    waitMs: count,
    filter: text,
  },
  'pull-reply': {
    id: count,
    number: count,
    epoch: int32,
    nextOffset: offset,
    gap: fc.boolean(),
    batches: fc.uint8Array({ maxLength: 100 }),
  },
  call: { method: text, params: text, payload: fc.uint8Array({ maxLength: 100 }) },
  'call-reply': { result: text, payload: fc.uint8Array({ maxLength: 100 }) },
  gap: {
    id: count,
    number: count,
    epoch: int32,
    topic: text,
    fromOffset: offset,
    toOffset: offset,
    reason: fc.constantFrom(...GAP_REASONS),
  },
  'route-changed': { topic: text, version: int32, deleted: fc.boolean() },
  ping: { time },
  pong: { time },
  done: {},
  refused: { code, text },
  'set-retention': { topic: text, retentionMs: natural, retentionBytes: natural },
  'commit-offsets': { group: text, topic: text, positions: fc.array(position, { maxLength: 5 }) },
  'offsets-request': { group: text, topic: text },
  'offsets-reply': { positions: fc.array(position, { maxLength: 5 }) },
  query: {
    topic: text,
    key: text,
    fromTime: time,
    toTime: time,
    limit: fc.integer({ min: 0, max: QUERY_MATCHES_MAX }),
  },
  'query-reply': { matches: fc.array(match, { maxLength: 5 }), more: fc.boolean() },
};

export const COMMAND_TYPES = Object.keys(FIELDS) as CommandType[];

/** Any frame whose command is of this type. */
export function framesOf(type: CommandType): fc.Arbitrary<Frame> {
  const fields = FIELDS[type] as Record<string, fc.Arbitrary<unknown>>;
  return fc.record({
    correlation: uint32,
    command: fc.record({ type: fc.constant(type), ...fields }, { noNullPrototype: true }) as fc.Arbitrary<Command>,
  });
}

export const anyFrame: fc.Arbitrary<Frame> = fc.oneof(...COMMAND_TYPES.map(framesOf));
