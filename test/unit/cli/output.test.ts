import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OutputBuffer, type Sink } from '../../../src/cli/output.ts';

/** Collects what is written, and may take its time. */
class Collector implements Sink {
  readonly chunks: Uint8Array[] = [];
  writableLength = 0;
  slow = false;
  writes = 0;
  private drained: () => void = () => {};

  write(bytes: Uint8Array, done?: () => void): boolean {
    this.writes++;
    // A slow stream keeps the memory it was given; a fast one has copied it when it returns.
    this.chunks.push(this.slow ? bytes : bytes.slice());
    this.writableLength = this.slow ? bytes.length : 0;
    done?.();
    return !this.slow;
  }

  once(_event: 'drain', listener: () => void): void {
    this.drained = listener;
  }

  drain(): void {
    this.writableLength = 0;
    this.slow = false;
    this.drained();
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

test('output is every body with its ending, whatever their sizes and the speed of the reader', async () => {
  const bodies = fc.array(fc.tuple(fc.nat(80), fc.boolean(), fc.boolean()), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(bodies, async (sizes) => {
      const sink = new Collector();
      const output = new OutputBuffer(sink, 64);
      let expected = '';
      const source = new Uint8Array(100);
      for (const [i, [size, newline, slow]] of sizes.entries()) {
        sink.slow ||= slow;
        source.fill(65 + (i % 26));
        output.put(source, 3, 3 + size, newline ? 10 : -1);
        expected += String.fromCharCode(65 + (i % 26)).repeat(size) + (newline ? '\n' : '');
        if (i % 5 === 4) sink.drain();
      }
      await output.finish();
      expect(sink.text).toBe(expected);
    }),
    { numRuns: 500 },
  );
});

test('small bodies are gathered into few writes', async () => {
  const sink = new Collector();
  const output = new OutputBuffer(sink, 1_024);
  for (let i = 0; i < 1_000; i++) output.put(Buffer.from('0123456789'), 0, 10, 10);
  await output.finish();
  expect(sink.text).toHaveLength(11_000);
  expect(sink.writes).toBeLessThan(14);
});

test('what is put is written at the end of the turn without being asked', async () => {
  const sink = new Collector();
  new OutputBuffer(sink).put(Buffer.from('x'), 0, 1, 10);
  expect(sink.writes).toBe(0);
  await new Promise((resolve) => setImmediate(resolve));
  expect(sink.text).toBe('x\n');
});

test('a slow reader is told to the source, and when it drains', () => {
  const sink = new Collector();
  const output = new OutputBuffer(sink, 16);
  const heard: string[] = [];
  output.onFull = () => heard.push('full');
  output.onRoom = () => heard.push('room');
  sink.slow = true;
  for (let i = 0; i < 8; i++) output.put(Buffer.from('0123456789'), 0, 10, 10);
  expect(heard).toEqual(['full']);
  sink.drain();
  expect(heard).toEqual(['full', 'room']);
});
