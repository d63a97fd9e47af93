// Messages of one key in a lease window: each names the next one, and only the earliest unacknowledged is handed on.
import { ACKED, FOLLOWER, HEAD, type LeaseSlots } from './lease-slots.ts';

export class KeyChains {
  /** Key -> offset of its newest message. */
  private readonly tails = new Map<number, number>();

  /** A message with a key was read: in order of offsets. HOT */
  append(slots: LeaseSlots, offset: number, key: number): void {
    const slot = offset & slots.mask;
    const tail = this.tails.get(key);
    this.tails.set(key, offset);
    slots.next[slot] = 0;
    slots.chained[slot] = tail === undefined ? HEAD : FOLLOWER;
    if (tail !== undefined) slots.next[tail & slots.mask] = offset - tail;
  }

  /** The earliest message of a key is acknowledged. Returns the one that comes forward, -1 if there is none. HOT */
  promote(slots: LeaseSlots, head: number): number {
    let offset = head;
    for (;;) {
      const slot = offset & slots.mask;
      const distance = slots.next[slot];
      if (distance === 0) {
        this.tails.delete(slots.key[slot]);
        return -1;
      }
      offset += distance;
      const next = offset & slots.mask;
      // Leases from before a restart may be settled in any order.
      if (slots.state[next] === ACKED) continue;
      slots.chained[next] = HEAD;
      return offset;
    }
  }

  clear(): void {
    this.tails.clear();
  }
}
