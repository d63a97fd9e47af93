// The books of a topic that does not keep everything: old messages expire, or all of them end with the broker because
// they lie in memory alone. What is there in the end, groups must have handled; what is not, they were told of; nobody
// is told of a gap where there is something, and nothing expires before its time.
import type { Gap, SendReceipt } from '../../src/client/connection.ts';
import type { RecoveredQueue } from '../../src/log/run.ts';
import type { Books, Level } from './books.ts';
import type { GroupBook } from './group-books.ts';
import { type About, originOf, type Sent } from './messages.ts';
import { MessagingBooks } from './messaging-books.ts';

const BURST_MAX = 8;

export interface Loss {
  /** With the broker everything ends. */
  readonly volatile: boolean;
  /** Nothing younger expires; 0: it may. */
  readonly retentionMs: number;
  /** What is older need not be there: it comes back when the clock is set back before a restart. */
  readonly byClock?: boolean;
}

interface Place {
  readonly place: string;
  readonly offset: number;
}

/** The wall clock, and how often it was set by then. */
interface Time {
  readonly wallMs: number;
  readonly jumps: number;
}

export class LossyBooks extends MessagingBooks {
  override readonly levels: readonly Level[];
  override burstMax = BURST_MAX;
  private readonly loss: Loss;
  protected readonly placeOf = new Map<string, Place>();
  private readonly sentAt = new Map<string, Time>();
  /** By place: the first offset that was there in the end. */
  private readonly oldest = new Map<string, number>();
  /** Who reads along has missed something: nobody knows all copies of what came again. */
  private blind = false;

  constructor(books: Books, topic: string, partitions: number, loss: Loss) {
    super(books, topic, partitions);
    this.loss = loss;
    this.levels = loss.volatile ? ['accepted'] : ['durable', 'written', 'accepted'];
  }

  override sending(name: Parameters<MessagingBooks['sending']>[0], kind: Sent['kind'], about: About): Sent {
    const sent = super.sending(name, kind, about);
    this.sentAt.set(sent.id, this.time());
    return sent;
  }

  override stored(one: Sent, level: Level, receipt?: SendReceipt): void {
    super.stored(one, level);
    if (one.level === 'none') return;
    if (receipt && receipt.offset >= 0) {
      this.placeOf.set(one.id, { place: `${receipt.topic}/${receipt.partition}`, offset: receipt.offset });
    }
  }

  override stopped(): void {
    super.stopped();
    if (this.loss.volatile) for (const one of this.sent.values()) one.level = 'none';
  }

  override crashed(power: boolean): void {
    super.crashed(power);
    if (this.loss.volatile) for (const one of this.sent.values()) one.level = 'none';
  }

  override recovered(queues: readonly RecoveredQueue[], topicNames: ReadonlyMap<number, string>): void {
    super.recovered(queues, topicNames);
    if (!this.loss.volatile) return;
    for (const group of this.groups) group.reset();
    this.logs.clear();
    this.placeOf.clear();
    this.blind = false;
  }

  override begins(place: string, offset: number): void {
    this.oldest.set(place, Math.max(offset, this.oldest.get(place) ?? 0));
  }

  override gone(place: string, offset: number): boolean {
    return offset < (this.oldest.get(place) ?? 0) || this.isOld(place, offset);
  }

  private isOld(place: string, offset: number): boolean {
    const sent = this.sentAt.get(this.logs.get(place)?.[offset]?.id ?? '');
    return this.loss.byClock === true && (sent?.wallMs ?? 0) + this.loss.retentionMs <= this.world.latestWallMs;
  }

  override missed(gap: Gap): void {
    const { topic, partition, from, to, reason } = gap;
    if (reason === 'epoch-changed' || reason === 'ahead') return;
    this.blind = true;
    this.tooEarly(`${topic}/${partition}`, from, to);
  }

  override lost({ topic, partition, from, to, reason }: Gap): void {
    if (reason === 'expired') this.tooEarly(`${topic}/${partition}`, from, to);
  }

  override judge(): string[] {
    const found = super.judge().filter((one) => !(this.blind && one.startsWith('again: ')));
    for (const group of this.groups) {
      const untold = this.untold(group);
      if (untold !== undefined) found.push(`untold: ${group.name} never had ${untold}, and was told of no gap`);
      found.push(...this.untrue(group));
    }
    return found;
  }

  override waitsFor(): string | undefined {
    const what = super.waitsFor();
    if (what !== undefined) return what;
    for (const group of this.groups) {
      const untold = this.untold(group);
      if (untold !== undefined) return `${group.name} was not told that ${untold} is gone`;
    }
    return undefined;
  }

  protected override leastOf(one: Sent): number {
    const at = this.placeOf.get(one.id);
    return at === undefined || this.gone(at.place, at.offset) ? 0 : super.leastOf(one);
  }

  private time(): Time {
    return { wallMs: this.world.wallMs(), jumps: this.world.jumps };
  }

  /** What expired although it was younger than what is kept: as far as the clock was not set since. */
  protected tooEarly(place: string, from: number, to: number): void {
    const { retentionMs } = this.loss;
    if (retentionMs === 0) return;
    for (const [id, at] of this.placeOf) {
      if (at.place !== place || at.offset < from || at.offset >= to) continue;
      const sent = this.sentAt.get(id);
      if (sent?.jumps !== this.world.jumps || this.sent.get(id)?.level === 'none') continue;
      const ageMs = this.world.wallMs() - sent.wallMs;
      if (ageMs < retentionMs) this.books.fault(`expired: ${id} at ${place}:${at.offset} after ${ageMs} ms`);
    }
  }

  /** What a group was told is gone, and is there. Where the clock may bring it back nobody can tell. */
  private untrue(group: GroupBook): string[] {
    if (this.loss.byClock) return [];
    const wrong = this.gapsOf(group).filter((gap) => gap.isOfTopic && !this.gone(gap.place, gap.to - 1));
    return wrong.map(({ place, from, to }) => `untrue: ${group.name} was told that ${place} ${from}-${to} is gone`);
  }

  private gapsOf({ gaps }: GroupBook) {
    const lost = gaps.filter(({ reason }) => reason === 'expired' || reason === 'evicted');
    return lost.map(({ topic, partition, from, to }) => {
      return { place: `${topic}/${partition}`, from, to, isOfTopic: topic === this.topic };
    });
  }

  /** A message that is gone, behind where the group began, which it never had and was not told of. */
  private untold(group: GroupBook): string | undefined {
    if (!group.rules.hearsGaps) return undefined;
    const gaps = this.gapsOf(group);
    const begun = new Map<string, number>();
    const places = [...group.byKey.keys()].map(originOf);
    for (const { place, offset } of [...places, ...gaps.map(({ place, from }) => ({ place, offset: from }))]) {
      begun.set(place, Math.min(offset, begun.get(place) ?? offset));
    }
    for (const [place, from] of begun) {
      const view = place.startsWith(`${this.topic}/`) ? (this.logs.get(place) ?? []) : [];
      for (let offset = from; offset < view.length; offset++) {
        const one = view[offset];
        if (one === undefined || !this.gone(place, offset) || group.byKey.has(one.key)) continue;
        if (!gaps.some((gap) => gap.place === place && gap.from <= offset && offset < gap.to)) return one.key;
      }
    }
    return undefined;
  }
}
