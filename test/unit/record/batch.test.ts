import { crc32 as zlibCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BATCH_BASE_OFFSET,
  BATCH_CRC,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  hasKeys,
} from '../../../native-layout/batch.ts';
import { BatchBuilder } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { crc32, crc32Joined, crc32OfWords, portableCrc32 } from '../../../src/record/crc.ts';
import { getInt64, putInt64 } from '../../../src/record/int64.ts';
import { fromUtf8, hash32 } from '../../../src/record/text.ts';
import { validateBatch } from '../../../src/record/validate.ts';
import { add, build, type Sample, STAMP, samples } from './arbitraries.ts';

function read(builder: BatchBuilder): { batch: BatchView; records: Record<string, unknown>[] } {
  // As the owner of the partition does: the first offset is 0.
  putInt64(builder.words, BATCH_BASE_OFFSET >> 2, 0);
  const batch = new BatchView().span(builder.bytes, builder.words, 0, builder.length);
  const records: Record<string, unknown>[] = [];
  expect(batch.next()).toBe(true);
  const record = new RecordView().open(batch);
  while (record.next()) {
    const { offset, key, tag, properties, flags } = record;
    records.push({ offset, key, tag, properties: { ...properties }, flags, body: Buffer.from(record.copyBody()) });
  }
  expect(batch.next()).toBe(false);
  return { batch, records };
}

function expected({ body, extras }: Sample, index: number): Record<string, unknown> {
  // Text is Unicode: a lone surrogate becomes U+FFFD on the way.
  const clean = (text: string): string => text.toWellFormed();
  const entries = Object.entries(extras?.properties ?? {}).map(([key, value]) => [clean(key), clean(value)]);
  return {
    offset: index,
    key: extras?.key ? clean(extras.key) : undefined,
    tag: extras?.tag,
    properties: Object.fromEntries(entries),
    flags: extras?.flags ?? 0,
    body: Buffer.from(typeof body === 'string' ? clean(body) : body),
  };
}

describe('a batch', () => {
  test('gives back every body, key, tag and property that was put in, and is valid', () => {
    fc.assert(
      fc.property(samples, fc.boolean(), (messages, checksum) => {
        const builder = build(messages, checksum);
        expect(validateBatch(builder.bytes, builder.words, 0, builder.length)).toBe('ok');
        expect(read(builder).records).toEqual(messages.map(expected));
      }),
    );
  });

  test('has the stamp that it was closed with', () => {
    const { batch } = read(build([{ body: 'x', extras: undefined }]));
    expect([batch.partition, batch.epoch, batch.count, batch.producerId, batch.baseSequence, batch.bornAt]).toEqual([
      STAMP.partition,
      STAMP.epoch,
      1,
      STAMP.producerId,
      STAMP.baseSequence,
      1_000,
    ]);
  });

  test('says in its header whether a record has a key', () => {
    const says = (builder: BatchBuilder): boolean => hasKeys(builder.words[BATCH_MAGIC >> 2]);
    fc.assert(
      fc.property(samples, fc.boolean(), (messages, checksum) => {
        const builder = build(messages, checksum);
        expect(says(builder)).toBe(read(builder).records.some((record) => record.key !== undefined));
        builder.reset();
        builder.tryAddText('no key', 1);
        builder.close({ ...STAMP, checksum });
        expect(says(builder)).toBe(false);
      }),
    );
  });

  test('holds zeros where it holds nothing, whatever was in its memory before', () => {
    fc.assert(
      fc.property(samples, (messages) => {
        const dirty = build(messages);
        const clean = new BatchBuilder(64 * 1024);
        for (const message of messages) add(clean, message);
        clean.close(STAMP);
        const bytes = (one: BatchBuilder): Buffer => Buffer.from(one.bytes.subarray(0, one.length));
        expect(bytes(dirty).subarray(BATCH_HEADER_BYTES)).toEqual(bytes(clean).subarray(BATCH_HEADER_BYTES));
        expect(bytes(dirty).subarray(0, BATCH_HEADER_BYTES)).toEqual(bytes(clean).subarray(0, BATCH_HEADER_BYTES));
      }),
    );
  });

  test('takes bodies of nothing and of a megabyte, and larger ones than it has room for alone', () => {
    for (const size of [0, 1, 7, 8, 9, 65_000, 1024 * 1024]) {
      const body = new Uint8Array(size).fill(7);
      const builder = new BatchBuilder(4_096);
      expect(builder.tryAddBody(body, 1)).toBe(true);
      builder.close(STAMP);
      expect(validateBatch(builder.bytes, builder.words, 0, builder.length), `${size}`).toBe('ok');
      expect((read(builder).records[0].body as Buffer).equals(body)).toBe(true);
      const text = new BatchBuilder(4_096);
      expect(text.tryAddText('ü'.repeat(size / 2), 1)).toBe(true);
      text.close(STAMP);
      expect(validateBatch(text.bytes, text.words, 0, text.length), `${size}`).toBe('ok');
    }
  });

  test('never gets longer than it may, also after a message that was larger than its memory', () => {
    const builder = new BatchBuilder(1_024);
    builder.tryAddText('x'.repeat(2_000), 1);
    builder.close(STAMP);
    builder.reset();
    while (builder.tryAddBody(new Uint8Array(50), 1));
    expect(builder.length).toBeLessThanOrEqual(1_024);
    builder.reset();
    while (builder.tryAddText('y'.repeat(50), 1));
    expect(builder.length).toBeLessThanOrEqual(1_024);
  });

  test('refuses keys, tags and properties that are too long, and stays as it was', () => {
    const builder = new BatchBuilder(4_096);
    builder.tryAddBody(Uint8Array.of(1), 1);
    const { length } = builder;
    const body = Uint8Array.of(2);
    expect(() => builder.tryAdd(body, { key: 'k'.repeat(1_025) }, 1)).toThrow(
      expect.objectContaining({ code: 'key-too-long' }),
    );
    expect(() => builder.tryAdd(body, { key: 'ü'.repeat(600) }, 1)).toThrow(
      expect.objectContaining({ code: 'key-too-long' }),
    );
    for (const tag of ['', 'a|b', 't'.repeat(256), 'ü'.repeat(200)]) {
      expect(() => builder.tryAdd(body, { tag }, 1)).toThrow(expect.objectContaining({ code: 'illegal-tag' }));
    }
    const properties = { p: 'x'.repeat(40_000) };
    expect(() => builder.tryAdd(body, { properties }, 1)).toThrow(
      expect.objectContaining({ code: 'properties-too-large' }),
    );
    expect([builder.length, builder.count]).toEqual([length, 1]);
    expect(builder.tryAdd(body, { flags: 0x1ff }, 1)).toBe(true);
    builder.close(STAMP);
    expect(validateBatch(builder.bytes, builder.words, 0, builder.length)).toBe('ok');
    expect(read(builder).records[1].flags).toBe(0xff);
  });
});

describe('numbers and text', () => {
  test('the portable CRC-32 agrees with zlib and with the published check value', () => {
    expect(portableCrc32(new TextEncoder().encode('123456789')) >>> 0).toBe(0xcbf43926);
    expect(portableCrc32(new Uint8Array(0))).toBe(0);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const native = zlibCrc32(bytes) | 0;
        return portableCrc32(bytes) === native && crc32(bytes) === native;
      }),
    );
  });

  test('the CRC-32 of words is that of their bytes', () => {
    fc.assert(
      fc.property(fc.int32Array({ maxLength: 40 }), fc.nat(3), (words, at) => {
        const from = Math.min(at, words.length);
        return (
          crc32OfWords(words, from, words.length - from) === crc32(new Uint8Array(words.buffer).subarray(from * 4))
        );
      }),
    );
  });

  test('the CRC-32 of two pieces gives that of the whole, whatever their lengths', () => {
    const piece = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 30_000, maxLength: 70_000 }));
    fc.assert(
      fc.property(piece, piece, (first, second) => {
        const whole = zlibCrc32(Buffer.concat([first, second])) | 0;
        return crc32Joined(crc32(first), crc32(second), second.length) === whole;
      }),
    );
  });

  test('the checksum covers the records and not the header', () => {
    const builder = build([{ body: 'abc', extras: undefined }]);
    const records = builder.bytes.subarray(BATCH_HEADER_BYTES, builder.length);
    expect(builder.words[BATCH_CRC >> 2]).toBe(zlibCrc32(records) | 0);
  });

  test('int64 fields hold every safe integer', () => {
    const words = new Int32Array(2);
    const whole = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(whole, (value) => {
        putInt64(words, 0, value);
        return getInt64(words, 0) === value && new BigInt64Array(words.buffer)[0] === BigInt(value);
      }),
    );
  });

  test('text comes back as it was, with a byte order mark too, also from shared memory', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const shared = new Uint8Array(new SharedArrayBuffer(400));
        for (const one of [text, `\ufeff${text}`]) {
          const bytes = new TextEncoder().encode(one);
          shared.set(bytes);
          expect(fromUtf8(bytes)).toBe(one.toWellFormed());
          expect(fromUtf8(shared, 0, bytes.length)).toBe(one.toWellFormed());
        }
      }),
    );
  });

  test('key hashes are FNV-1a over UTF-8', () => {
    expect([hash32(''), hash32('a'), hash32('foobar')].map((hash) => hash >>> 0)).toEqual([
      0x811c9dc5, 0xe40c292c, 0xbf9cf968,
    ]);
    const reference = (text: string): number =>
      new TextEncoder().encode(text).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5) | 0;
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => hash32(text) === reference(text)));
  });
});
