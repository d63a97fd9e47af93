// What the members of one group were handed, handled and were answered, and the judgement over it.
import type { Gap } from '../../src/client/connection.ts';
import type { GroupOrder } from '../../src/wire/services.ts';
import type { MessageName } from '../../torture/message.ts';
import type { SimFilter } from './filters.ts';
import { EVERYWHERE, GroupMoves, type Move } from './group-moves.ts';
import { LeaseBook } from './lease-book.ts';
import { type About, idOf, keyOf, type Stored, type Told } from './messages.ts';

/** What the group did with one message of its topic, in all its deliveries. */
interface Handling {
  /** When it was handed out, and when that was asked for. */
  readonly handed: number[];
  readonly asked: number[];
  /** When a handler was done with it first, or was given its last attempt. */
  doneAt: number;
  /** When a handler was done with it last; -1: never. */
  succeededAt: number;
}

export interface GroupRules {
  readonly order: GroupOrder;
  /** Its members hear of gaps. */
  readonly hearsGaps?: boolean;
  /** Its push members pause now and then. */
  readonly pauses?: boolean;
  /** What its members ask for, should it be something else. */
  readonly asked?: 'none';
  readonly attemptsMax: number;
  /** Undefined: it wants everything. */
  readonly filter?: SimFilter;
  /** What waits is handed out by priority. */
  readonly priority?: boolean;
}

export class GroupBook {
  readonly name: string;
  readonly rules: GroupRules;
  /** By name and place: see keyOf(). */
  readonly byKey = new Map<string, Handling>();
  /** By topic/partition: when the acknowledgement of an offset was answered first. */
  readonly ackedAt = new Map<string, (number | undefined)[]>();
  readonly moves = new GroupMoves();
  /** What its members were told. */
  readonly gaps: Gap[] = [];
  readonly leases: LeaseBook;
  handedCount = 0;
  ackedCount = 0;
  /** Somebody wants to move it: its members keep away. */
  away = false;
  /** So many of its dead letters are known to be replayed. */
  replayed = 0;
  private readonly books: Told;
  /** Number of the last replay that was asked for or answered. */
  private replayAt = 0;
  /** So often power was lost while a replay was not synced: each letter may come so often more. */
  private replayDoubles = 0;
  private powerLosses = 0;

  constructor(name: string, rules: GroupRules, books: Told) {
    this.name = name;
    this.rules = rules;
    this.books = books;
    this.leases = new LeaseBook(books.world);
  }

  /** Returns what to say of it later. `asked`: when the member asked for it; by default it did not have to. */
  handed(member: string, { place, name, attempts, about }: Delivery, asked?: number): string {
    const { books, rules } = this;
    const id = name && idOf(name);
    const key = keyOf(id, place);
    const now = books.tick(`${member} of ${this.name} is handed ${key}, attempt ${attempts}`);
    this.handedCount++;
    const sent = id === undefined ? undefined : books.sent.get(id);
    if (id === undefined || sent === undefined) {
      books.books.fault(`${this.name} was handed ${place}, which nobody sent`);
      return key;
    }
    if (about && !isSame(about, sent.about)) {
      books.books.fault(
        `changed: ${this.name} was handed ${id} as ${JSON.stringify(about)}, not ${JSON.stringify(sent.about)}`,
      );
    }
    if (rules.filter?.wants(sent.about) === false) books.books.fault(`unwanted: ${this.name} was handed ${key}`);
    const holder = this.leases.holder(key, asked ?? now);
    if (holder !== undefined) books.books.fault(`leased: ${member} was handed ${key}, which ${holder} has`);
    if (sent.deliverAt > books.world.latestWallMs) {
      books.books.fault(
        `early: ${this.name} was handed ${id} ${sent.deliverAt - books.world.latestWallMs} ms too soon`,
      );
    }
    const handling = this.handling(key);
    handling.handed.push(now);
    handling.asked.push(asked ?? now);
    if (attempts >= this.rules.attemptsMax) handling.doneAt = Math.min(handling.doneAt, now);
    return key;
  }

  succeeded(member: string, key: string): void {
    const now = this.books.tick(`${member} of ${this.name} is done with ${key}`);
    const handling = this.handling(key);
    handling.doneAt = Math.min(handling.doneAt, now);
    handling.succeededAt = now;
  }

  /** To the dead letters with it. */
  gaveUp(key: string): void {
    const handling = this.handling(key);
    handling.doneAt = Math.min(handling.doneAt, this.books.tick(`${this.name} gives ${key} up`));
  }

  /** A commit was answered that was asked for at `asked`: everything below `floor`, and the pairs [from, to). */
  committed(place: string, floor: number, pairs: readonly number[], asked = this.books.now): void {
    const now = this.books.tick(`commit of ${this.name} ${place} ${floor} ${pairs.join(' ')}`);
    this.ack(place, 0, floor, now, asked);
    for (let i = 0; i < pairs.length; i += 2) this.ack(place, pairs[i], pairs[i + 1], now, asked);
  }

  /** A member was told that it will not get what lies in [from, to). */
  told(gap: Gap): void {
    const { topic, partition, from, to, reason } = gap;
    this.books.tick(`${this.name} is told of ${topic}/${partition} ${from}-${to} ${reason}`);
    this.gaps.push(gap);
    this.books.lost(gap);
  }

  /** Somebody wants it to go on at an offset; of one that is to be deleted, anywhere. */
  moving(place: string, offset: number): Move {
    const loose = place === EVERYWHERE ? new Set(this.byKey.keys()) : new Set<string>();
    const move = this.moves.asked(place, offset, this.books.tick(`${this.name} to ${place}:${offset}?`), loose);
    this.forget(place, offset);
    return move;
  }

  /** It does. */
  moved(place: string, offset: number): void {
    const now = this.books.tick(`${this.name} is at ${place}:${offset}`);
    this.moves.answered(place, offset, now);
    this.forget(place, offset);
    if (place !== EVERYWHERE) this.ack(place, 0, offset, now);
  }

  /** Offset behind the last one that was acknowledged there. */
  furthest(place: string): number {
    return this.ackedAt.get(place)?.length ?? 0;
  }

  /** A replay was asked for, or answered: with it all of the first `letters` have been replayed. */
  replays(letters: number): void {
    this.replayAt = this.books.tick(`${this.name} replays, ${letters} before`);
    this.replayed = Math.max(this.replayed, letters);
  }

  /** How often a dead letter may come back to its topic at most. */
  get replaysMax(): number {
    return this.replayAt === 0 ? 0 : 1 + this.replayDoubles;
  }

  /** Messages among its dead letters. */
  letters({ logs }: Told): readonly Stored[] {
    return logs.get(`%DLQ%${this.name}/0`)?.filter((one) => one !== undefined) ?? [];
  }

  /** The broker has ended. */
  ended(): void {
    this.moves.ended(this.books.now);
  }

  /** With the power went what was not synced. */
  powerLost(syncedAt: number): void {
    this.powerLosses++;
    if (this.replayAt > syncedAt) this.replayDoubles++;
    this.moves.powerLost(syncedAt);
    this.leases.clear();
    for (const offsets of this.ackedAt.values()) {
      for (let i = 0; i < offsets.length; i++) if ((offsets[i] ?? 0) > syncedAt) offsets[i] = undefined;
    }
  }

  /** Its topic begins anew, and so does it. */
  reset(): void {
    this.byKey.clear();
    this.ackedAt.clear();
    this.gaps.length = 0;
    this.leases.clear();
  }

  /** What lies behind these ends will be other messages. */
  cut(ends: ReadonlyMap<string, number>): void {
    for (const [place, offsets] of this.ackedAt) offsets.length = Math.min(offsets.length, ends.get(place) ?? 0);
    this.leases.cut(ends);
  }

  /** A message of the topic that the group has neither handled nor given up. */
  missing(told: Told): string | undefined {
    const dead = new Set(this.letters(told).map(({ key }) => key));
    for (const [place, view] of told.logs) {
      if (!place.startsWith(`${told.topic}/`)) continue;
      for (const [offset, one] of view.entries()) {
        if (one === undefined || dead.has(one.key) || !this.wants(told, one.id) || told.gone(place, offset)) continue;
        const { skipped, againAt } = this.moves.fateOf(one.key);
        if (!skipped && (this.byKey.get(one.key)?.succeededAt ?? -1) <= againAt) return one.key;
      }
    }
    return undefined;
  }

  /** What is its dead letter twice, though nothing made it come again. */
  doubledLetter(told: Told): string | undefined {
    if (this.powerLosses > 0) return undefined;
    const seen = new Set<string>();
    for (const { key } of this.letters(told)) {
      if (seen.has(key) && !this.moves.isVoid(key)) return key;
      seen.add(key);
    }
    return undefined;
  }

  private wants({ sent }: Told, id: string): boolean {
    const one = sent.get(id);
    return one === undefined || this.rules.filter?.wants(one.about) !== false;
  }

  /** Acknowledgements there count no more, and nobody has anything of it. */
  private forget(place: string, offset: number): void {
    for (const [of, offsets] of this.ackedAt) {
      if (of === place || place === EVERYWHERE) offsets.length = Math.min(offsets.length, offset);
    }
    this.leases.clear();
  }

  private ack(place: string, from: number, to: number, now: number, asked = now): void {
    const offsets = this.ackedAt.get(place) ?? [];
    this.ackedAt.set(place, offsets);
    for (let offset = from; offset < to; offset++) {
      if (offsets[offset] !== undefined || this.moves.undoes(place, offset, asked)) continue;
      offsets[offset] = now;
      this.ackedCount++;
    }
  }

  private handling(key: string): Handling {
    const before = this.byKey.get(key);
    if (before) return before;
    const handling = { handed: [], asked: [], doneAt: Number.POSITIVE_INFINITY, succeededAt: -1 };
    this.byKey.set(key, handling);
    return handling;
  }
}

/** A message as a member is given it: a retried one says where it was first. */
export interface Delivery {
  /** `topic/partition:offset`. */
  readonly place: string;
  readonly name: MessageName | undefined;
  readonly attempts: number;
  /** What it says of itself, should somebody look. */
  readonly about?: About;
}

/** Everything that contradicts a promise to the group. */
export function judgeGroup(group: GroupBook, books: Told): string[] {
  const missing = group.missing(books);
  const found = missing === undefined ? [] : [`lost to ${group.name}: ${missing}`];
  const doubled = group.doubledLetter(books);
  if (doubled !== undefined) found.push(`doubled: ${doubled} is twice among the dead letters of ${group.name}`);
  found.push(...handedAgain(group, books));
  if (group.rules.order !== 'none') found.push(...overtakings(group, books));
  return found;
}

function isSame(a: About, b: About): boolean {
  return a.key === b.key && a.tag === b.tag && a.n === b.n && (a.priority ?? 0) === (b.priority ?? 0);
}

/**
 * Handed to the group although its acknowledgement had been answered: that of the last copy of it, or of all where it
 * may have come again because the group was moved.
 */
function handedAgain(group: GroupBook, { logs, topic }: Told): string[] {
  const last = new Map<string, number>();
  // Copies in the retry topic are younger than the one in the topic.
  for (const prefix of [`${topic}/`, `%RETRY%${group.name}|${topic}/`]) {
    for (const [place, view] of logs) {
      if (!place.startsWith(prefix)) continue;
      const acked = group.ackedAt.get(place) ?? [];
      for (const [offset, one] of view.entries()) {
        if (one === undefined) continue;
        const before = last.has(one.key) && group.moves.isVoid(one.key) ? last.get(one.key) : acked[offset];
        // Of what is not acknowledged, not a number, nothing is later.
        last.set(one.key, Math.max(before ?? Number.NaN, acked[offset] ?? Number.NaN));
      }
    }
  }
  const found: string[] = [];
  for (const [key, { handed, asked }] of group.byKey) {
    const ackedAt = last.get(key);
    const again = ackedAt === undefined ? -1 : asked.findIndex((at) => at > ackedAt);
    if (again >= 0)
      found.push(`again: ${group.name} was handed ${key} (#${handed[again]}) after its ack (#${ackedAt})`);
  }
  return found;
}

/** A message was handed out while an earlier one of its key, or of its partition, was not done. */
function overtakings(group: GroupBook, told: Told): string[] {
  const { logs, topic, sent } = told;
  const { order } = group.rules;
  const found: string[] = [];
  // Those may have had attempts that never reached anybody.
  const dead = new Set(group.letters(told).map(({ key }) => key));
  for (const [place, view] of logs) {
    if (!place.startsWith(`${topic}/`)) continue;
    /** By key: until when all earlier ones were done, and who was the last of them. */
    const before = new Map<string, { doneAt: number; what: string }>();
    for (const [offset, one] of view.entries()) {
      const key = one && (order === 'partition' ? place : sent.get(one.id)?.about.key);
      const handling = one && group.byKey.get(one.key);
      if (one === undefined || key === undefined || handling === undefined) continue;
      const first = before.get(key);
      const early = first && handling.handed.find((at) => at < first.doneAt);
      if (first && early !== undefined) {
        const what = `${group.name} was handed ${one.key} (#${early}) of ${key}`;
        found.push(`overtaken: ${what} before ${first.what} (#${first.doneAt}) was done`);
      }
      const doneAt = Math.min(handling.doneAt, group.moves.skippedAt(one.key));
      if (doneAt === Number.POSITIVE_INFINITY && (dead.has(one.key) || told.gone(place, offset))) continue;
      if (!first || doneAt > first.doneAt) before.set(key, { doneAt, what: one.key });
    }
  }
  return found;
}
