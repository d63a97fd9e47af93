// Commands out of checked tables. Slots are the order of the fields in ringmq.fbs; the round-trip tests write
// with the generated code and read with this, so that a slot which is off by one cannot pass.
import { codeName } from '../base/codes.ts';
import type {
  AckEntry,
  Command,
  CommandOf,
  EpochStart,
  PartitionPosition,
  PartitionRoute,
  PartitionStart,
  QueryMatch,
  StartFrom,
  TopicRoute,
} from './commands.ts';
import { DURABILITIES, GAP_REASONS, OVERFLOWS, PERMISSIONS, PULL_STARTS, STARTS } from './enums.ts';
import { COMMAND_NUMBERS, POSITIONS_MAX, QUERY_MATCHES_MAX } from './frame.ts';
import type { FrameBytes } from './frame-bytes.ts';
import type { TableReader } from './table-reader.ts';

const POSITION_BYTES = 16;
const ACK_ENTRY_BYTES = 24;
const EPOCH_START_BYTES = 16;
const QUERY_MATCH_BYTES = 24;

type Decoder = (table: TableReader) => Command;

const DECODERS: { readonly [T in Command['type']]: (table: TableReader) => CommandOf<T> } = {
  hello: (t) => ({
    type: 'hello',
    client: t.text(0, 'client'),
    version: t.text(1, 'version'),
    token: t.text(2, 'token'),
  }),
  welcome: decodeWelcome,
  'route-request': (t) => ({
    type: 'route-request',
    topic: t.requiredText(0, 'topic'),
    create: t.flag(1, 'create'),
  }),
  'route-reply': (t) => ({ type: 'route-reply', route: decodeRoute(t) }),
  'create-topic': decodeCreateTopic,
  'open-direct': (t) => ({ type: 'open-direct', topic: t.requiredText(0, 'topic') }),
  'delete-topic': (t) => ({ type: 'delete-topic', topic: t.requiredText(0, 'topic') }),
  'set-permission': (t) => ({
    type: 'set-permission',
    topic: t.text(0, 'topic'),
    owner: t.int32(1, 'owner', -1, -1),
    permission: t.choice(2, 'permission', PERMISSIONS),
  }),
  'topics-request': (t) => ({
    type: 'topics-request',
    after: t.text(0, 'after'),
    limit: t.count(1, 'limit'),
  }),
  'topics-reply': (t) => ({
    type: 'topics-reply',
    topics: t.tables(0, 'topics', decodeRoute),
    more: t.flag(1, 'more'),
  }),
  subscribe: decodeSubscribe,
  subscribed: (t) => ({
    type: 'subscribed',
    subscription: t.uint32(0, 'subscription'),
    topic: t.text(1, 'topic'),
    starts: t.tables(2, 'starts', decodeStart),
    topicId: t.count(3, 'topic_id'),
  }),
  unsubscribe: (t) => ({ type: 'unsubscribe', subscription: t.uint32(0, 'subscription') }),
  credit: (t) => ({ type: 'credit', bytes: t.uint32(0, 'bytes') }),
  ack: (t) => ({ type: 'ack', entries: t.structs(0, ACK_ENTRY_BYTES, 'entries', decodeAckEntry) }),
  pull: decodePull,
  'pull-reply': decodePullReply,
  gap: decodeGap,
  'route-changed': (t) => ({
    type: 'route-changed',
    topic: t.requiredText(0, 'topic'),
    version: t.int32(1, 'version'),
    deleted: t.flag(2, 'deleted'),
  }),
  ping: (t) => ({ type: 'ping', time: t.time(0, 'time') }),
  pong: (t) => ({ type: 'pong', time: t.time(0, 'time') }),
  done: () => ({ type: 'done' }),
  refused: (t) => ({ type: 'refused', code: codeName(t.int32(0, 'code')), text: t.text(1, 'text') }),
  'set-retention': (t) => ({
    type: 'set-retention',
    topic: t.requiredText(0, 'topic'),
    retentionMs: t.natural(1, 'retention_ms'),
    retentionBytes: t.natural(2, 'retention_bytes'),
  }),
  'commit-offsets': (t) => ({
    type: 'commit-offsets',
    group: t.requiredText(0, 'group'),
    topic: t.requiredText(1, 'topic'),
    positions: t.structs(2, POSITION_BYTES, 'positions', decodePosition, POSITIONS_MAX),
  }),
  'offsets-request': (t) => ({
    type: 'offsets-request',
    group: t.requiredText(0, 'group'),
    topic: t.requiredText(1, 'topic'),
  }),
  'offsets-reply': (t) => ({
    type: 'offsets-reply',
    positions: t.structs(0, POSITION_BYTES, 'positions', decodePosition, POSITIONS_MAX),
  }),
  query: decodeQuery,
  'query-reply': (t) => ({
    type: 'query-reply',
    matches: t.structs(0, QUERY_MATCH_BYTES, 'matches', decodeMatch, QUERY_MATCHES_MAX),
    more: t.flag(1, 'more'),
  }),
  call: (t) => ({
    type: 'call',
    method: t.requiredText(0, 'method'),
    params: t.text(1, 'params'),
    payload: t.bytes(2, 'payload'),
  }),
  'call-reply': (t) => ({ type: 'call-reply', result: t.text(0, 'result'), payload: t.bytes(1, 'payload') }),
};

const BY_NUMBER: readonly (Decoder | undefined)[] = decodersByNumber();

/** Reader of a union number; undefined for one that this version does not know. */
export function decoderOf(number: number): Decoder | undefined {
  return BY_NUMBER[number];
}

function decodersByNumber(): (Decoder | undefined)[] {
  const result: (Decoder | undefined)[] = [];
  for (const [type, number] of Object.entries(COMMAND_NUMBERS)) result[number] = DECODERS[type as Command['type']];
  return result;
}

function decodeWelcome(t: TableReader): CommandOf<'welcome'> {
  return {
    type: 'welcome',
    broker: t.text(0, 'broker'),
    version: t.text(1, 'version'),
    session: t.text(2, 'session'),
    messageMaxBytes: t.count(3, 'message_max'),
    frameMaxBytes: t.count(4, 'frame_max'),
    publishWindowBytes: t.count(5, 'publish_window'),
    heartbeatMs: t.count(6, 'heartbeat_ms'),
    serverTime: t.time(7, 'server_time'),
  };
}

function decodeRoute(t: TableReader): TopicRoute {
  return {
    topic: t.requiredText(0, 'topic'),
    topicId: t.count(1, 'topic_id'),
    version: t.int32(2, 'version'),
    overflow: t.choice(3, 'overflow', OVERFLOWS),
    ringBytes: t.count(4, 'ring_bytes'),
    messageMaxBytes: t.count(5, 'message_max'),
    direct: t.flag(6, 'direct'),
    partitions: t.tables(7, 'partitions', decodePartitionRoute),
    durable: t.flag(8, 'durable'),
    retentionMs: t.natural(9, 'retention_ms'),
    retentionBytes: t.natural(10, 'retention_bytes'),
  };
}

function decodePartitionRoute(t: TableReader): PartitionRoute {
  return {
    id: t.count(0, 'id'),
    number: t.count(1, 'number'),
    owner: t.int32(2, 'owner', -1),
    epoch: t.int32(3, 'epoch'),
    permission: t.choice(4, 'permission', PERMISSIONS),
    available: t.flag(5, 'available'),
    nextOffset: t.offset(6, 'next_offset'),
    oldestOffset: t.offset(7, 'oldest_offset'),
    epochs: t.structs(8, EPOCH_START_BYTES, 'epochs', decodeEpochStart),
  };
}

function decodeEpochStart(frame: FrameBytes, place: number): EpochStart {
  return { epoch: frame.int32At(place), offset: frame.safeAt(place + 8, 'offset', -1) };
}

function decodeCreateTopic(t: TableReader): CommandOf<'create-topic'> {
  return {
    type: 'create-topic',
    topic: t.requiredText(0, 'topic'),
    partitions: t.count(1, 'partitions'),
    overflow: t.choice(2, 'overflow', OVERFLOWS),
    ringBytes: t.count(3, 'ring_bytes'),
    direct: t.flag(4, 'direct'),
    ifNotExists: t.flag(5, 'if_not_exists'),
    durable: t.choice(6, 'durable', DURABILITIES),
    retentionMs: t.natural(7, 'retention_ms'),
    retentionBytes: t.natural(8, 'retention_bytes'),
  };
}

function decodeSubscribe(t: TableReader): CommandOf<'subscribe'> {
  return {
    type: 'subscribe',
    subscription: t.uint32(0, 'subscription'),
    topic: t.requiredText(1, 'topic'),
    from: decodeFrom(t),
    partitions: t.structs(6, 4, 'partitions', (frame, place) => frame.countAt(place, 'partition')),
    windowBytes: t.count(7, 'window'),
    filter: t.text(9, 'filter'),
  };
}

function decodeFrom(t: TableReader): StartFrom {
  const start = t.choice(2, 'start', STARTS);
  if (start === 'offset') return { offset: t.offset(3, 'offset') };
  if (start === 'last') return { last: t.count(4, 'last') };
  if (start === 'positions') return { positions: t.structs(5, POSITION_BYTES, 'positions', decodePosition) };
  if (start === 'time') return { time: t.time(8, 'time') };
  return start;
}

function decodePosition(frame: FrameBytes, place: number): PartitionPosition {
  return {
    partition: frame.countAt(place, 'number'),
    epoch: frame.int32At(place + 4),
    offset: frame.safeAt(place + 8, 'offset', -1),
  };
}

function decodeStart(t: TableReader): PartitionStart {
  return {
    id: t.count(0, 'id'),
    number: t.count(1, 'number'),
    epoch: t.int32(2, 'epoch'),
    offset: t.offset(3, 'offset'),
    gap: t.flag(4, 'gap'),
    gapFrom: t.offset(5, 'gap_from'),
  };
}

function decodeAckEntry(frame: FrameBytes, place: number): AckEntry {
  return {
    request: frame.int32At(place),
    status: frame.countAt(place + 4, 'status'),
    partition: frame.countAt(place + 8, 'partition', -1),
    count: frame.countAt(place + 12, 'count'),
    baseOffset: frame.safeAt(place + 16, 'base_offset', -1),
  };
}

function decodePull(t: TableReader): CommandOf<'pull'> {
  const start = t.choice(4, 'start', PULL_STARTS);
  return {
    type: 'pull',
    topic: t.requiredText(0, 'topic'),
    partition: t.count(1, 'number'),
    epoch: t.int32(2, 'epoch'),
    from: start === 'offset' ? { offset: t.offset(3, 'offset') } : start,
    maxBytes: t.count(5, 'max_bytes'),
    waitMs: t.count(6, 'wait_ms'),
    filter: t.text(7, 'filter'),
  };
}

function decodePullReply(t: TableReader): CommandOf<'pull-reply'> {
  return {
    type: 'pull-reply',
    id: t.count(0, 'partition'),
    number: t.count(1, 'number'),
    epoch: t.int32(2, 'epoch'),
    nextOffset: t.offset(3, 'next_offset'),
    gap: t.flag(4, 'gap'),
    batches: t.bytes(5, 'batches'),
  };
}

function decodeGap(t: TableReader): CommandOf<'gap'> {
  return {
    type: 'gap',
    id: t.count(0, 'partition'),
    number: t.count(1, 'number'),
    epoch: t.int32(2, 'epoch'),
    fromOffset: t.offset(3, 'from_offset'),
    toOffset: t.offset(4, 'to_offset'),
    reason: t.choice(5, 'reason', GAP_REASONS),
    topic: t.text(6, 'topic'),
  };
}

function decodeQuery(t: TableReader): CommandOf<'query'> {
  return {
    type: 'query',
    topic: t.requiredText(0, 'topic'),
    key: t.text(1, 'key'),
    fromTime: t.time(2, 'from_time'),
    toTime: t.time(3, 'to_time'),
    limit: t.count(4, 'limit', QUERY_MATCHES_MAX),
  };
}

function decodeMatch(frame: FrameBytes, place: number): QueryMatch {
  return {
    partition: frame.countAt(place, 'number'),
    epoch: frame.int32At(place + 4),
    offset: frame.safeAt(place + 8, 'offset', -1),
    storedAt: frame.safeAt(place + 16, 'stored_at', 0),
  };
}
