// Where a group stands in one queue: an ack floor, the ranges acknowledged above it, and how often messages that are
// not acknowledged have been delivered. The coordinator keeps one for each queue, members keep one for each that they
// hold.
//
// I1 Ranges are ascending, not empty, and neither overlap nor touch one another or the floor.
// I2 Nothing that was acknowledged is ever open again, except by reset() and clip().
import { RingmqError } from '../base/codes.ts';
import type { QueueProgress } from '../wire/services.ts';

/** Most ranges above a floor: every second message of 16,384. */
export const RANGES_MAX = 8_192;

export class Progress {
  /** Of the partition that the offsets belong to. */
  epoch: number;
  private floorAt: number;
  /** Pairs [from, to): I1. */
  private readonly ranges: number[] = [];
  /** Offset -> deliveries so far, of messages that failed and are not acknowledged. */
  private readonly failures = new Map<number, number>();

  constructor(epoch: number, offset: number) {
    this.epoch = epoch;
    this.floorAt = offset;
  }

  /** Of what travels and stands in the journal. It must have passed checkProgress(). */
  static of(wire: QueueProgress): Progress {
    const progress = new Progress(wire.epoch, wire.offset);
    progress.merge(wire);
    return progress;
  }

  /** Everything before this offset is acknowledged. */
  get floor(): number {
    return this.floorAt;
  }

  /** Acknowledged above the floor: pairs [from, to), ascending, disjoint. */
  get acked(): readonly number[] {
    return this.ranges;
  }

  get rangeCount(): number {
    return this.ranges.length / 2;
  }

  /** Messages that have failed and are not acknowledged. */
  get failureCount(): number {
    return this.failures.size;
  }

  /** Messages acknowledged above the floor. */
  get ackedAbove(): number {
    let count = 0;
    for (let i = 0; i < this.ranges.length; i += 2) count += this.ranges[i + 1] - this.ranges[i];
    return count;
  }

  /** Messages not acknowledged yet, if the next one of the partition gets `nextOffset`. */
  lag(nextOffset: number): number {
    return Math.max(0, nextOffset - this.floorAt - this.ackedAbove);
  }

  /** True if the message is acknowledged. */
  contains(offset: number): boolean {
    return this.covers(offset, offset + 1);
  }

  /** True if all from `from` to before `to` are acknowledged. */
  covers(from: number, to: number): boolean {
    if (to <= this.floorAt) return true;
    const at = this.firstEndingFrom(from + 1);
    return at < this.ranges.length && this.ranges[at] <= from && to <= this.ranges[at + 1];
  }

  /** First offset from `offset` on that is not acknowledged. */
  nextOpen(offset: number): number {
    if (offset < this.floorAt) return this.floorAt;
    const at = this.firstEndingFrom(offset + 1);
    return at < this.ranges.length && this.ranges[at] <= offset ? this.ranges[at + 1] : offset;
  }

  /** Acknowledges all from `from` to before `to`. False if that was so already. */
  add(from: number, to: number): boolean {
    const isNew = this.cover(from, to);
    if (isNew) this.forgetFailures();
    return isNew;
  }

  /** A message has failed; `deliveries` counts them all. False if that was known, or the message is acknowledged. */
  failed(offset: number, deliveries: number): boolean {
    if (this.contains(offset) || deliveries <= (this.failures.get(offset) ?? 0)) return false;
    this.failures.set(offset, deliveries);
    return true;
  }

  /** How often a message was delivered and failed. */
  attemptsOf(offset: number): number {
    return this.failures.get(offset) ?? 0;
  }

  /** Adds what another one has. Progress never goes back. False if there was nothing new. */
  merge({ offset, acked, attempts }: QueueProgress): boolean {
    let isNew = offset > this.floorAt;
    if (isNew) this.moveFloor(offset);
    for (let i = 0; i < acked.length; i += 2) isNew = this.cover(acked[i], acked[i + 1]) || isNew;
    if (isNew) this.forgetFailures();
    for (let i = 0; i < attempts.length; i += 2) isNew = this.failed(attempts[i], attempts[i + 1]) || isNew;
    return isNew;
  }

  /** What merge() would change, to be written down; undefined if nothing. */
  newsIn({ epoch, offset, acked, attempts }: QueueProgress): QueueProgress | undefined {
    const news = { epoch, offset: Math.max(offset, this.floorAt), acked: [] as number[], attempts: [] as number[] };
    for (let i = 0; i < acked.length; i += 2) {
      if (!this.covers(acked[i], acked[i + 1])) news.acked.push(acked[i], acked[i + 1]);
    }
    for (let i = 0; i < attempts.length; i += 2) {
      const known = this.contains(attempts[i]) || attempts[i + 1] <= this.attemptsOf(attempts[i]);
      if (!known) news.attempts.push(attempts[i], attempts[i + 1]);
    }
    return news.offset > this.floorAt || news.acked.length + news.attempts.length > 0 ? news : undefined;
  }

  /** Begins anew: everything before `offset` counts as acknowledged, nothing else does. */
  reset(epoch: number, offset: number): void {
    this.epoch = epoch;
    this.floorAt = offset;
    this.ranges.length = 0;
    this.failures.clear();
  }

  /** Nothing from `end` on exists (any more): a crash took it back, and the offsets were or will be given again. */
  clip(end: number): void {
    this.floorAt = Math.min(this.floorAt, end);
    const { ranges } = this;
    while (ranges.length > 0 && (ranges.at(-1) as number) > end) {
      if ((ranges.at(-2) as number) >= end) ranges.length -= 2;
      else ranges[ranges.length - 1] = end;
    }
    for (const offset of this.failures.keys()) if (offset >= end) this.failures.delete(offset);
  }

  /** A copy that shares nothing. */
  clone(): Progress {
    return Progress.of(this.wire());
  }

  /** As it travels and stands in the journal. */
  wire(): QueueProgress {
    const attempts = [...this.failures].sort((a, b) => a[0] - b[0]).flat();
    return { epoch: this.epoch, offset: this.floorAt, acked: this.ranges.slice(), attempts };
  }

  /** add(), but for failures of what is acknowledged now. */
  private cover(from: number, to: number): boolean {
    if (to <= this.floorAt || from >= to) return false;
    const { ranges } = this;
    if (from <= this.floorAt) {
      this.moveFloor(to);
      return true;
    }
    const first = this.firstEndingFrom(from);
    let behind = first;
    while (behind < ranges.length && ranges[behind] <= to) behind += 2;
    if (behind === first) ranges.splice(first, 0, from, to);
    else {
      if (ranges[first] <= from && to <= ranges[first + 1]) return false;
      const least = Math.min(from, ranges[first]);
      const most = Math.max(to, ranges[behind - 1]);
      ranges.splice(first, behind - first, least, most);
    }
    return true;
  }

  /** Index of the first range that ends at `offset` or behind. */
  private firstEndingFrom(offset: number): number {
    const { ranges } = this;
    let low = 0;
    let high = ranges.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ranges[middle * 2 + 1] < offset) low = middle + 1;
      else high = middle;
    }
    return low * 2;
  }

  private moveFloor(to: number): void {
    const { ranges } = this;
    let used = 0;
    let floor = to;
    while (used < ranges.length && ranges[used] <= floor) {
      floor = Math.max(floor, ranges[used + 1]);
      used += 2;
    }
    if (used > 0) ranges.splice(0, used);
    this.floorAt = floor;
  }

  private forgetFailures(): void {
    if (this.failures.size === 0) return;
    for (const offset of this.failures.keys()) if (this.contains(offset)) this.failures.delete(offset);
  }
}

/** Throws `illegal-argument` for progress that contradicts itself, `lease-quota` for more ranges than there may be. */
export function checkProgress({ epoch, offset, acked, attempts }: QueueProgress, where: string): void {
  const refuse = (what: string): never => {
    throw new RingmqError('illegal-argument', `${where}: ${what}`);
  };
  if (!Number.isSafeInteger(epoch)) refuse(`epoch is ${epoch}: a whole number`);
  if (!isOffset(offset)) refuse(`offset is ${offset}: a whole number from 0`);
  if (acked.length % 2 !== 0 || attempts.length % 2 !== 0) refuse('acked and attempts are pairs of numbers');
  if (acked.length > 2 * RANGES_MAX || attempts.length > 2 * RANGES_MAX) {
    const text = `${where}: at most ${RANGES_MAX} ranges and ${RANGES_MAX} attempts above the ack floor ${offset}`;
    throw new RingmqError('lease-quota', `${text}: acknowledge the oldest messages first`);
  }
  for (let i = 0, least = offset; i < acked.length; i += 2) {
    const [from, to] = [acked[i], acked[i + 1]];
    const good = isOffset(from) && isOffset(to) && from >= least && from < to;
    if (!good) refuse(`acked names [${from}, ${to}) behind ${least}: ranges are ascending, disjoint and not empty`);
    least = to;
  }
  for (let i = 0, before = -1; i < attempts.length; i += 2) {
    const [at, count] = [attempts[i], attempts[i + 1]];
    const good = isOffset(at) && at > before && Number.isSafeInteger(count) && count > 0;
    if (!good) refuse(`attempts names [${at}, ${count}]: offsets are ascending, deliveries 1 or more`);
    before = at;
  }
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
