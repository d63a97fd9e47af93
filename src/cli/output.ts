// Standard output in big pieces: bodies are gathered in one buffer that is written when it is full or at the end of the
// event-loop turn.

/** The part of a stream that is needed. */
export interface Sink {
  write(bytes: Uint8Array, done?: () => void): boolean;
  once(event: 'drain', listener: () => void): unknown;
  readonly writableLength: number;
}

const BUFFER_BYTES = 256 * 1024;

export class OutputBuffer {
  private readonly sink: Sink;
  private readonly capacity: number;
  private buffer: Uint8Array;
  private length = 0;
  private asked = false;
  private blocked = false;
  /** Called when the reader of our output is slower than we are: bring no more until onRoom. */
  onFull: () => void = () => {};
  onRoom: () => void = () => {};

  constructor(sink: Sink, capacity = BUFFER_BYTES) {
    this.sink = sink;
    this.capacity = capacity;
    this.buffer = new Uint8Array(capacity);
  }

  /** Appends `source[start..end)` and, unless it is negative, one more byte. HOT */
  put(source: Uint8Array, start: number, end: number, last: number): void {
    const length = end - start;
    const needed = length + (last < 0 ? 0 : 1);
    if (this.length + needed > this.buffer.length) {
      this.flush();
      // Larger than the buffer: it goes out by itself, as a copy because the source may change.
      if (needed > this.buffer.length) this.buffer = new Uint8Array(needed);
    }
    this.copy(source, start, length);
    if (last >= 0) {
      this.buffer[this.length] = last;
      this.length++;
    }
    if (!this.asked) {
      this.asked = true;
      setImmediate(this.flushSoon);
    }
  }

  /** Writes what is there. */
  flush(): void {
    const { length } = this;
    if (length === 0) return;
    this.length = 0;
    const more = this.sink.write(this.buffer.subarray(0, length));
    // The stream may still hold the memory; pipes and files of this process are mostly written at once.
    if (this.sink.writableLength > 0 || this.buffer.length > this.capacity) this.buffer = new Uint8Array(this.capacity);
    if (more || this.blocked) return;
    this.blocked = true;
    this.onFull();
    this.sink.once('drain', () => {
      this.blocked = false;
      this.onRoom();
    });
  }

  /** Resolves when everything was taken by whoever reads our output. */
  finish(): Promise<void> {
    this.flush();
    return new Promise((resolve) => this.sink.write(new Uint8Array(0), () => resolve()));
  }

  private copy(source: Uint8Array, start: number, length: number): void {
    const { buffer } = this;
    const at = this.length;
    // For short bodies a loop is faster than a view and a call.
    if (length <= 32) for (let i = 0; i < length; i++) buffer[at + i] = source[start + i];
    else buffer.set(source.subarray(start, start + length), at);
    this.length = at + length;
  }

  private readonly flushSoon = (): void => {
    this.asked = false;
    this.flush();
  };
}
