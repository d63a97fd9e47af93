// The producers of one connection. What happens every turn touches those that are concerned and no others: a program
// may publish to ten thousand topics.
import type { HostedProducer } from './producer.ts';

export class HostedProducers implements Iterable<HostedProducer> {
  private readonly all = new Set<HostedProducer>();
  /** Producers that the transport had no room for. */
  private waiting: HostedProducer[] = [];
  private readonly isWaiting = new Set<HostedProducer>();

  get size(): number {
    return this.all.size;
  }

  [Symbol.iterator](): Iterator<HostedProducer> {
    return this.all[Symbol.iterator]();
  }

  add(producer: HostedProducer): void {
    this.all.add(producer);
  }

  remove(producer: HostedProducer): void {
    this.all.delete(producer);
    this.isWaiting.delete(producer);
  }

  /** The transport took nothing more of it: room() comes back to it. */
  stalled(producer: HostedProducer): void {
    if (this.isWaiting.has(producer)) return;
    this.isWaiting.add(producer);
    this.waiting.push(producer);
  }

  /** The transport may have room again. Who still finds none waits for the next time. */
  room(): void {
    if (this.waiting.length === 0) return;
    const waiting = this.waiting;
    this.waiting = [];
    for (const producer of waiting) if (this.isWaiting.delete(producer)) producer.onRoom();
  }
}
