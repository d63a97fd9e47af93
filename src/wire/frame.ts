// What tells commands from batches on a connection, and how a command frame is laid out:
//
//   0               4               8
//   +---------------+---------------+------------------------------------------+
//   | mark = -1     | length        | FlatBuffer (root Frame, "RMQC"), to 8    |
//   +---------------+---------------+------------------------------------------+
//
// A batch starts with its size, which is positive. `length` counts the whole frame, header included, and is a
// multiple of 8; the FlatBuffer's own alignment counts from the start of the frame.
import { type CodeName, RingmqError } from '../base/codes.ts';
import type { CommandType } from './commands.ts';

/** First word of a command frame. No batch starts with it. */
export const COMMAND_MARK = -1;
export const COMMAND_HEADER_BYTES = 8;
/** Header, root offset, identifier and the smallest vtable: nothing shorter can be a command. */
export const COMMAND_BYTES_MIN = 24;

/**
 * Most items that all vectors of one command may hold together (batches count as none). A topic has far fewer
 * partitions, and long lists are sent in pages.
 */
export const COMMAND_ITEMS_MAX = 65_536;

/** Most positions in one command about a group's offsets. A topic has at most as many partitions. */
export const POSITIONS_MAX = 4096;
/** Most matches in the answer to one query. */
export const QUERY_MATCHES_MAX = 1000;

/** Numbers of the schema's union `Command`; a test compares them with the generated code. */
export const COMMAND_NUMBERS = {
  hello: 1,
  welcome: 2,
  'route-request': 3,
  'route-reply': 4,
  'create-topic': 5,
  'open-direct': 6,
  'delete-topic': 7,
  'set-permission': 8,
  'topics-request': 9,
  'topics-reply': 10,
  subscribe: 11,
  subscribed: 12,
  unsubscribe: 13,
  credit: 14,
  ack: 15,
  pull: 16,
  'pull-reply': 17,
  gap: 18,
  'route-changed': 19,
  ping: 20,
  pong: 21,
  done: 22,
  refused: 23,
  'set-retention': 24,
  'commit-offsets': 25,
  'offsets-request': 26,
  'offsets-reply': 27,
  query: 28,
  'query-reply': 29,
  call: 30,
  'call-reply': 31,
} as const satisfies Record<CommandType, number>;

/** Largest integer that a number holds exactly, and so the largest offset, time and id on the wire. */
export const SAFE_MAX = Number.MAX_SAFE_INTEGER;

/** True if `bytes` starts like a command frame; decodeFrame() says whether it is one. */
export function isCommand(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && (bytes[0] & bytes[1] & bytes[2] & bytes[3]) === 0xff;
}

/** A command that was refused while it was being read. */
export class CommandError extends RingmqError {
  /** Which request it was, so that the refusal can be answered to it; 0 if that could not be read. */
  readonly correlation: number;

  constructor(code: CodeName, detail: string, correlation: number) {
    super(code, detail);
    this.correlation = correlation;
  }
}
