// What the journal says of one queue's leases, before anybody has asked for it: the newest word on a message counts.
import { type LeaseRun, LeaseWindow } from '../group/lease-window.ts';

/** Lives of the broker that are told apart: what was leased before them has run out long ago. */
const EPOCHS_MAX = 8;

export class RestoredQueue {
  /** Oldest epoch first: the same offsets may be other messages in a later one. */
  private readonly epochs: { readonly epoch: number; readonly window: LeaseWindow }[] = [];

  add(epoch: number, run: LeaseRun): void {
    let own = this.epochs.find((one) => one.epoch === epoch);
    if (own === undefined) {
      own = { epoch, window: new LeaseWindow(() => {}) };
      this.epochs.push(own);
      this.epochs.sort((a, b) => a.epoch - b.epoch);
      if (this.epochs.length > EPOCHS_MAX) this.epochs.shift();
    }
    own.window.restore(run);
  }

  /** As the journal has them: see lease-context.ts. */
  runs(topicId: number, partition: number): number[] {
    const all: number[] = [];
    for (const { epoch, window } of this.epochs) {
      for (const { from, to, token, until, deliveries } of window.runs()) {
        all.push(topicId, partition, epoch, from, to, token, until, deliveries);
      }
    }
    return all;
  }
}
