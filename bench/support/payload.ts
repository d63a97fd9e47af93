// Bodies that check themselves: the sequence number stands in the first word, its complement in the last.

export class Payload {
  readonly bytes: Uint8Array;
  private readonly words: Int32Array;
  private readonly last: number;

  constructor(bodyBytes: number) {
    this.bytes = new Uint8Array(bodyBytes);
    this.words = new Int32Array(this.bytes.buffer);
    this.last = this.words.length - 1;
  }

  /** The body of message `sequence`. The same memory every time: senders copy. */
  of(sequence: number): Uint8Array {
    this.words[0] = sequence;
    this.words[this.last] = ~sequence;
    return this.bytes;
  }
}

/** Counts messages of several producers and notices anything lost, doubled, reordered or changed. */
export class Checker {
  received = 0;
  wrong = 0;
  private readonly next: Int32Array;
  private readonly lastByte: number;

  constructor(producers: number, bodyBytes: number) {
    this.next = new Int32Array(producers);
    this.lastByte = bodyBytes - 4;
  }

  /** Takes one message; `int32` reads its body. Sequences of one producer (partition) must be without a hole. */
  take(producer: number, message: { int32(byte: number): number; readonly bodyLength: number }): void {
    const sequence = message.int32(0);
    if (sequence !== this.next[producer] || message.int32(this.lastByte) !== ~sequence) this.wrong++;
    this.next[producer] = sequence + 1;
    this.received++;
  }
}
