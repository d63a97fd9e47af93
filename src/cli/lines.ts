// Cuts a stream of bytes into lines. Binary safe: only the delimiter itself is taken away, so a carriage return stays.

/** A line that grows past this without a delimiter is no line. */
export const LINE_MAX_BYTES = 64 * 1024 * 1024;

const EMPTY = new Uint8Array(0);

/** feed() a chunk, then take() lines until there is none; end() once at the end of the stream. */
export class LineSplitter {
  private readonly delimiter: number;
  private chunk: Uint8Array = EMPTY;
  private at = 0;
  private parts: Uint8Array[] = [];
  private partsLength = 0;

  /** `delimiter`: 10 for lines, 0 for what `find -print0` writes. */
  constructor(delimiter = 10) {
    this.delimiter = delimiter;
  }

  /** The next chunk; take() must have returned undefined before. */
  feed(chunk: Uint8Array): void {
    this.chunk = chunk;
    this.at = 0;
  }

  /** The next whole line, undefined when the chunk has no more. A view of the chunk where it lies in one. HOT */
  take(): Uint8Array | undefined {
    const { chunk, at } = this;
    const end = chunk.indexOf(this.delimiter, at);
    if (end < 0) {
      this.keep(at === 0 ? chunk : chunk.subarray(at));
      return undefined;
    }
    this.at = end + 1;
    const line = chunk.subarray(at, end);
    return this.partsLength === 0 ? line : this.join(line);
  }

  /** What stands behind the last delimiter, undefined if that was the end. */
  end(): Uint8Array | undefined {
    return this.partsLength === 0 ? undefined : this.join(EMPTY);
  }

  private keep(rest: Uint8Array): void {
    this.chunk = EMPTY;
    this.at = 0;
    if (rest.length === 0) return;
    this.parts.push(rest);
    this.partsLength += rest.length;
    if (this.partsLength > LINE_MAX_BYTES) throw new Error(`a line is longer than ${LINE_MAX_BYTES} bytes`);
  }

  private join(last: Uint8Array): Uint8Array {
    const line = new Uint8Array(this.partsLength + last.length);
    let at = 0;
    for (const part of this.parts) {
      line.set(part, at);
      at += part.length;
    }
    line.set(last, at);
    this.parts = [];
    this.partsLength = 0;
    return line;
  }
}
