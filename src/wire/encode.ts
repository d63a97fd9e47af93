// Commands into FlatBuffers, through the generated code. Fields that hold the schema's default take no bytes.
import type * as flatbuffers from 'flatbuffers';
import { Ack } from '../../native-layout/generated/ringmq/ack.ts';
import { AckEntry as AckEntryStruct } from '../../native-layout/generated/ringmq/ack-entry.ts';
import { Call } from '../../native-layout/generated/ringmq/call.ts';
import { CallReply } from '../../native-layout/generated/ringmq/call-reply.ts';
import { CommitOffsets } from '../../native-layout/generated/ringmq/commit-offsets.ts';
import { CreateTopic } from '../../native-layout/generated/ringmq/create-topic.ts';
import { Credit } from '../../native-layout/generated/ringmq/credit.ts';
import { DeleteTopic } from '../../native-layout/generated/ringmq/delete-topic.ts';
import { Done } from '../../native-layout/generated/ringmq/done.ts';
import type { Durability } from '../../native-layout/generated/ringmq/durability.ts';
import { EpochStart as EpochStartStruct } from '../../native-layout/generated/ringmq/epoch-start.ts';
import { Gap } from '../../native-layout/generated/ringmq/gap.ts';
import type { GapReason } from '../../native-layout/generated/ringmq/gap-reason.ts';
import { Hello } from '../../native-layout/generated/ringmq/hello.ts';
import { OffsetsReply } from '../../native-layout/generated/ringmq/offsets-reply.ts';
import { OffsetsRequest } from '../../native-layout/generated/ringmq/offsets-request.ts';
import { OpenDirect } from '../../native-layout/generated/ringmq/open-direct.ts';
import type { Overflow } from '../../native-layout/generated/ringmq/overflow.ts';
import { PartitionRoute as RouteTable } from '../../native-layout/generated/ringmq/partition-route.ts';
import { PartitionStart as StartTable } from '../../native-layout/generated/ringmq/partition-start.ts';
import { Ping } from '../../native-layout/generated/ringmq/ping.ts';
import { Pong } from '../../native-layout/generated/ringmq/pong.ts';
import { Position } from '../../native-layout/generated/ringmq/position.ts';
import { Pull } from '../../native-layout/generated/ringmq/pull.ts';
import { PullReply } from '../../native-layout/generated/ringmq/pull-reply.ts';
import { Query } from '../../native-layout/generated/ringmq/query.ts';
import { QueryMatch as QueryMatchStruct } from '../../native-layout/generated/ringmq/query-match.ts';
import { QueryReply } from '../../native-layout/generated/ringmq/query-reply.ts';
import { Refused } from '../../native-layout/generated/ringmq/refused.ts';
import { RouteChanged } from '../../native-layout/generated/ringmq/route-changed.ts';
import { RouteReply } from '../../native-layout/generated/ringmq/route-reply.ts';
import { RouteRequest } from '../../native-layout/generated/ringmq/route-request.ts';
import { SetPermission } from '../../native-layout/generated/ringmq/set-permission.ts';
import { SetRetention } from '../../native-layout/generated/ringmq/set-retention.ts';
import type { StartKind } from '../../native-layout/generated/ringmq/start-kind.ts';
import { Subscribe } from '../../native-layout/generated/ringmq/subscribe.ts';
import { Subscribed } from '../../native-layout/generated/ringmq/subscribed.ts';
import { TopicsReply } from '../../native-layout/generated/ringmq/topics-reply.ts';
import { TopicsRequest } from '../../native-layout/generated/ringmq/topics-request.ts';
import { Unsubscribe } from '../../native-layout/generated/ringmq/unsubscribe.ts';
import { Welcome } from '../../native-layout/generated/ringmq/welcome.ts';
import { codeNumber } from '../base/codes.ts';
import type {
  AckEntry,
  Command,
  CommandOf,
  CommandType,
  EpochStart,
  PartitionPosition,
  PartitionRoute,
  PartitionStart,
  QueryMatch,
  StartFrom,
  TopicRoute,
} from './commands.ts';
import { DURABILITIES, GAP_REASONS, OVERFLOWS, PERMISSIONS, STARTS } from './enums.ts';
import { POSITIONS_MAX, QUERY_MATCHES_MAX } from './frame.ts';
import { atMost, choice, count, type FrameWriter, int32, natural, offset, time, uint32 } from './frame-writer.ts';

type Place = flatbuffers.Offset;
type Encoders = { readonly [T in CommandType]: (w: FrameWriter, command: CommandOf<T>) => Place };

const OWNER_NONE = -1;

const ENCODERS: Encoders = {
  hello: (w, c) => Hello.createHello(w.builder, w.text(c.client), w.text(c.version), w.text(c.token)),
  welcome: encodeWelcome,
  'route-request': (w, c) => RouteRequest.createRouteRequest(w.builder, w.requiredText(c.topic), c.create),
  'route-reply': (w, c) => encodeRoute(w, c.route),
  'create-topic': encodeCreateTopic,
  'open-direct': (w, c) => OpenDirect.createOpenDirect(w.builder, w.requiredText(c.topic)),
  'delete-topic': (w, c) => DeleteTopic.createDeleteTopic(w.builder, w.requiredText(c.topic)),
  'set-permission': encodeSetPermission,
  'topics-request': (w, c) => {
    return TopicsRequest.createTopicsRequest(w.builder, w.text(c.after), count(c.limit, 'limit'));
  },
  'topics-reply': (w, c) => {
    const routes = w.tables(c.topics, 'topics', (route) => encodeRoute(w, route));
    return TopicsReply.createTopicsReply(w.builder, TopicsReply.createTopicsVector(w.builder, routes), c.more);
  },
  subscribe: encodeSubscribe,
  subscribed: encodeSubscribed,
  unsubscribe: (w, c) => Unsubscribe.createUnsubscribe(w.builder, uint32(c.subscription, 'subscription')),
  credit: (w, c) => Credit.createCredit(w.builder, uint32(c.bytes, 'bytes')),
  ack: encodeAckEntries,
  pull: encodePull,
  'pull-reply': encodePullReply,
  gap: encodeGap,
  'route-changed': (w, c) => {
    const topic = w.requiredText(c.topic);
    return RouteChanged.createRouteChanged(w.builder, topic, int32(c.version, 'version'), c.deleted);
  },
  ping: (w, c) => Ping.createPing(w.builder, time(c.time, 'time')),
  pong: (w, c) => Pong.createPong(w.builder, time(c.time, 'time')),
  done: (w) => Done.createDone(w.builder),
  refused: (w, c) => Refused.createRefused(w.builder, codeNumber(c.code), w.text(c.text)),
  'set-retention': (w, c) => {
    const [age, bytes] = [natural(c.retentionMs, 'retentionMs'), natural(c.retentionBytes, 'retentionBytes')];
    return SetRetention.createSetRetention(w.builder, w.requiredText(c.topic), age, bytes);
  },
  'commit-offsets': encodeCommitOffsets,
  'offsets-request': (w, c) => {
    return OffsetsRequest.createOffsetsRequest(w.builder, w.requiredText(c.group), w.requiredText(c.topic));
  },
  'offsets-reply': encodeOffsetsReply,
  query: encodeQuery,
  'query-reply': encodeQueryReply,
  call: (w, c) => Call.createCall(w.builder, w.requiredText(c.method), w.text(c.params), w.alignedBytes(c.payload)),
  'call-reply': (w, c) => CallReply.createCallReply(w.builder, w.text(c.result), w.alignedBytes(c.payload)),
};

/** Writes the command's table and returns its place. */
export function encodeCommand(writer: FrameWriter, command: Command): Place {
  // The table pairs each type with its own encoder, which TypeScript cannot follow through an index.
  return ENCODERS[command.type](writer, command as never);
}

function encodeWelcome(w: FrameWriter, c: CommandOf<'welcome'>): Place {
  return Welcome.createWelcome(
    w.builder,
    w.text(c.broker),
    w.text(c.version),
    w.text(c.session),
    count(c.messageMaxBytes, 'messageMaxBytes'),
    count(c.frameMaxBytes, 'frameMaxBytes'),
    count(c.publishWindowBytes, 'publishWindowBytes'),
    count(c.heartbeatMs, 'heartbeatMs'),
    time(c.serverTime, 'serverTime'),
  );
}

function encodeRoute(w: FrameWriter, route: TopicRoute): Place {
  const partitions = w.tables(route.partitions, 'partitions', (partition) => encodePartitionRoute(w, partition));
  return RouteReply.createRouteReply(
    w.builder,
    w.requiredText(route.topic),
    count(route.topicId, 'topicId'),
    int32(route.version, 'version'),
    choice<string, Overflow>(route.overflow, 'overflow', OVERFLOWS),
    count(route.ringBytes, 'ringBytes'),
    count(route.messageMaxBytes, 'messageMaxBytes'),
    route.direct,
    RouteReply.createPartitionsVector(w.builder, partitions),
    route.durable,
    natural(route.retentionMs, 'retentionMs'),
    natural(route.retentionBytes, 'retentionBytes'),
  );
}

function encodePartitionRoute(w: FrameWriter, partition: PartitionRoute): Place {
  const { builder } = w;
  const epochs = w.structs(
    partition.epochs,
    'epochs',
    (length) => RouteTable.startEpochsVector(builder, length),
    (start) => putEpochStart(builder, start),
  );
  return RouteTable.createPartitionRoute(
    w.builder,
    count(partition.id, 'id'),
    count(partition.number, 'number'),
    int32(partition.owner, 'owner', OWNER_NONE),
    int32(partition.epoch, 'epoch'),
    choice(partition.permission, 'permission', PERMISSIONS),
    partition.available,
    offset(partition.nextOffset, 'nextOffset'),
    offset(partition.oldestOffset, 'oldestOffset'),
    epochs,
  );
}

function putEpochStart(builder: flatbuffers.Builder, start: EpochStart): void {
  EpochStartStruct.createEpochStart(builder, int32(start.epoch, 'epoch'), offset(start.offset, 'offset'));
}

function encodeCreateTopic(w: FrameWriter, c: CommandOf<'create-topic'>): Place {
  return CreateTopic.createCreateTopic(
    w.builder,
    w.requiredText(c.topic),
    count(c.partitions, 'partitions'),
    choice<string, Overflow>(c.overflow, 'overflow', OVERFLOWS),
    count(c.ringBytes, 'ringBytes'),
    c.direct,
    c.ifNotExists,
    choice<boolean | undefined, Durability>(c.durable, 'durable', DURABILITIES),
    natural(c.retentionMs, 'retentionMs'),
    natural(c.retentionBytes, 'retentionBytes'),
  );
}

function encodeSetPermission(w: FrameWriter, c: CommandOf<'set-permission'>): Place {
  return SetPermission.createSetPermission(
    w.builder,
    w.text(c.topic),
    int32(c.owner, 'owner', OWNER_NONE),
    choice(c.permission, 'permission', PERMISSIONS),
  );
}

function encodeSubscribe(w: FrameWriter, c: CommandOf<'subscribe'>): Place {
  const { builder } = w;
  const { from } = c;
  const positions = typeof from === 'object' && 'positions' in from ? from.positions : [];
  return Subscribe.createSubscribe(
    builder,
    uint32(c.subscription, 'subscription'),
    w.requiredText(c.topic),
    startOf(from),
    offset(typeof from === 'object' && 'offset' in from ? from.offset : 0, 'from.offset'),
    count(typeof from === 'object' && 'last' in from ? from.last : 0, 'from.last'),
    w.structs(
      positions,
      'from.positions',
      (length) => Subscribe.startPositionsVector(builder, length),
      (position) => putPosition(builder, position),
    ),
    w.structs(
      c.partitions,
      'partitions',
      (length) => Subscribe.startPartitionsVector(builder, length),
      (partition) => builder.addInt32(count(partition, 'partitions')),
    ),
    count(c.windowBytes, 'windowBytes'),
    time(typeof from === 'object' && 'time' in from ? from.time : 0, 'from.time'),
    w.text(c.filter),
  );
}

function startOf(from: StartFrom): StartKind {
  const word = typeof from === 'string' ? from : Object.keys(from)[0];
  return choice<string, StartKind>(word, 'from', STARTS);
}

function putPosition(builder: flatbuffers.Builder, position: PartitionPosition): void {
  const partition = count(position.partition, 'partition');
  Position.createPosition(builder, partition, int32(position.epoch, 'epoch'), offset(position.offset, 'offset'));
}

function encodeSubscribed(w: FrameWriter, c: CommandOf<'subscribed'>): Place {
  const starts = w.tables(c.starts, 'starts', (start) => encodeStart(w, start));
  return Subscribed.createSubscribed(
    w.builder,
    uint32(c.subscription, 'subscription'),
    w.text(c.topic),
    Subscribed.createStartsVector(w.builder, starts),
    count(c.topicId, 'topicId'),
  );
}

function encodeStart(w: FrameWriter, start: PartitionStart): Place {
  return StartTable.createPartitionStart(
    w.builder,
    count(start.id, 'id'),
    count(start.number, 'number'),
    int32(start.epoch, 'epoch'),
    offset(start.offset, 'offset'),
    start.gap,
    offset(start.gapFrom, 'gapFrom'),
  );
}

function encodeAckEntries(w: FrameWriter, c: CommandOf<'ack'>): Place {
  const { builder } = w;
  const entries = w.structs(
    c.entries,
    'entries',
    (length) => Ack.startEntriesVector(builder, length),
    (entry) => putAckEntry(builder, entry),
  );
  return Ack.createAck(builder, entries);
}

function putAckEntry(builder: flatbuffers.Builder, entry: AckEntry): void {
  AckEntryStruct.createAckEntry(
    builder,
    int32(entry.request, 'request'),
    count(entry.status, 'status'),
    int32(entry.partition, 'partition', -1),
    count(entry.count, 'count'),
    offset(entry.baseOffset, 'baseOffset'),
  );
}

function encodePull(w: FrameWriter, c: CommandOf<'pull'>): Place {
  return Pull.createPull(
    w.builder,
    w.requiredText(c.topic),
    count(c.partition, 'partition'),
    int32(c.epoch, 'epoch'),
    offset(typeof c.from === 'object' ? c.from.offset : 0, 'from.offset'),
    startOf(c.from),
    count(c.maxBytes, 'maxBytes'),
    count(c.waitMs, 'waitMs'),
    w.text(c.filter),
  );
}

function encodePullReply(w: FrameWriter, c: CommandOf<'pull-reply'>): Place {
  return PullReply.createPullReply(
    w.builder,
    count(c.id, 'id'),
    count(c.number, 'number'),
    int32(c.epoch, 'epoch'),
    offset(c.nextOffset, 'nextOffset'),
    c.gap,
    w.alignedBytes(c.batches),
  );
}

function encodeGap(w: FrameWriter, c: CommandOf<'gap'>): Place {
  return Gap.createGap(
    w.builder,
    count(c.id, 'id'),
    count(c.number, 'number'),
    int32(c.epoch, 'epoch'),
    offset(c.fromOffset, 'fromOffset'),
    offset(c.toOffset, 'toOffset'),
    choice<string, GapReason>(c.reason, 'reason', GAP_REASONS),
    w.text(c.topic),
  );
}

function encodeCommitOffsets(w: FrameWriter, c: CommandOf<'commit-offsets'>): Place {
  const positions = encodePositions(w, c.positions, (length) => CommitOffsets.startPositionsVector(w.builder, length));
  return CommitOffsets.createCommitOffsets(w.builder, w.requiredText(c.group), w.requiredText(c.topic), positions);
}

function encodeOffsetsReply(w: FrameWriter, c: CommandOf<'offsets-reply'>): Place {
  const positions = encodePositions(w, c.positions, (length) => OffsetsReply.startPositionsVector(w.builder, length));
  return OffsetsReply.createOffsetsReply(w.builder, positions);
}

function encodePositions(
  w: FrameWriter,
  positions: readonly PartitionPosition[],
  start: (length: number) => void,
): Place {
  atMost(positions.length, POSITIONS_MAX, 'positions');
  return w.structs(positions, 'positions', start, (position) => putPosition(w.builder, position));
}

function encodeQuery(w: FrameWriter, c: CommandOf<'query'>): Place {
  return Query.createQuery(
    w.builder,
    w.requiredText(c.topic),
    w.text(c.key),
    time(c.fromTime, 'fromTime'),
    time(c.toTime, 'toTime'),
    atMost(count(c.limit, 'limit'), QUERY_MATCHES_MAX, 'limit'),
  );
}

function encodeQueryReply(w: FrameWriter, c: CommandOf<'query-reply'>): Place {
  const { builder } = w;
  atMost(c.matches.length, QUERY_MATCHES_MAX, 'matches');
  const matches = w.structs(
    c.matches,
    'matches',
    (length) => QueryReply.startMatchesVector(builder, length),
    (match) => putMatch(builder, match),
  );
  return QueryReply.createQueryReply(builder, matches, c.more);
}

function putMatch(builder: flatbuffers.Builder, match: QueryMatch): void {
  QueryMatchStruct.createQueryMatch(
    builder,
    count(match.partition, 'partition'),
    int32(match.epoch, 'epoch'),
    offset(match.offset, 'offset'),
    time(match.storedAt, 'storedAt'),
  );
}
