// Batches of one publisher that found the lane full: owned copies in the order of their arrival. The desk puts them out
// when there is room, and nothing of the publisher overtakes them.

export interface HeldBatch {
  /** The batch is at the beginning of it. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  lengthBytes: number;
  /** Seat of the broker worker it goes to. */
  owner: number;
  /** The publisher's own request number. */
  request: number;
}

/** Batches that are gone and still have their place. */
const SHIFTED_MAX = 256;

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
    this.bytes += batch.lengthBytes;
  }

  shift(): void {
    this.bytes -= this.first.lengthBytes;
    this.at++;
    if (this.at === this.batches.length) {
      this.batches = [];
      this.at = 0;
    } else if (this.at >= SHIFTED_MAX) {
      // Who always has something waiting would otherwise keep everything that ever waited.
      this.batches.splice(0, this.at);
      this.at = 0;
    }
  }
}
