// The hot path writes its headers by hand at the places that native-layout/ names. Other languages read them through
// the schema. These tests hold both to the same bytes, and both to bytes written down here: a changed layout needs a
// new LAYOUT_VERSION, an upgrade test and new golden bytes.
import * as flatbuffers from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import * as batch from '../../native-layout/batch.ts';
import { BatchHeader } from '../../native-layout/generated/ringmq/batch-header.ts';
import { Completion } from '../../native-layout/generated/ringmq/completion.ts';
import { RecordHeader } from '../../native-layout/generated/ringmq/record-header.ts';
import * as lane from '../../native-layout/lane.ts';
import { LAYOUT_VERSION } from '../../native-layout/layout.ts';
import * as record from '../../native-layout/record.ts';

type FieldType = 'Uint8' | 'Uint16' | 'Int32' | 'Uint32' | 'BigInt64';
type Value = number | bigint;

const FIELD_BYTES: Readonly<Record<FieldType, number>> = { Uint8: 1, Uint16: 2, Int32: 4, Uint32: 4, BigInt64: 8 };

/** Byte place, type, generated accessor, a value that fills every byte differently. */
type Field = readonly [place: number, type: FieldType, accessor: string, value: Value];

interface Struct {
  readonly bytes: number;
  readonly fields: readonly Field[];
  readonly golden: string;
  readonly accessors: new () => object;
  readonly create: (builder: flatbuffers.Builder, ...values: never[]) => number;
}

const STRUCTS: Readonly<Record<string, Struct>> = {
  'batch header': {
    bytes: batch.BATCH_HEADER_BYTES,
    fields: [
      [batch.BATCH_SIZE, 'Int32', 'size', 0x04030201],
      [batch.BATCH_MAGIC, 'Uint16', 'magic', batch.BATCH_MAGIC_VALUE],
      [batch.BATCH_VERSION, 'Uint8', 'version', batch.BATCH_VERSION_VALUE],
      [batch.BATCH_FLAGS, 'Uint8', 'flags', 0xf8],
      [batch.BATCH_PARTITION, 'Int32', 'partition', 0x0c0b0a09],
      [batch.BATCH_EPOCH, 'Int32', 'epoch', -0x0f10_1112],
      [batch.BATCH_BASE_OFFSET, 'BigInt64', 'baseOffset', 0x1716_1514_1312_1110n],
      [batch.BATCH_STORED_AT, 'BigInt64', 'storedAt', -0x1f1e_1d1c_1b1a_1918n],
      [batch.BATCH_PRODUCER_ID, 'BigInt64', 'producerId', 0x2726_2524_2322_2120n],
      [batch.BATCH_BASE_SEQUENCE, 'Int32', 'baseSequence', 0x2b2a2928],
      [batch.BATCH_COUNT, 'Int32', 'count', 0x2f2e2d2c],
      [batch.BATCH_BORN_FIRST, 'BigInt64', 'bornFirst', 0x3736_3534_3332_3130n],
      [batch.BATCH_BORN_SPAN, 'Uint32', 'bornSpan', 0xfb3a3938],
      [batch.BATCH_CRC, 'Uint32', 'crc', 0xff3e3d3c],
    ],
    golden:
      '01020304524d01f8090a0b0ceeeeeff0' +
      '1011121314151617e8e6e5e4e3e2e1e0' +
      '202122232425262728292a2b2c2d2e2f' +
      '303132333435363738393afb3c3d3eff',
    accessors: BatchHeader,
    create: BatchHeader.createBatchHeader,
  },
  'record header': {
    bytes: record.RECORD_HEADER_BYTES,
    fields: [
      [record.RECORD_SIZE, 'Int32', 'size', 0x04030201],
      [record.RECORD_OFFSET_DELTA, 'Int32', 'offsetDelta', 0x08070605],
      [record.RECORD_TAG_HASH, 'Int32', 'tagHash', -0x0c0b_0a09],
      [record.RECORD_BODY_LENGTH, 'Int32', 'bodyLength', 0x100f0e0d],
      [record.RECORD_KEY_LENGTH, 'Uint16', 'keyLength', 0xf211],
      [record.RECORD_PROPERTIES_LENGTH, 'Uint16', 'propertiesLength', 0xf413],
      [record.RECORD_TAG_LENGTH, 'Uint8', 'tagLength', 0xf5],
      [record.RECORD_FLAGS, 'Uint8', 'flags', 0xf6],
      [record.RECORD_BORN_DELTA, 'Uint16', 'bornDelta', 0xf817],
    ],
    golden: '0102030405060708f7f5f4f30d0e0f1011f213f4f5f617f8',
    accessors: RecordHeader,
    create: RecordHeader.createRecordHeader,
  },
  completion: {
    bytes: lane.COMPLETION_BYTES,
    fields: [
      [0, 'Int32', 'size', lane.COMPLETION_BYTES],
      [lane.COMPLETION_REQUEST, 'Int32', 'request', -0x0807_0605],
      [lane.COMPLETION_STATUS, 'Int32', 'status', 0x0c0b0a09],
      [lane.COMPLETION_PARTITION, 'Int32', 'partition', 0x100f0e0d],
      [lane.COMPLETION_BASE_OFFSET, 'BigInt64', 'baseOffset', 0x1716_1514_1312_1110n],
      [lane.COMPLETION_COUNT, 'Int32', 'count', 0x1b1a1918],
      [lane.COMPLETION_EPOCH, 'Int32', 'epoch', 0x1f1e1d1c],
    ],
    golden: '20000000fbf9f8f7090a0b0c0d0e0f10' + '101112131415161718191a1b1c1d1e1f',
    accessors: Completion,
    create: Completion.createCompletion,
  },
};

/** Writes every field at its place, as the hot path does. */
function write(struct: Struct): Uint8Array {
  const bytes = new Uint8Array(struct.bytes);
  const view = new DataView(bytes.buffer) as unknown as Record<string, (at: number, value: Value, le: boolean) => void>;
  for (const [place, type, , value] of struct.fields) view[`set${type}`](place, value, true);
  return bytes;
}

describe.each(Object.entries(STRUCTS))('%s', (_, struct) => {
  test('its fields lie side by side and fill it', () => {
    let end = 0;
    for (const [place, type, accessor] of struct.fields) {
      expect(place, accessor).toBe(end);
      expect(place % FIELD_BYTES[type], accessor).toBe(0);
      end = place + FIELD_BYTES[type];
    }
    expect(end).toBe(struct.bytes);
  });

  test('its golden bytes', () => {
    expect(Buffer.from(write(struct)).toString('hex')).toBe(struct.golden);
  });

  test('what is written by hand is what the generated accessors read', () => {
    const bytes = new Uint8Array(8 + struct.bytes);
    bytes.set(write(struct), 8);
    const reader = new struct.accessors() as Record<string, (...args: unknown[]) => Value>;
    reader.__init(8, new flatbuffers.ByteBuffer(bytes));
    for (const [, , accessor, value] of struct.fields) expect(reader[accessor](), accessor).toBe(value);
  });

  test('what the generated code writes is what is read by hand', () => {
    const builder = new flatbuffers.Builder(struct.bytes);
    struct.create(builder, ...(struct.fields.map((field) => field[3]) as never[]));
    const { length } = struct.golden;
    const bytes = builder.dataBuffer().bytes();
    const written = bytes.subarray(bytes.length - builder.offset());
    expect(Buffer.from(written).toString('hex')).toBe(struct.golden);
    expect(written.length).toBe(length / 2);
  });

  test('the generated struct has as many fields', () => {
    const methods = Object.getOwnPropertyNames(struct.accessors.prototype).filter((name) => {
      return name !== 'constructor' && name !== '__init' && !name.startsWith('mutate');
    });
    expect(methods).toEqual(struct.fields.map((field) => field[2]));
  });
});

test('the magic words are the header bytes 4 to 7', () => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const words = [
    [batch.MAGIC_WORD, 0],
    [batch.MAGIC_WORD_CRC, batch.FLAG_CRC],
    [batch.MAGIC_WORD_PADDING, batch.FLAG_PADDING],
    [batch.MAGIC_WORD | batch.MAGIC_KEYS, batch.FLAG_KEYS],
    [batch.MAGIC_WORD_CRC | batch.MAGIC_KEYS, batch.FLAG_CRC | batch.FLAG_KEYS],
  ];
  for (const [word, flags] of words) {
    view.setInt32(4, word, true);
    expect(view.getUint16(batch.BATCH_MAGIC, true)).toBe(batch.BATCH_MAGIC_VALUE);
    expect(view.getUint8(batch.BATCH_VERSION)).toBe(batch.BATCH_VERSION_VALUE);
    expect(view.getUint8(batch.BATCH_FLAGS)).toBe(flags);
    expect(batch.isBatchMagic(word)).toBe(word !== batch.MAGIC_WORD_PADDING);
    expect(batch.hasCrc(word)).toBe((flags & batch.FLAG_CRC) !== 0);
    expect(batch.hasKeys(word)).toBe((flags & batch.FLAG_KEYS) !== 0);
  }
  expect(Buffer.from(bytes.subarray(4, 6)).toString('latin1')).toBe('RM');
});

test('a request stands in words that the owner of the partition stamps', () => {
  expect(batch.REQUEST_ID).toBe(batch.BATCH_BASE_OFFSET);
  expect(batch.REQUEST_ACK).toBe(batch.BATCH_BASE_OFFSET + 4);
  expect(batch.REQUEST_FLAGS).toBe(batch.BATCH_STORED_AT);
  expect([batch.REQUEST_REPEATS, batch.REQUEST_FLOOR_SHIFT]).toEqual([4, 8]);
  expect(batch.REQUEST_FLOOR_LOW).toBe(batch.BATCH_STORED_AT + 4);
  expect(batch.REQUEST_EPOCH).toBe(batch.BATCH_EPOCH);
});

test('the golden bytes are those of layout version 5', () => {
  expect(LAYOUT_VERSION).toBe(5);
});
