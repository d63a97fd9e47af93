// What the readable subprotocol accepts, one schema per op. Unknown members are refused: in a protocol that
// people type by hand, `propertes` should be an answer and not a silently lost field.
import * as v from 'valibot';
import { PRIORITY_MAX } from '../../native-layout/record.ts';
import { ACK_LEVELS, type AckLevel } from '../base/units.ts';
import { OVERFLOWS, PULL_STARTS } from './enums.ts';
import { POSITIONS_MAX, QUERY_MATCHES_MAX, SAFE_MAX } from './frame.ts';

/** Most messages in one publish. */
export const JSON_MESSAGES_MAX = 1024;
/** Most partitions named in one command. */
export const JSON_PARTITIONS_MAX = 1024;

const INT32_MIN = -2_147_483_648;
const INT32_MAX = 2_147_483_647;
const UINT32_MAX = 0xffff_ffff;
const ACKS = Object.keys(ACK_LEVELS) as AckLevel[];

function integer(min: number, max: number) {
  const text = `must be an integer from ${min} to ${max}`;
  return v.pipe(v.number(text), v.integer(text), v.minValue(min, text), v.maxValue(max, text));
}

const text = v.pipe(
  v.string('must be a string'),
  v.check((value) => value.isWellFormed(), 'has half a surrogate pair'),
);
const id = v.optional(integer(0, UINT32_MAX), 0);
const count = integer(0, INT32_MAX);
const epoch = v.optional(integer(INT32_MIN, INT32_MAX), 0);
const offset = integer(-1, SAFE_MAX);
/** Milliseconds since 1970, or a count that may be large. */
const natural = integer(0, SAFE_MAX);
const boolean = v.boolean('must be true or false');
const properties = v.optional(v.record(text, text, 'must be an object of strings'), {});

const content = {
  key: v.optional(text, ''),
  tag: v.optional(text, ''),
  properties,
  /** 0 (default, lowest) to 9. */
  priority: v.optional(integer(0, PRIORITY_MAX)),
  /** Deliver later: at a time (milliseconds since 1970), or after so many milliseconds. */
  deliverAt: v.optional(natural),
  delayMs: v.optional(natural),
  body: v.optional(v.unknown()),
  bodyBase64: v.optional(v.string('must be a string')),
};

const position = v.strictObject({ partition: count, epoch, offset });
const positions = v.pipe(
  v.array(position, 'must be an array'),
  v.maxLength(POSITIONS_MAX, `takes at most ${POSITIONS_MAX} positions`),
);
const retention = { retentionMs: v.optional(natural, 0), retentionBytes: v.optional(natural, 0) };

const from = v.optional(
  v.union(
    [
      v.picklist([PULL_STARTS[0], PULL_STARTS[1]]),
      v.strictObject({ offset }),
      v.strictObject({ last: count }),
      v.strictObject({ time: natural }),
      v.strictObject({ positions }),
    ],
    'must be "latest", "earliest", {"offset": n}, {"last": n}, {"time": ms} or {"positions": [..]}',
  ),
  'latest',
);

const pullFrom = v.optional(
  v.union(
    [v.picklist([PULL_STARTS[0], PULL_STARTS[1]]), v.strictObject({ offset })],
    'must be "latest", "earliest" or {"offset": n}',
  ),
  'latest',
);

/** Tags, or SQL over properties; what it may say is checked where it is compiled. */
const filter = v.optional(v.union([text, v.strictObject({ sql: text })], 'must be "A || B" or {"sql": ".."}'));

/** One of several messages of a publish. */
export const messageSchema = v.strictObject(content);

const messageList = v.optional(
  v.pipe(
    v.array(messageSchema, 'must be an array'),
    v.minLength(1, 'must not be empty'),
    v.maxLength(JSON_MESSAGES_MAX, `takes at most ${JSON_MESSAGES_MAX} messages`),
  ),
);

export type MessageInput = v.InferOutput<typeof messageSchema>;

/** Op -> what a command with it looks like. */
export const OP_SCHEMAS = {
  publish: v.strictObject({
    op: v.literal('publish'),
    id,
    topic: text,
    ack: v.optional(v.picklist(ACKS, `must be one of ${ACKS.join(', ')}`)),
    ...content,
    messages: messageList,
  }),
  /** The coordinator checks the parameters: service-schemas.ts. */
  call: v.strictObject({
    op: v.literal('call'),
    id,
    method: text,
    params: v.optional(v.looseObject({}, 'must be an object'), {}),
    messages: messageList,
  }),
  subscribe: v.strictObject({
    op: v.literal('subscribe'),
    id,
    topic: text,
    from,
    partitions: v.optional(
      v.pipe(
        v.array(count, 'must be an array'),
        v.maxLength(JSON_PARTITIONS_MAX, `takes at most ${JSON_PARTITIONS_MAX} numbers`),
      ),
      [],
    ),
    filter,
  }),
  unsubscribe: v.strictObject({ op: v.literal('unsubscribe'), id, topic: text }),
  pull: v.strictObject({
    op: v.literal('pull'),
    id,
    topic: text,
    partition: v.optional(count, 0),
    epoch,
    from: pullFrom,
    maxBytes: v.optional(count, 0),
    waitMs: v.optional(count, 0),
    filter,
  }),
  ping: v.strictObject({ op: v.literal('ping'), id }),
  topics: v.strictObject({
    op: v.literal('topics'),
    id,
    after: v.optional(text, ''),
    limit: v.optional(count, 0),
  }),
  route: v.strictObject({
    op: v.literal('route'),
    id,
    topic: text,
    create: v.optional(boolean, false),
  }),
  'create-topic': v.strictObject({
    op: v.literal('create-topic'),
    id,
    topic: text,
    partitions: v.optional(count, 0),
    overflow: v.optional(v.picklist(OVERFLOWS, `must be one of ${OVERFLOWS.join(', ')}`)),
    ringBytes: v.optional(count, 0),
    durable: v.optional(boolean),
    ...retention,
    ifNotExists: v.optional(boolean, false),
  }),
  'delete-topic': v.strictObject({ op: v.literal('delete-topic'), id, topic: text }),
  'set-retention': v.strictObject({ op: v.literal('set-retention'), id, topic: text, ...retention }),
  'commit-offsets': v.strictObject({
    op: v.literal('commit-offsets'),
    id,
    group: text,
    topic: text,
    positions: v.pipe(positions, v.minLength(1, 'must not be empty')),
  }),
  offsets: v.strictObject({ op: v.literal('offsets'), id, group: text, topic: text }),
  query: v.strictObject({
    op: v.literal('query'),
    id,
    topic: text,
    key: v.optional(text, ''),
    fromTime: v.optional(natural, 0),
    toTime: v.optional(natural, 0),
    limit: v.optional(integer(0, QUERY_MATCHES_MAX), 0),
  }),
} as const;

export type OpName = keyof typeof OP_SCHEMAS;
export type OpInput<T extends OpName> = v.InferOutput<(typeof OP_SCHEMAS)[T]>;

/** What is wrong with the first field that is wrong: `messages.3.key must be a string`. */
export function complaint(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? '';
  if (issue.type === 'strict_object' && issue.expected === 'never') return `${path}: no such field`;
  if (issue.received === 'undefined') return `${path} is missing`;
  return `${path} ${issue.message}`;
}
