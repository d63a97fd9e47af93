// What the server says in the readable subprotocol `ringmq.json.v1`: each function returns the text of one
// frame.
//
//   {"op":"message","topic":"t","partition":0,"epoch":1,"offset":42,"bornAt":..,"storedAt":..,"body":{..}}
//   {"op":"ack","id":1,"partition":0,"offset":42,"count":1}
//
// Partitions are named by their number in the topic, never by the broker's internal id. Members that would be
// empty (key, tag, properties, the id of what was not asked for) are left out.
import { RECORD_PRIORITY_SHIFT } from '../../native-layout/record.ts';
import { CODES, type CodeName } from '../base/codes.ts';
import type { CommandOf, PartitionPosition, PartitionStart, QueryMatch, TopicRoute } from './commands.ts';
import { RECORD_FLAG_JSON, toBase64, tryText } from './json-text.ts';

/** A stored message on its way to a subscriber. */
export interface JsonDelivery {
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  /** '' for none. */
  readonly key: string;
  /** '' for none. */
  readonly tag: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly bornAt: number;
  readonly storedAt: number;
  /** May lie in shared memory. */
  readonly body: Uint8Array;
  /** Flags of the record. */
  readonly flags: number;
}

/** What the publisher of a delayed message gets; `handle` is for the method `recall`. */
export interface JsonScheduled {
  readonly deliverAt: number;
  readonly handle: string;
}

/** Body as `body` where it is JSON or text, else as `bodyBase64`. */
export function jsonMessage(message: JsonDelivery): string {
  const { topic, partition, epoch, offset, key, tag, properties, bornAt, storedAt } = message;
  const head = JSON.stringify({
    op: 'message',
    topic,
    partition,
    epoch,
    offset,
    key: key === '' ? undefined : key,
    tag: tag === '' ? undefined : tag,
    properties: Object.keys(properties).length === 0 ? undefined : properties,
    priority: message.flags >>> RECORD_PRIORITY_SHIFT || undefined,
    bornAt,
    storedAt,
  });
  return `${head.slice(0, -1)},${bodyMember(message.body, message.flags)}}`;
}

function bodyMember(body: Uint8Array, flags: number): string {
  const text = tryText(body);
  if (text === undefined) return `"bodyBase64":"${toBase64(body)}"`;
  // JSON text is passed on as it is. It was written by somebody else: unless it is one JSON value, it could
  // end this object and begin another.
  const isJson = (flags & RECORD_FLAG_JSON) !== 0 && isJsonText(text);
  return `"body":${isJson ? text : JSON.stringify(text)}`;
}

function isJsonText(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Done, with nothing more to say. */
export function jsonOk(id: number): string {
  return JSON.stringify({ op: 'ok', id });
}

/** Refused. `text` says what exactly was wrong; the table's text is used without one. */
export function jsonError(id: number, code: CodeName, text: string = CODES[code].text): string {
  const { number, advice } = CODES[code];
  return JSON.stringify({ op: 'error', id: idOrNone(id), code, number, advice, text });
}

/**
 * `count` messages were taken, the first at `offset`. One for each partition that a publish was spread over.
 */
export function jsonAck(id: number, partition: number, offset: number, count: number): string {
  return JSON.stringify({ op: 'ack', id, partition, offset, count });
}

/** Stored for later: a receipt for each message of the publish, in its order. */
export function jsonScheduled(id: number, topic: string, receipts: readonly JsonScheduled[]): string {
  return JSON.stringify({ op: 'scheduled', id, topic, receipts });
}

export function jsonPong(id: number, time: number): string {
  return JSON.stringify({ op: 'pong', id: idOrNone(id), time });
}

/** Where delivery begins on every partition. */
export function jsonSubscribed(id: number, topic: string, starts: readonly PartitionStart[]): string {
  const partitions = starts.map(({ number, epoch, offset, gap, gapFrom }) => {
    return { partition: number, epoch, offset, gapFrom: gap ? gapFrom : undefined };
  });
  return JSON.stringify({ op: 'subscribed', id: idOrNone(id), topic, partitions });
}

/** Messages from `from` up to and without `to` are gone. */
export function jsonGap(gap: Omit<CommandOf<'gap'>, 'type' | 'id'>): string {
  const { topic, number, epoch, fromOffset, toOffset, reason } = gap;
  return JSON.stringify({
    op: 'gap',
    topic,
    partition: number,
    epoch,
    from: fromOffset,
    to: toOffset,
    reason,
  });
}

/** A page of topics, in the order of their names. */
export function jsonTopics(id: number, topics: readonly TopicRoute[], more: boolean): string {
  return JSON.stringify({ op: 'topics', id: idOrNone(id), topics: topics.map(routeMembers), more });
}

export function jsonRoute(id: number, route: TopicRoute): string {
  return JSON.stringify({ op: 'route', id: idOrNone(id), ...routeMembers(route) });
}

export function jsonRouteChanged(topic: string, version: number, deleted: boolean): string {
  return JSON.stringify({ op: 'route-changed', topic, version, deleted });
}

/** Answer to a pull. `messages` are texts of jsonMessage(). */
export function jsonPulled(
  id: number,
  reply: Omit<CommandOf<'pull-reply'>, 'type' | 'id' | 'batches'>,
  messages: readonly string[],
): string {
  const { number, epoch, nextOffset, gap } = reply;
  const head = JSON.stringify({ op: 'pulled', id: idOrNone(id), partition: number, epoch, nextOffset, gap });
  return `${head.slice(0, -1)},"messages":[${messages.join(',')}]}`;
}

/** Answer to a call. `result` is JSON; `messages` are texts of jsonMessage(). */
export function jsonCalled(id: number, result: string, messages: readonly string[]): string {
  const head = JSON.stringify({ op: 'called', id: idOrNone(id) });
  const list = messages.length === 0 ? '' : `,"messages":[${messages.join(',')}]`;
  return `${head.slice(0, -1)},"result":${result}${list}}`;
}

/** Where a group goes on, of the partitions for which it has said so. */
export function jsonOffsets(id: number, group: string, topic: string, positions: readonly PartitionPosition[]): string {
  return JSON.stringify({ op: 'offsets', id: idOrNone(id), group, topic, positions });
}

/** What a query found, oldest first. `more`: there was more than the limit. */
export function jsonQueried(id: number, topic: string, matches: readonly QueryMatch[], more: boolean): string {
  return JSON.stringify({ op: 'queried', id: idOrNone(id), topic, matches, more });
}

function routeMembers(route: TopicRoute): object {
  const { topic, version, overflow, ringBytes, messageMaxBytes, direct, durable, retentionMs, retentionBytes } = route;
  // Retention of 0 says: as the broker does. A volatile topic has none.
  const kept = durable
    ? { retentionMs: retentionMs || undefined, retentionBytes: retentionBytes || undefined }
    : undefined;
  const partitions = route.partitions.map(({ number, epoch, permission, available, nextOffset, ...history }) => {
    const { oldestOffset, epochs } = history;
    const log = durable ? { oldestOffset, epochs } : undefined;
    return { partition: number, epoch, permission, available, nextOffset, ...log };
  });
  return { topic, version, overflow, ringBytes, messageMaxBytes, direct, durable, ...kept, partitions };
}

function idOrNone(id: number): number | undefined {
  return id === 0 ? undefined : id;
}
