import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileBook, type FileChange, SharedFile } from '../../../src/memory/shared-file.ts';

function contentOf(book: FileBook, name: string): Uint8Array {
  const memory = book.files.get(name);
  if (memory === undefined) throw new Error(`${name} is not in the book`);
  const file = new SharedFile(memory, () => {});
  const bytes = new Uint8Array(file.size);
  expect(file.read(bytes, 0)).toBe(bytes.length);
  return bytes;
}

function put(file: SharedFile, name: string): FileChange {
  const { id, length, pages } = file;
  return { name, file: { id, length, pages } };
}

/** A file whose every change is told to the book, and then `told()` runs, as if the thread died there. */
function fileIn(book: FileBook, told: () => void = () => {}): SharedFile {
  const file = SharedFile.empty(1, (change) => {
    book.hear(structuredClone(change));
    told();
  });
  book.hear(put(file, 'a'));
  return file;
}

test('I1, I2: a thread that dies within an append leaves the file as it was, wherever it dies', () => {
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 3_000_000 }) }),
    fc.record({ cut: fc.integer({ min: 0, max: 2_000_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
      const book = new FileBook();
      let before = new Uint8Array(0);
      let deaths = 0;
      let isAppending = false;
      const file = fileIn(book, () => {
        if (!isAppending) return;
        deaths++;
        expect(Buffer.compare(contentOf(book, 'a'), before)).toBe(0);
      });
      let fill = 1;
      for (const one of steps) {
        if ('add' in one) {
          const bytes = new Uint8Array(one.add).fill(fill++);
          isAppending = true;
          file.write(bytes, file.size);
          isAppending = false;
          before = Buffer.concat([before, bytes]);
        } else if (one.cut < before.length) {
          file.resize(one.cut);
          before = before.slice(0, one.cut);
        }
        expect(Buffer.compare(contentOf(book, 'a'), before)).toBe(0);
      }
      if (before.length > 0) expect(deaths).toBeGreaterThan(0);
    }),
    { numRuns: 60 },
  );
});

test('what is cut off is zeros when the file grows over it again', () => {
  const book = new FileBook();
  const file = fileIn(book);
  file.write(new Uint8Array(100).fill(7), 0);
  file.resize(10);
  file.write(new Uint8Array([1]), 50);
  expect([...contentOf(book, 'a').subarray(8, 12)]).toEqual([7, 7, 0, 0]);
  expect(contentOf(book, 'a')[50]).toBe(1);
});

test('the book lets go of what was cut off, replaced or removed', () => {
  const book = new FileBook();
  const file = fileIn(book);
  file.write(new Uint8Array(5_000_000), 0);
  expect(book.files.get('a')?.pages).toHaveLength(5);
  file.resize(1_000_001);
  expect(book.files.get('a')?.pages).toHaveLength(1);
  const other = SharedFile.empty(2, (change) => book.hear(change));
  book.hear(put(other, 'b'));
  other.write(new Uint8Array([9]), 0);
  book.hear(put(other, 'a'));
  expect([...book.files.keys()]).toEqual(['a']);
  expect([...contentOf(book, 'a')]).toEqual([9]);
  file.write(new Uint8Array(3_000_000), 0);
  expect(book.files.get('a')?.pages).toHaveLength(1);
  book.hear({ removed: 'a' });
  expect(book.files.size).toBe(0);
});
