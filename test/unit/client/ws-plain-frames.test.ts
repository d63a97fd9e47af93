import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PlainFrames } from '../../../src/client/ws-plain-frames.ts';

const MAX = 400_000;

/** An unmasked frame as a server writes it. */
function frame(first: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const header =
    length < 126
      ? [first, length]
      : length < 65_536
        ? [first, 126, length >> 8, length & 255]
        : [first, 127, 0, 0, 0, 0, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255];
  return Buffer.concat([Buffer.from(header), payload]);
}

function collect(keeps: (index: number) => boolean = () => false) {
  const frames: Uint8Array[] = [];
  const kept: { readonly bytes: Uint8Array; readonly copy: Uint8Array }[] = [];
  const other: Buffer[] = [];
  const reader = new PlainFrames(
    MAX,
    (bytes) => {
      expect(bytes.byteOffset % 8).toBe(0);
      frames.push(bytes.slice());
      const keep = keeps(frames.length - 1);
      if (keep) kept.push({ bytes, copy: bytes.slice() });
      return keep;
    },
    (bytes) => other.push(bytes),
  );
  return { reader, frames, kept, other: () => Buffer.concat(other) };
}

const payloads = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 200 }),
  fc.integer({ min: 120, max: 70_000 }).map((length) => new Uint8Array(length).fill(length & 255)),
);

test('whole binary frames arrive as they were sent, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(payloads, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 9_000 }),
      (sent, step) => {
        const bytes = Buffer.concat(sent.map((payload) => frame(0x82, payload)));
        const { reader, frames, other } = collect();
        for (let at = 0; at < bytes.length; at += step) reader.take(bytes.subarray(at, at + step));
        expect(frames).toEqual(sent);
        expect(other().length).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});

test('text, control frames, fragments, masked and overlong frames go on byte for byte, in their place', () => {
  const big = new Uint8Array(MAX + 1);
  const masked = Buffer.concat([Buffer.from([0x82, 0x83, 1, 2, 3, 4]), Buffer.from([9, 9, 9])]);
  const others = [
    frame(0x81, Buffer.from('text')),
    frame(0x89, Buffer.alloc(0)),
    frame(0x02, Buffer.from('first part')),
    frame(0x80, Buffer.from('last part')),
    frame(0xc2, Buffer.from('extension bits')),
    frame(0x82, Buffer.alloc(0)),
    frame(0x82, big),
    masked,
    frame(0x88, Buffer.from([3, 232])),
  ];
  const ours = frame(0x82, Buffer.from('ours'));
  const bytes = Buffer.concat(others.flatMap((one) => [one, ours]));
  for (const step of [1, 7, bytes.length]) {
    const { reader, frames, other } = collect();
    for (let at = 0; at < bytes.length; at += step) reader.take(bytes.subarray(at, at + step));
    expect(frames.length).toBe(others.length);
    expect(other().equals(Buffer.concat(others))).toBe(true);
  }
});

test('memory that was kept is not written again', () => {
  const sent = Array.from({ length: 20 }, (_, i) =>
    new Uint8Array(1_000 + i * 40_000).fill(i + 1).subarray(0, 300_000),
  );
  const { reader, kept } = collect((index) => index % 2 === 0);
  for (const payload of sent) reader.take(frame(0x82, payload));
  expect(kept.length).toBe(10);
  for (const { bytes, copy } of kept) expect(Buffer.compare(bytes, copy)).toBe(0);
});
