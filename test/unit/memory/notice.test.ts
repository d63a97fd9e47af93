import { describe, expect, test } from 'vitest';
import { LANE_HEAD, LANE_TAIL, NOTICE_CONTROL_BYTES } from '../../../native-layout/lane.ts';
import { NONE } from '../../../src/memory/lane.ts';
import { NoticeReader, NoticeWriter } from '../../../src/memory/notice.ts';

const ENTRIES = 8;
const BYTE = 512;

function rig(position: number): { writer: NoticeWriter; reader: NoticeReader; words: Int32Array } {
  const words = new Int32Array(new SharedArrayBuffer(BYTE + NOTICE_CONTROL_BYTES + ENTRIES * 4 + 64));
  words[BYTE / 4 + LANE_TAIL] = words[BYTE / 4 + LANE_HEAD] = position;
  const place = { byte: BYTE, capacity: ENTRIES * 4 };
  return { words, writer: new NoticeWriter(words, place), reader: new NoticeReader(words, place) };
}

describe.each([0, 0x7ffffffe])('a notice ring whose cursors start at %i', (start) => {
  test('an empty ring has NONE', () => {
    const { reader } = rig(start);
    expect(reader.hasNews).toBe(false);
    expect(reader.take()).toBe(NONE);
  });

  test('notices come in order, over many rounds', () => {
    const { writer, reader } = rig(start);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 5; i++) writer.push(round * 10 + i);
      expect(reader.hasNews).toBe(true);
      for (let i = 0; i < 5; i++) expect(reader.take()).toBe(round * 10 + i);
      expect(reader.take()).toBe(NONE);
    }
  });

  test('I1: the ring takes one entry for every partition; one more is a Fault', () => {
    const { writer, reader } = rig(start);
    for (let i = 0; i < ENTRIES; i++) writer.push(i);
    expect(() => writer.push(9)).toThrow('notice ring full');
    expect(reader.take()).toBe(0);
    writer.push(9);
    for (const expected of [1, 2, 3, 4, 5, 6, 7, 9, NONE]) expect(reader.take()).toBe(expected);
  });

  test('successors of both ends go on where their predecessors stood', () => {
    const { writer, reader, words } = rig(start);
    for (let i = 0; i < 5; i++) writer.push(i);
    reader.take();
    const place = { byte: BYTE, capacity: ENTRIES * 4 };
    const [nextWriter, nextReader] = [new NoticeWriter(words, place), new NoticeReader(words, place)];
    nextWriter.push(5);
    for (const expected of [1, 2, 3, 4, 5, NONE]) expect(nextReader.take()).toBe(expected);
  });
});

test('the bytes around a notice ring stay as they are', () => {
  const { writer, reader, words } = rig(0);
  for (let i = 0; i < 30; i++) {
    writer.push(-1);
    reader.take();
  }
  expect(words.subarray(0, BYTE / 4).every((word) => word === 0)).toBe(true);
  expect(words.subarray((BYTE + NOTICE_CONTROL_BYTES) / 4 + ENTRIES).every((word) => word === 0)).toBe(true);
});

test('a size that is no power of two is a Fault', () => {
  const words = new Int32Array(256);
  expect(() => new NoticeWriter(words, { byte: 0, capacity: 48 })).toThrow('power of two');
  expect(() => new NoticeReader(words, { byte: 0, capacity: 48 })).toThrow('power of two');
});
