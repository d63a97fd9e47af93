// What a POST of messages says: one JSON message, many, or raw bytes.
import { PRIORITY_MAX, RECORD_PRIORITY_SHIFT } from '../../../native-layout/record.ts';
import { RingmqError } from '../../base/codes.ts';
import { ACK_LEVELS, type AckLevel } from '../../base/units.ts';
import { type JsonCommand, type JsonMessage, parseJsonCommand } from '../../wire/json.ts';
import { BODY_MAX_BYTES } from '../config.ts';
import type { HttpRequest } from '../transport/transport.ts';
import { Query } from './query.ts';

/** Most lines of one call with ?lines=1. */
const LINES_MAX = 10_000;
const NEW_LINE = 10;
const RETURN = 13;
const ROOM_FOR_OP = 1024;

export interface PublishRequest {
  readonly messages: readonly JsonMessage[];
  /** Number of the partition that all go to. */
  readonly partition: number | undefined;
  /** What the answer waits for; undefined: what the topic can promise. */
  readonly ack: AckLevel | undefined;
}

type Read = Pick<Extract<JsonCommand, { op: 'publish' }>, 'messages' | 'ack'>;

/** Reads it. Throws a RingmqError that says what is wrong. */
export function readPublish(request: HttpRequest, topic: string): PublishRequest {
  const query = new Query(request.query, [
    'key',
    'tag',
    'lines',
    'partition',
    'ack',
    'priority',
    'deliverAt',
    'delayMs',
  ]);
  const partition = query.has('partition') ? query.count('partition', 0) : undefined;
  const type = request.header('content-type').split(';')[0].trim().toLowerCase();
  const read: Read =
    type === 'application/json' ? readJson(request.body, topic) : { messages: readRaw(request.body, query) };
  return { messages: read.messages, partition, ack: ackOf(query.has('ack') ? query.text('ack') : read.ack) };
}

function ackOf(ack: string | undefined): AckLevel | undefined {
  if (ack === undefined) return undefined;
  // Without an acknowledgement there would be nothing to answer.
  if (Object.hasOwn(ACK_LEVELS, ack) && ack !== 'none') return ack as AckLevel;
  throw new RingmqError('illegal-argument', `ack is ${JSON.stringify(ack)}: accepted, written or durable`);
}

/** The same members as in a publish of the readable protocol. */
function readJson(body: Uint8Array, topic: string): Read {
  const value = parse(body);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RingmqError('malformed-command', 'the body is a JSON object: {"body": ..} or {"messages": [..]}');
  }
  const whole = JSON.stringify({ ...value, op: 'publish', topic, id: 0 });
  const command = parseJsonCommand(new TextEncoder().encode(whole), BODY_MAX_BYTES + ROOM_FOR_OP);
  if (command.op !== 'publish') throw new RingmqError('internal', `read ${command.op}`);
  return command;
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new RingmqError('malformed-command', 'the body is not JSON in UTF-8');
  }
}

function readRaw(body: Uint8Array, query: Query): readonly JsonMessage[] {
  const bodies = query.flag('lines') ? linesOf(body) : [body];
  const priority = query.count('priority', 0);
  if (priority > PRIORITY_MAX) throw new RingmqError('illegal-priority');
  const time = (name: string): number | undefined => (query.has(name) ? query.count(name, 0) : undefined);
  const rest = {
    key: query.text('key'),
    tag: query.text('tag'),
    properties: {},
    flags: priority << RECORD_PRIORITY_SHIFT,
    deliverAt: time('deliverAt'),
    delayMs: time('delayMs'),
  };
  return bodies.map((one) => ({ ...rest, body: one }));
}

/** One message a line; the last line break ends the last message and begins no other. */
function linesOf(body: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const found = body.indexOf(NEW_LINE, at);
    const end = found < 0 ? body.length : found;
    lines.push(body.subarray(at, end > at && body[end - 1] === RETURN ? end - 1 : end));
    at = end + 1;
    if (lines.length > LINES_MAX) throw new RingmqError('illegal-argument', `at most ${LINES_MAX} lines`);
  }
  if (lines.length === 0) throw new RingmqError('illegal-argument', 'the body is empty');
  return lines;
}
