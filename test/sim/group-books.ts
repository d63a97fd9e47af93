// What the members of one group were handed, handled and were answered, and the judgement over it.
import type { MessageName } from '../../torture/message.ts';
import { idOf, keyOf, type Told } from './messages.ts';

/** What the group did with one message of its topic, in all its deliveries. */
interface Handling {
  /** When it was handed out, and when that was asked for. */
  readonly handed: number[];
  readonly asked: number[];
  /** When a handler was done with it first, or was given its last attempt. */
  doneAt: number;
  succeeded: boolean;
}

export interface GroupRules {
  readonly order: 'key' | 'none';
  /** What its members ask for, should it be something else. */
  readonly asked?: 'none';
  readonly attemptsMax: number;
}

export class GroupBook {
  readonly name: string;
  readonly rules: GroupRules;
  /** By name and place: see keyOf(). */
  readonly byKey = new Map<string, Handling>();
  /** By topic/partition: when the acknowledgement of an offset was answered first. */
  readonly ackedAt = new Map<string, (number | undefined)[]>();
  handedCount = 0;
  ackedCount = 0;
  private readonly books: Told;

  constructor(name: string, rules: GroupRules, books: Told) {
    this.name = name;
    this.rules = rules;
    this.books = books;
  }

  /** Returns what to say of it later. `asked`: when the member asked for it; by default it did not have to. */
  handed(member: string, { place, name, attempts }: Delivery, asked?: number): string {
    const { books } = this;
    const id = name && idOf(name);
    const key = keyOf(id, place);
    const now = books.tick(`${member} of ${this.name} is handed ${key}, attempt ${attempts}`);
    this.handedCount++;
    const sent = id === undefined ? undefined : books.sent.get(id);
    if (id === undefined || sent === undefined) {
      books.books.fault(`${this.name} was handed ${place}, which nobody sent`);
      return key;
    }
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
    handling.succeeded = true;
  }

  /** To the dead letters with it. */
  gaveUp(key: string): void {
    const handling = this.handling(key);
    handling.doneAt = Math.min(handling.doneAt, this.books.tick(`${this.name} gives ${key} up`));
  }

  /** A commit was answered: everything below `floor`, and the pairs [from, to). */
  committed(place: string, floor: number, pairs: readonly number[]): void {
    const now = this.books.tick(`commit of ${this.name} ${place} ${floor} ${pairs.join(' ')}`);
    this.ack(place, 0, floor, now);
    for (let i = 0; i < pairs.length; i += 2) this.ack(place, pairs[i], pairs[i + 1], now);
  }

  /** With the power went what was not synced. */
  powerLost(syncedAt: number): void {
    for (const offsets of this.ackedAt.values()) {
      for (let i = 0; i < offsets.length; i++) if ((offsets[i] ?? 0) > syncedAt) offsets[i] = undefined;
    }
  }

  /** What lies behind these ends will be other messages. */
  cut(ends: ReadonlyMap<string, number>): void {
    for (const [place, offsets] of this.ackedAt) offsets.length = Math.min(offsets.length, ends.get(place) ?? 0);
  }

  /** A message of the topic that the group has neither handled nor given up. */
  missing({ logs, topic }: Told): string | undefined {
    const dead = new Set(logs.get(`%DLQ%${this.name}/0`)?.map((one) => one?.key));
    for (const [place, view] of logs) {
      if (!place.startsWith(`${topic}/`)) continue;
      for (const one of view) {
        if (one === undefined || dead.has(one.key) || this.byKey.get(one.key)?.succeeded) continue;
        return one.key;
      }
    }
    return undefined;
  }

  private ack(place: string, from: number, to: number, now: number): void {
    const offsets = this.ackedAt.get(place) ?? [];
    this.ackedAt.set(place, offsets);
    for (let offset = from; offset < to; offset++) {
      if (offsets[offset] !== undefined) continue;
      offsets[offset] = now;
      this.ackedCount++;
    }
  }

  private handling(key: string): Handling {
    const before = this.byKey.get(key);
    if (before) return before;
    const handling = { handed: [], asked: [], doneAt: Number.POSITIVE_INFINITY, succeeded: false };
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
}

/** Everything that contradicts a promise to the group. */
export function judgeGroup(group: GroupBook, books: Told): string[] {
  const missing = group.missing(books);
  const found = missing === undefined ? [] : [`lost to ${group.name}: ${missing}`];
  found.push(...handedAgain(group, books));
  if (group.rules.order === 'key') found.push(...overtakings(group, books));
  return found;
}

/** Handed to the group although its acknowledgement had been answered: that of the last copy of it. */
function handedAgain(group: GroupBook, { logs, topic }: Told): string[] {
  const last = new Map<string, number | undefined>();
  // Copies in the retry topic are younger than the one in the topic.
  for (const prefix of [`${topic}/`, `%RETRY%${group.name}|${topic}/`]) {
    for (const [place, view] of logs) {
      if (!place.startsWith(prefix)) continue;
      const acked = group.ackedAt.get(place) ?? [];
      for (const [offset, one] of view.entries()) if (one !== undefined) last.set(one.key, acked[offset]);
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

/** A message was handed out while an earlier one of its key was not done. */
function overtakings(group: GroupBook, { logs, topic, sent }: Told): string[] {
  const found: string[] = [];
  // Those may have had attempts that never reached anybody.
  const dead = new Set(logs.get(`%DLQ%${group.name}/0`)?.map((one) => one?.key));
  for (const [place, view] of logs) {
    if (!place.startsWith(`${topic}/`)) continue;
    /** By key: until when all earlier ones were done, and who was the last of them. */
    const before = new Map<string, { doneAt: number; what: string }>();
    for (const one of view) {
      const key = one && sent.get(one.id)?.key;
      const handling = one && group.byKey.get(one.key);
      if (one === undefined || key === undefined || handling === undefined) continue;
      const first = before.get(key);
      const early = first && handling.handed.find((at) => at < first.doneAt);
      if (first && early !== undefined) {
        const what = `${group.name} was handed ${one.key} (#${early}) of ${key}`;
        found.push(`overtaken: ${what} before ${first.what} (#${first.doneAt}) was done`);
      }
      if (handling.doneAt === Number.POSITIVE_INFINITY && dead.has(one.key)) continue;
      if (!first || handling.doneAt > first.doneAt) before.set(key, { doneAt: handling.doneAt, what: one.key });
    }
  }
  return found;
}
