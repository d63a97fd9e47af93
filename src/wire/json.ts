// The readable subprotocol `ringmq.json.v1`: one JSON object in each text frame, so that a bare WebSocket and
// ten lines suffice. This file reads what clients say; json-replies.ts writes what the server says.
//
//   {"op":"publish","topic":"t","body":{"any":"JSON"},"id":1}
//   {"op":"subscribe","topic":"t","from":"earliest","id":2,"filter":"A || B"}
//
// Bodies. What is published as a string is stored as its UTF-8 and delivered as a string. Any other JSON
// value is stored as JSON text with RECORD_FLAG_JSON and delivered as the same value. `bodyBase64` stores any
// bytes. Numbers are IEEE doubles, as everywhere in JavaScript: send larger integers as strings.
import * as v from 'valibot';
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import { RECORD_PRIORITY_SHIFT } from '../../native-layout/record.ts';
import type { AckLevel } from '../base/units.ts';
import type { CommandOf, StartFrom } from './commands.ts';
import { CommandError } from './frame.ts';
import { complaint, type MessageInput, OP_SCHEMAS, type OpInput, type OpName } from './json-schema.ts';
import { RECORD_FLAG_JSON, textBytes, tryBase64, tryText } from './json-text.ts';

/** Longest command in bytes: a body of 4 MiB in base64 and room for the rest. */
export const JSON_COMMAND_BYTES_MAX = 8 * 1024 * 1024;
/** Deepest nesting of a command, counted from its own braces. */
export const JSON_DEPTH_MAX = 64;

const COMPLAINT_LENGTH_MAX = 200;
/** Members of a message, which stand in `messages` where there are several. */
const MESSAGE_MEMBERS = ['key', 'tag', 'properties', 'priority', 'deliverAt', 'delayMs', 'body', 'bodyBase64'];
/** Member names that must not reach an object of ours. */
const RESERVED = ['__proto__', 'constructor', 'prototype'];

/** One message to be published. Its lengths are checked by whoever writes the record. */
export interface JsonMessage {
  /** '' for none. */
  readonly key: string;
  /** '' for none. */
  readonly tag: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Of the record: RECORD_FLAG_JSON or 0, and the priority. */
  readonly flags: number;
  /** When it is to be delivered, if not at once: one of the two. */
  readonly deliverAt?: number | undefined;
  readonly delayMs?: number | undefined;
}

/** What a client asked for. `id` comes back in the answer; 0 asks for none. */
export type JsonCommand =
  | {
      readonly op: 'publish';
      readonly id: number;
      readonly topic: string;
      /** undefined: the broker's default. */
      readonly ack?: AckLevel | undefined;
      /** At least one. */
      readonly messages: readonly JsonMessage[];
    }
  | {
      readonly op: 'subscribe';
      readonly id: number;
      readonly topic: string;
      readonly from: StartFrom;
      /** Numbers of the partitions wanted; empty: all. */
      readonly partitions: readonly number[];
      /** Tags, or SQL over properties. Default: everything. */
      readonly filter?: string | { readonly sql: string } | undefined;
    }
  | { readonly op: 'unsubscribe'; readonly id: number; readonly topic: string }
  | ({
      readonly op: 'pull';
      readonly id: number;
      /** As of `subscribe`. There may be no message and a `nextOffset` that has moved on: pull again from there. */
      readonly filter?: string | { readonly sql: string } | undefined;
    } & Omit<CommandOf<'pull'>, 'type' | 'filter'>)
  | { readonly op: 'ping'; readonly id: number }
  | { readonly op: 'topics'; readonly id: number; readonly after: string; readonly limit: number }
  | { readonly op: 'route'; readonly id: number; readonly topic: string; readonly create: boolean }
  | {
      readonly op: 'create-topic';
      readonly id: number;
      readonly topic: string;
      /** 0: the broker's default. */
      readonly partitions: number;
      /** undefined: the broker's default. */
      readonly overflow?: OverflowPolicy | undefined;
      /** 0: the broker's default. */
      readonly ringBytes: number;
      /** undefined: as the broker does. */
      readonly durable?: boolean | undefined;
      /** 0: as the broker does. */
      readonly retentionMs: number;
      readonly retentionBytes: number;
      readonly ifNotExists: boolean;
    }
  | { readonly op: 'delete-topic'; readonly id: number; readonly topic: string }
  | {
      readonly op: 'call';
      readonly id: number;
      readonly method: string;
      /** As services.ts has them; checked by the coordinator. */
      readonly params: object;
      /** For a method that takes some. */
      readonly messages: readonly JsonMessage[];
    }
  | JsonOf<'set-retention'>
  | JsonOf<'commit-offsets'>
  | ({ readonly op: 'offsets'; readonly id: number } & Omit<CommandOf<'offsets-request'>, 'type'>)
  | JsonOf<'query'>;

/** A command that says in JSON what it says in binary. */
type JsonOf<T extends 'set-retention' | 'commit-offsets' | 'query'> = { readonly op: T; readonly id: number } & Omit<
  CommandOf<T>,
  'type'
>;

/**
 * Reads one text frame. Throws CommandError (a RingmqError) with a text that names the field:
 * 'malformed-command', 'unknown-command' for an unknown op, 'frame-too-large'.
 */
export function parseJsonCommand(bytes: Uint8Array, lengthMax = JSON_COMMAND_BYTES_MAX): JsonCommand {
  if (bytes.length > lengthMax) {
    throw new CommandError('frame-too-large', `a command has at most ${lengthMax} bytes`, 0);
  }
  const fields = parseObject(bytes);
  const id = idOf(fields);
  try {
    return readCommand(fields);
  } catch (error) {
    if (error instanceof Refusal) throw new CommandError(error.code, error.message, id);
    throw error;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** What is wrong, before it is known for whom. */
class Refusal extends Error {
  readonly code: 'malformed-command' | 'unknown-command';
  constructor(text: string, code: Refusal['code'] = 'malformed-command') {
    super(text.length > COMPLAINT_LENGTH_MAX ? `${text.slice(0, COMPLAINT_LENGTH_MAX)}...` : text);
    this.code = code;
  }
}

function parseObject(bytes: Uint8Array): Fields {
  const text = tryText(bytes);
  if (text === undefined) throw new CommandError('malformed-command', 'the frame is not UTF-8', 0);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CommandError('malformed-command', 'the frame is not JSON', 0);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CommandError('malformed-command', 'the frame is not a JSON object', 0);
  }
  return value as Fields;
}

function idOf(fields: Fields): number {
  const id = Object.hasOwn(fields, 'id') ? fields.id : 0;
  return typeof id === 'number' && id >>> 0 === id ? id : 0;
}

function readCommand(fields: Fields): JsonCommand {
  checkValue(fields, 1);
  refuseReserved(fields, '');
  const op = Object.hasOwn(fields, 'op') ? fields.op : undefined;
  if (typeof op !== 'string') throw new Refusal('op must be a string');
  if (!isOp(op)) throw new Refusal(`op: there is no ${JSON.stringify(op)}`, 'unknown-command');
  if (op === 'publish') return readPublish(fields);
  if (op === 'call') return readCall(fields);
  return read(op, fields);
}

function isOp(op: string): op is OpName {
  return Object.hasOwn(OP_SCHEMAS, op);
}

function read<T extends OpName>(op: T, fields: Fields): OpInput<T> {
  const result = v.safeParse(OP_SCHEMAS[op], fields, { abortEarly: true });
  if (!result.success) throw new Refusal(complaint(result.issues[0]));
  return result.output as OpInput<T>;
}

function readPublish(fields: Fields): JsonCommand {
  refuseReservedIn(fields.properties, 'properties.');
  if (Array.isArray(fields.messages)) fields.messages.forEach(refuseReservedMessage);
  const input = read('publish', fields);
  const { op, id, topic, ack } = input;
  if (input.messages === undefined) return { op, id, topic, ack, messages: [readMessage(input, '')] };
  const stray = MESSAGE_MEMBERS.find((name) => Object.hasOwn(fields, name));
  if (stray !== undefined) throw new Refusal(`${stray} belongs into messages`);
  return {
    op,
    id,
    topic,
    ack,
    messages: input.messages.map((each, i) => readMessage(each, `messages.${i}.`)),
  };
}

function readCall(fields: Fields): JsonCommand {
  if (Array.isArray(fields.params)) throw new Refusal('params must be an object');
  if (Array.isArray(fields.messages)) fields.messages.forEach(refuseReservedMessage);
  const { messages = [], ...input } = read('call', fields);
  const timed = messages.findIndex(({ deliverAt, delayMs }) => (deliverAt ?? delayMs) !== undefined);
  if (timed >= 0) throw new Refusal(`messages.${timed}: when it is to be delivered stands in params`);
  return { ...input, messages: messages.map((each, i) => readMessage(each, `messages.${i}.`)) };
}

function readMessage(input: MessageInput, path: string): JsonMessage {
  const { key, tag, properties, bodyBase64, priority = 0, deliverAt, delayMs } = input;
  if (deliverAt !== undefined && delayMs !== undefined) throw new Refusal(`${path}deliverAt or delayMs, and not both`);
  const about = { key, tag, properties, deliverAt, delayMs };
  const above = priority << RECORD_PRIORITY_SHIFT;
  const hasBody = Object.hasOwn(input, 'body');
  if (hasBody === (bodyBase64 !== undefined)) throw new Refusal(`${path}body or bodyBase64 is needed, and not both`);
  if (bodyBase64 === undefined) {
    const { body, flags } = encodeBody(input.body);
    return { ...about, body, flags: flags | above };
  }
  const body = tryBase64(bodyBase64);
  if (body === undefined) throw new Refusal(`${path}bodyBase64 is not base64`);
  return { ...about, body, flags: above };
}

/** Strings that UTF-8 cannot hold (half a surrogate pair) are stored as JSON, which escapes them. */
function encodeBody(body: unknown): { readonly body: Uint8Array; readonly flags: number } {
  if (typeof body === 'string' && body.isWellFormed()) return { body: textBytes(body), flags: 0 };
  return { body: textBytes(JSON.stringify(body)), flags: RECORD_FLAG_JSON };
}

/**
 * Bounds the recursion of whoever walks the value later, and refuses numbers that would come back as null.
 */
function checkValue(value: unknown, depth: number): void {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Refusal('a number is too large');
  if (typeof value !== 'object' || value === null) return;
  if (depth > JSON_DEPTH_MAX) throw new Refusal(`nested deeper than ${JSON_DEPTH_MAX}`);
  const members = Array.isArray(value) ? value : Object.values(value);
  for (const member of members) checkValue(member, depth + 1);
}

function refuseReserved(fields: object, path: string): void {
  const name = RESERVED.find((reserved) => Object.hasOwn(fields, reserved));
  if (name !== undefined) throw new Refusal(`${path}${name}: no such field`);
}

function refuseReservedIn(value: unknown, path: string): void {
  if (typeof value === 'object' && value !== null) refuseReserved(value, path);
}

function refuseReservedMessage(message: unknown, index: number): void {
  const path = `messages.${index}.`;
  refuseReservedIn(message, path);
  if (typeof message !== 'object' || message === null) return;
  refuseReservedIn((message as Fields).properties, `${path}properties.`);
}
