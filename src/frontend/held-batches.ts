// Batches of one publisher that found the lane full: owned copies in the order of their arrival. The desk puts them out
// when there is room, and nothing of the publisher overtakes them.

export interface HeldBatch {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Seat of the broker worker it goes to. */
  readonly owner: number;
  /** The publisher's own request number. */
  readonly request: number;
}

/** A first-in, first-out queue that does not shift an array for each batch. */
export class HeldBatches {
  private batches: HeldBatch[] = [];
  private at = 0;
  bytes = 0;

  get count(): number {
    return this.batches.length - this.at;
  }

  /** The oldest one; only while count > 0. */
  get first(): HeldBatch {
    return this.batches[this.at];
  }

  put(batch: HeldBatch): void {
    this.batches.push(batch);
    this.bytes += batch.bytes.length;
  }

  shift(): void {
    this.bytes -= this.first.bytes.length;
    this.at++;
    if (this.at === this.batches.length) {
      this.batches = [];
      this.at = 0;
    }
  }
}
