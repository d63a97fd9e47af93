// Which partition a message goes to: by key, else round robin over the available ones, a batch at a time, avoiding
// owners that failed or were slow. The table of latencies and penalties is RocketMQ's (MQFaultStrategy). Pure.
import { PERMISSION_WRITE } from '../../native-layout/partition-table.ts';
import { hash32 } from '../record/text.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';

const LATENCY_MS = [50, 100, 550, 1_800, 3_000, 5_000, 15_000];
const AVOID_MS = [0, 0, 2_000, 5_000, 6_000, 10_000, 30_000];
/** A failure counts as this latency. */
const FAILURE_LATENCY_MS = 10_000;

/** Milliseconds that an owner is avoided after an answer took this long. */
export function avoidFor(latencyMs: number): number {
  for (let i = LATENCY_MS.length - 1; i >= 0; i--) if (latencyMs >= LATENCY_MS[i]) return AVOID_MS[i];
  return 0;
}

export class PartitionSelector {
  private route: TopicRoute;
  private writable: readonly PartitionRoute[];
  private turn: number;
  private readonly avoidUntil = new Map<number, number>();

  /** `start`: where round robin begins; pass a random number so that producers spread. */
  constructor(route: TopicRoute, start: number) {
    this.route = route;
    this.writable = writableOf(route);
    this.turn = start;
  }

  /** A newer snapshot of the route. */
  update(route: TopicRoute): void {
    this.route = route;
    this.writable = writableOf(route);
  }

  /** True if there is one partition, and it takes messages: nothing is to be chosen. */
  get single(): boolean {
    return this.route.partitions.length === 1 && this.writable.length === 1;
  }

  /** Partition for a key: the same one as long as the topic has the same partitions, whatever fails. */
  byKey(key: string): PartitionRoute | undefined {
    const { partitions } = this.route;
    if (partitions.length === 0) return undefined;
    return partitions[(hash32(key) >>> 0) % partitions.length];
  }

  byNumber(number: number): PartitionRoute | undefined {
    return this.route.partitions.find((one) => one.number === number);
  }

  /** Next partition in turn: available and not avoided, else available, else any writable one. */
  next(nowMs: number): PartitionRoute | undefined {
    const all = this.writable;
    if (all.length === 1) return all[0];
    const fits = (level: number, one: PartitionRoute): boolean =>
      level > 1 || (one.available && (level > 0 || (this.avoidUntil.get(one.owner) ?? 0) <= nowMs));
    for (let level = 0; level < 3; level++) {
      for (let i = 0; i < all.length; i++) {
        const one = all[(this.turn + i) % all.length];
        if (!fits(level, one)) continue;
        this.turn = (this.turn + i + 1) % all.length;
        return one;
      }
    }
    return undefined;
  }

  /** An owner answered after this long. */
  answered(owner: number, latencyMs: number, nowMs: number): void {
    const avoid = avoidFor(latencyMs);
    if (avoid > 0) this.avoidUntil.set(owner, nowMs + avoid);
    else if (this.avoidUntil.size > 0) this.avoidUntil.delete(owner);
  }

  /** An owner failed. */
  failed(owner: number, nowMs: number): void {
    this.avoidUntil.set(owner, nowMs + avoidFor(FAILURE_LATENCY_MS));
  }
}

function writableOf(route: TopicRoute): readonly PartitionRoute[] {
  return route.partitions.filter((one) => (one.permission & PERMISSION_WRITE) !== 0);
}
