// Commands to bytes and back. Every frame that comes over a connection or a lane passes through
// decodeFrame(); nothing else in the project reads a command's bytes.
import { Frame as FrameTable } from '../../native-layout/generated/ringmq/frame.ts';
import type { AckEntry, Command, Frame } from './commands.ts';
import { decoderOf } from './decode.ts';
import { encodeCommand } from './encode.ts';
import { COMMAND_NUMBERS } from './frame.ts';
import { FrameBytes } from './frame-bytes.ts';
import { FrameWriter, uint32 } from './frame-writer.ts';
import { TableReader } from './table-reader.ts';

// Slots of the root table. A union takes two: its type and its value.
const CORRELATION = 0;
const COMMAND_TYPE = 1;
const COMMAND = 2;

/**
 * The frame's bytes, in memory of their own. Throws RingmqError('illegal-argument') for a value out of its
 * range.
 */
export function encodeFrame(frame: Frame): Uint8Array {
  const { correlation, command } = frame;
  const writer = new FrameWriter(payloadBytes(command));
  const body = encodeCommand(writer, command);
  const number = COMMAND_NUMBERS[command.type];
  const root = FrameTable.createFrame(writer.builder, uint32(correlation, 'correlation'), number, body);
  FrameTable.finishFrameBuffer(writer.builder, root);
  return writer.seal();
}

/** Size of the batches in the frame. */
function payloadBytes(command: Command): number {
  if (command.type === 'pull-reply') return command.batches.length;
  return command.type === 'call' || command.type === 'call-reply' ? command.payload.length : 0;
}

/** The acknowledgement of several batches in one frame. */
export function encodeAck(entries: readonly AckEntry[]): Uint8Array {
  return encodeFrame({ correlation: 0, command: { type: 'ack', entries } });
}

/**
 * Reads one whole command frame, from any view, also of shared memory. The result shares no bytes with the
 * frame. Throws CommandError (a RingmqError) 'malformed-command', or 'unknown-command' for a command of a
 * newer version; never anything else, and in time and memory O(frame length).
 */
export function decodeFrame(bytes: Uint8Array): Frame {
  const frame: FrameBytes = new FrameBytes(bytes);
  const root = new TableReader(frame, frame.root(), 'frame');
  frame.correlation = root.uint32(CORRELATION, 'correlation');
  const number = root.uint8(COMMAND_TYPE, 'command type');
  if (number === 0) frame.fail('the command is missing');
  const decode = decoderOf(number);
  if (decode === undefined) frame.fail(`no command has number ${number}`, 'unknown-command');
  const command: Command = decode(root.table(COMMAND, 'command'));
  return { correlation: frame.correlation, command };
}
