// Which broker workers live: registration, heartbeats, expiry, orderly departure. Pure; the clock comes in.
// Intervals are RocketMQ's: a broker is dropped 120 s after its last sign of life, looked for every 5 s.

export interface RegistryOptions {
  /** Milliseconds without a sign of life after which a broker's partitions are no longer available. Default 120,000. */
  readonly expireMs: number;
}

interface Registration {
  beat: number;
  seenAt: number;
  available: boolean;
}

export class Registry {
  private readonly expireMs: number;
  private readonly brokers = new Map<number, Registration>();

  constructor(options: RegistryOptions) {
    this.expireMs = options.expireMs;
  }

  /** Seats of the brokers that are available. */
  available(): number[] {
    return [...this.brokers].filter(([, broker]) => broker.available).map(([seat]) => seat);
  }

  isAvailable(seat: number): boolean {
    return this.brokers.get(seat)?.available ?? false;
  }

  /** A broker is there with heartbeat count `beat`. True if that changes any route. */
  saw(seat: number, beat: number, now: number): boolean {
    const broker = this.brokers.get(seat);
    if (!broker) {
      this.brokers.set(seat, { beat, seenAt: now, available: true });
      return true;
    }
    if (broker.beat === beat) return false;
    broker.beat = beat;
    broker.seenAt = now;
    const returned = !broker.available;
    broker.available = true;
    return returned;
  }

  /** An orderly stop, or the end of its thread: gone at once. True if that changes any route. */
  unregister(seat: number): boolean {
    const broker = this.brokers.get(seat);
    this.brokers.delete(seat);
    return broker?.available ?? false;
  }

  /** Drops brokers that have been silent too long. Returns their seats. */
  expire(now: number): number[] {
    const expired: number[] = [];
    for (const [seat, broker] of this.brokers) {
      if (!broker.available || now - broker.seenAt < this.expireMs) continue;
      broker.available = false;
      expired.push(seat);
    }
    return expired;
  }
}
