// What each method of the coordinator takes, one schema a method. Unknown members are refused: a member that was
// misspelt is an answer and not a silently lost one. Whatever passes here is bounded in length and in range.
import * as v from 'valibot';
import { CODES, type CodeName, RingmqError } from '../base/codes.ts';
import { isGroupName, isTopicName } from '../base/units.ts';
import { SAFE_MAX } from './frame.ts';
import { complaint } from './json-schema.ts';
import {
  CALL_WAIT_MAX_MS,
  DELAY_MAX_MS,
  INVISIBLE_DEFAULT_MS,
  INVISIBLE_MAX_MS,
  isReservedTopic,
  type Method,
  type ParamsOf,
} from './services.ts';

/** Longest name of a group that the coordinator keeps: its retry topics have names too. */
export const COORDINATED_GROUP_LENGTH_MAX = 120;
/** Most partitions named in one call. */
export const CALL_QUEUES_MAX = 4_096;
/** Most numbers in one list of a call: ranges, attempts, leases. */
export const CALL_NUMBERS_MAX = 65_536;
/** Most messages that one receive gives. */
export const RECEIVE_MAX = 1_024;
/** Most messages that one call schedules, and most transactions that one ends. */
export const CALL_MESSAGES_MAX = 1_024;
/** Longest text of a filter. RocketMQ takes expressions of any length; see src/filter for what is compiled. */
export const FILTER_LENGTH_MAX = 4_200;
const MEMBER_LENGTH_MAX = 128;
const CLIENT_LENGTH_MAX = 256;
const REASON_LENGTH_MAX = 1_024;
const HANDLE_LENGTH_MAX = 256;
const RETRY_DELAYS_MAX = 64;
const ATTEMPTS_MAX = 1_000;
const RECEIVE_DEFAULT = 32;
const COMPLAINT_LENGTH_MAX = 400;
/** The clocks of clients differ; times beyond this are no dates. */
const TIME_MAX = 8_640_000_000_000_000;

const MEMBER_PATTERN = /^[^\p{Cc}]+$/u;

function integer(min: number, max: number) {
  const text = `must be an integer from ${min} to ${max}`;
  return v.pipe(v.number(text), v.integer(text), v.minValue(min, text), v.maxValue(max, text));
}

function text(max: number) {
  return v.pipe(
    v.string('must be a string'),
    v.maxLength(max, `has at most ${max} characters`),
    v.check((value) => value.isWellFormed(), 'has half a surrogate pair'),
  );
}

function list<T extends v.GenericSchema>(item: T, max: number) {
  return v.pipe(v.array(item, 'must be an array'), v.maxLength(max, `takes at most ${max} entries`));
}

/** A flat list of numbers that belong together `size` by `size`. */
function tuples(size: number, min: number) {
  return v.pipe(
    list(integer(min, SAFE_MAX), CALL_NUMBERS_MAX),
    v.check((values) => values.length % size === 0, `has ${size} numbers for each entry`),
  );
}

/** Triples [offset, token, milliseconds], the last one -1 or more. */
function timed(mostMs: number) {
  return v.pipe(
    tuples(3, -1),
    v.check((values) => values.every((value, i) => i % 3 !== 2 || value <= mostMs), `takes at most ${mostMs} ms`),
  );
}

/** Ascending and disjoint pairs [from, to). */
const ranges = v.pipe(
  tuples(2, 0),
  v.check((values) => isAscending(values), 'is not ascending: [from, to, from, to ..] and disjoint'),
);

/** Ascending pairs [offset, count]. */
const counts = v.pipe(
  tuples(2, 0),
  v.check((values) => isAscending(values.filter((_, i) => i % 2 === 0)), 'has offsets that do not ascend'),
);

function isAscending(values: readonly number[]): boolean {
  return values.every((value, i) => i === 0 || value > values[i - 1]);
}

// A check's text that is the name of a code refuses with that code.
const group = v.pipe(
  v.string('must be a string'),
  v.check(
    (name) => isGroupName(name) && !name.includes('|') && name.length <= COORDINATED_GROUP_LENGTH_MAX,
    'illegal-group',
  ),
);
const topic = v.pipe(v.string('must be a string'), v.check(isTopicName, 'illegal-topic'));
/** One that a client may publish to. */
const target = v.pipe(
  topic,
  v.check((name) => !isReservedTopic(name), 'no-write-permission'),
);
const member = v.pipe(
  text(MEMBER_LENGTH_MAX),
  v.minLength(1, 'must not be empty'),
  v.regex(MEMBER_PATTERN, 'has control characters'),
);

const INT32_MAX = 0x7fff_ffff;
const partition = integer(0, INT32_MAX);
const epoch = integer(0, INT32_MAX);
const offset = integer(0, SAFE_MAX);
const time = integer(0, TIME_MAX);
const generation = v.optional(integer(0, SAFE_MAX), 0);
const waitMs = v.optional(integer(0, CALL_WAIT_MAX_MS), 0);
const filter = v.optional(text(FILTER_LENGTH_MAX), '');
const order = v.optional(v.picklist(['none', 'key', 'partition'], 'must be none, key or partition'), 'key');
const from = v.optional(
  v.union([v.picklist(['latest', 'earliest']), v.strictObject({ time })], 'must be latest, earliest or {"time": ms}'),
  'latest',
);
const to = v.union(
  [v.picklist(['earliest', 'latest']), v.strictObject({ time }), v.strictObject({ offset })],
  'must be earliest, latest, {"time": ms} or {"offset": n}',
);
const delayMs = v.optional(integer(-1, DELAY_MAX_MS), -1);

const queue = v.strictObject({ topic, partition });
const progress = v.strictObject({ topic, partition, epoch, offset, acked: ranges, attempts: counts });

const settings = v.strictObject({
  retryDelaysMs: v.optional(
    v.pipe(list(integer(0, DELAY_MAX_MS), RETRY_DELAYS_MAX), v.minLength(1, 'must not be empty')),
  ),
  attemptsMax: v.optional(integer(1, ATTEMPTS_MAX)),
});

const settled = v.strictObject({
  topic,
  partition,
  acks: v.optional(tuples(2, 0), []),
  nacks: v.optional(timed(DELAY_MAX_MS), []),
  extensions: v.optional(timed(INVISIBLE_MAX_MS), []),
});

const transactions = v.optional(list(text(HANDLE_LENGTH_MAX), CALL_MESSAGES_MAX), []);

/** Method -> what its parameters look like. */
export const SERVICE_SCHEMAS = {
  'group-sync': v.strictObject({
    group,
    topic,
    member,
    client: v.optional(text(CLIENT_LENGTH_MAX), ''),
    generation,
    owned: v.optional(list(queue, CALL_QUEUES_MAX), []),
    from,
    order,
    filter,
    waitMs,
  }),
  'group-leave': v.strictObject({ group, topic, member }),
  'group-commit': v.strictObject({
    group,
    topic,
    member,
    generation,
    queues: list(progress, CALL_QUEUES_MAX),
    anew: v.optional(v.boolean('must be a boolean')),
  }),
  'group-list': v.strictObject({ after: v.optional(text(COORDINATED_GROUP_LENGTH_MAX), '') }),
  'group-describe': v.strictObject({
    group,
    after: v.optional(queue),
  }),
  'group-settings': v.strictObject({ group, settings }),
  'group-reset': v.strictObject({ group, topic, partition: v.optional(integer(-1, INT32_MAX), -1), to }),
  'group-delete': v.strictObject({ group }),
  receive: v.strictObject({
    group,
    topic,
    member,
    from,
    order,
    priority: v.optional(v.boolean('must be a boolean'), false),
    filter,
    maxMessages: v.optional(integer(1, RECEIVE_MAX), RECEIVE_DEFAULT),
    invisibleMs: v.optional(integer(1, INVISIBLE_MAX_MS), INVISIBLE_DEFAULT_MS),
    waitMs,
  }),
  settle: v.strictObject({ group, topic, queues: list(settled, CALL_QUEUES_MAX) }),
  'send-back': v.strictObject({
    group,
    topic,
    member,
    queue,
    epoch,
    offset,
    attempts: integer(1, INT32_MAX),
    delayMs,
    deadLetter: v.optional(v.boolean('must be a boolean'), false),
    reason: v.optional(text(REASON_LENGTH_MAX), ''),
  }),
  'dlq-replay': v.strictObject({ group, maxMessages: v.optional(integer(1, INT32_MAX), INT32_MAX) }),
  schedule: v.strictObject({ topic: target, deliverAt: list(time, CALL_MESSAGES_MAX) }),
  recall: v.strictObject({ handle: text(HANDLE_LENGTH_MAX) }),
  'transaction-prepare': v.strictObject({ topic: target, producerGroup: group }),
  'transaction-end': v.strictObject({
    commits: transactions,
    rollbacks: transactions,
    receipts: v.optional(v.boolean('must be a boolean'), false),
    own: v.optional(v.boolean('must be a boolean'), false),
  }),
  'coordinator-figures': v.strictObject({}),
  'transaction-checks': v.strictObject({ producerGroup: group, waitMs }),
} as const satisfies Record<Method, v.GenericSchema>;

/** True if there is such a method. */
export function isMethod(name: string): name is Method {
  return Object.hasOwn(SERVICE_SCHEMAS, name);
}

/**
 * Parameters out of their JSON. Throws RingmqError: `unknown-method`, `malformed-command` for what is no JSON,
 * `illegal-argument` (or a code that says more) naming the member that is wrong.
 */
export function parseParams<M extends Method>(method: M, json: string): ParamsOf<M> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new RingmqError('malformed-command', `${method}: the parameters are not JSON`);
  }
  return checkParams(method, value);
}

/** The same for parameters that are an object already. */
export function checkParams<M extends Method>(method: M, value: unknown): ParamsOf<M> {
  // Without members an array would pass for an object.
  if (Array.isArray(value)) throw new RingmqError('illegal-argument', `${method}: the parameters are no object`);
  const result = v.safeParse(SERVICE_SCHEMAS[method] as v.GenericSchema, value, { abortEarly: true });
  if (result.success) return result.output as ParamsOf<M>;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? '';
  const code = issue.message as CodeName;
  if (Object.hasOwn(CODES, code)) {
    throw new RingmqError(code, `${method}: ${path} ${JSON.stringify(issue.input).slice(0, 200)}: ${whyOf(code)}`);
  }
  throw new RingmqError('illegal-argument', `${method}: ${complaint(issue)}`.slice(0, COMPLAINT_LENGTH_MAX));
}

function whyOf(code: CodeName): string {
  if (code === 'illegal-group') {
    return `groups have 1 to ${COORDINATED_GROUP_LENGTH_MAX} characters of A-Z a-z 0-9 % . _ -`;
  }
  if (code === 'no-write-permission') return 'the broker alone publishes there';
  return CODES[code].text;
}
