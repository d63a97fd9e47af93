// Finds messages by key, time and id, and compares with what it has read itself. What was acknowledged as written
// before it asked, and is still kept, is found: of keys this is promised a moment later only, and held against nobody
// while the index may be behind; in the end it must have come about. What is found is there, and is what was asked for.
import type { Connection } from '../../src/client/connection.ts';
import type { Message } from '../../src/client/message.ts';
import type { QueryMatch } from '../../src/wire/commands.ts';
import { nameOf } from '../../torture/message.ts';
import type { Kept } from './books.ts';
import type { BulkContext } from './bulk-roles.ts';
import { idOf } from './messages.ts';
import type { Network } from './network.ts';
import { Role } from './roles.ts';
import { bodyOfText, HttpSpeaker, type TextMessage } from './speakers.ts';

const KEYS = 8;
const LIMITS = [1, 3, 1_000];
const ALL = 1_000;
const RANGE_MAX_MS = 3_000;
/** So long a query waits for the index; one that took less has not given up. */
const INDEX_WAIT_MS = 1_000;
const MAY_FAIL = ['log-busy', 'not-found', 'unknown-topic'];

/** What it has read. */
interface Seen {
  readonly name: string;
  readonly key: string;
  readonly storedAt: number;
  readonly epoch: number;
  readonly id: string;
}

/** What is asked, and what was known then. */
interface Asked {
  readonly key: string;
  readonly fromTime: number;
  readonly toTime: number;
  readonly limit: number;
  readonly sinceMs: number;
  readonly jumps: number;
  readonly starts: number;
  readonly kept: readonly Kept[];
}

interface Found {
  readonly matches: readonly QueryMatch[];
  /** Offsets from which on it is all there, by partition. */
  readonly oldest: ReadonlyMap<number, number>;
}

export class Finder extends Role {
  private readonly topic: string;
  private readonly http: HttpSpeaker;
  /** By partition and offset. */
  private readonly view = new Map<number, (Seen | undefined)[]>();
  /** Keys that it has not found all of since all is well. */
  readonly unfound = new Set<string>();
  /** Messages that were found. */
  count = 0;

  constructor(context: BulkContext, network: Network) {
    super(context);
    this.topic = context.topic;
    this.http = new HttpSpeaker(network);
    for (let i = 0; i < KEYS; i++) this.unfound.add(`key-${i}`);
  }

  waitsFor(): string | undefined {
    const [key] = this.unfound;
    return key && `${this.name} has not found ${key}`;
  }

  protected started(connection: Connection): void {
    this.view.clear();
    connection.consumer(this.topic, {
      from: 'earliest',
      onMessage: ({ partition, offset, body, key = '', storedAt, epoch, id }) => {
        const name = nameOf(body);
        const list = this.view.get(partition) ?? [];
        this.view.set(partition, list);
        list.length = Math.min(list.length, offset);
        list[offset] = { name: name ? idOf(name) : '?', key, storedAt, epoch, id };
      },
      onGap: ({ partition, to, reason }) => {
        const list = this.view.get(partition) ?? [];
        if (reason !== 'expired') list.length = Math.min(list.length, to);
      },
      onError: this.heard,
    });
  }

  turn(): void {
    const { world } = this.context;
    const { connection } = this;
    if (!connection || this.lookUps > 0 || !(this.quiet || world.chance(20))) return;
    const dice = this.quiet ? 0 : world.random(100);
    if (dice < 40) this.find(connection, this.byKey());
    else if (dice < 70) this.find(connection, this.byTime());
    else this.look(connection);
  }

  private byKey(): Asked {
    const { world } = this.context;
    const { unfound } = this;
    const some = this.quiet && unfound.size > 0 ? [...unfound] : [`key-${world.random(KEYS)}`];
    const range = !this.quiet && world.chance(30) ? this.range() : { fromTime: 0, toTime: 0 };
    return this.asked({ key: some[world.random(some.length)], ...range });
  }

  private byTime(): Asked {
    return this.asked({ key: '', ...this.range() });
  }

  private range() {
    const { world } = this.context;
    const now = world.wallMs();
    const fromTime = world.chance(30) ? 0 : now - world.random(2 * RANGE_MAX_MS);
    return { fromTime, toTime: world.chance(30) ? 0 : Math.max(fromTime + 1, now - world.random(RANGE_MAX_MS)) };
  }

  private asked(what: Pick<Asked, 'key' | 'fromTime' | 'toTime'>): Asked {
    const { world, books } = this.context;
    const { jumps, nowMs: sinceMs } = world;
    const limit = this.quiet ? ALL : LIMITS[world.random(LIMITS.length)];
    const { starts } = books.books;
    return { ...what, limit, sinceMs, jumps, starts, kept: books.books.kept(this.topic) };
  }

  private find(connection: Connection, asked: Asked): void {
    const { key, fromTime, toTime, limit } = asked;
    const query = { topic: this.topic, ...(key !== '' && { key }), fromTime, ...(toTime > 0 && { toTime }), limit };
    const finding = this.context.world.chance(50)
      ? connection.query(query).then((matches) => ({ matches, tookMs: this.context.world.nowMs - asked.sinceMs }))
      : this.overHttp(asked);
    this.follow(
      finding.then(async ({ matches, tookMs }) => {
        const { partitions } = await connection.route(this.topic);
        const oldest = new Map(partitions.map((one) => [one.number, one.oldestOffset]));
        return { found: { matches, oldest }, tookMs };
      }),
      ({ found, tookMs }) => this.judge(asked, found, tookMs),
      (code) => this.failed('a query', code),
      false,
    );
  }

  private async overHttp({ key, fromTime, toTime, limit, sinceMs }: Asked) {
    const query = new URLSearchParams({ key, from: `${fromTime}`, to: `${toTime}`, limit: `${limit}` });
    const answer = await this.http.get<{ messages: readonly TextMessage[] }>(`/api/topics/${this.topic}/query`, query);
    const { messages } = answer;
    const tookMs = this.context.world.nowMs - sinceMs;
    for (const one of messages) this.compare('found', one.partition, one.offset, one.epoch, seenOf(one));
    return { matches: messages, tookMs };
  }

  /** One of those that are known, by its id. */
  private look(connection: Connection): void {
    const { world, books } = this.context;
    const { starts } = books.books;
    const kept = books.books.kept(this.topic);
    if (kept.length === 0) return;
    const one = kept[world.random(kept.length)];
    const known = this.known(one);
    if (known === undefined) return;
    const looking: Promise<Found0> = world.chance(50)
      ? connection.message(known.id).then(foundOf)
      : this.http.get<TextMessage>(`/api/messages/${known.id}`).then((text) => {
          return { ...seenOf(text), partition: text.partition, offset: text.offset, epoch: text.epoch };
        });
    this.follow(
      looking,
      (found) => {
        if (one.isKept() && (found.partition !== one.partition || found.offset !== one.offset)) {
          books.books.fault(`found: ${this.name} asked for ${known.id} and got ${JSON.stringify(found)}`);
        }
        this.compare('named', found.partition, found.offset, found.epoch, found);
      },
      (code) => {
        const isSame = starts === books.books.starts && !books.books.expires;
        if (code === 'not-found' && isSame) books.books.fault(`unfound: ${this.name} has no ${known.id} (${one.name})`);
        this.failed('a look', code);
      },
      false,
    );
  }

  private failed(what: string, code: string): void {
    if (!MAY_FAIL.includes(code)) this.unexpected(what, code);
  }

  /** What it knows of a message; undefined if it has not read it, or something else there. */
  private known({ partition, offset, name }: Kept): Seen | undefined {
    const one = this.view.get(partition)?.[offset];
    return one?.name === name ? one : undefined;
  }

  private compare(what: string, partition: number, offset: number, epoch: number, found: Partial<Seen>): void {
    const one = this.view.get(partition)?.[offset];
    if (one === undefined || one.epoch !== epoch) return;
    for (const field of ['name', 'key', 'storedAt'] as const) {
      if (found[field] === undefined || found[field] === one[field]) continue;
      const text = `${what}: ${this.name} was told ${field} ${found[field]} of ${this.topic}/${partition}:${offset}`;
      this.context.books.books.fault(`${text}, it is ${one[field]}`);
    }
  }

  private judge(asked: Asked, found: Found, tookMs: number): void {
    const { key, fromTime, toTime, limit } = asked;
    const { world, books } = this.context;
    const { matches } = found;
    this.count += matches.length;
    const what = `${this.name} asked for '${key}' ${fromTime}-${toTime}`;
    world.trace.add(`${what} and found ${matches.length} of ${limit} in ${tookMs} ms`);
    if (matches.length > limit) books.books.fault(`found: ${what}, ${limit} of it, and found ${matches.length}`);
    for (const [i, one] of matches.entries()) {
      const { partition, offset, storedAt, epoch } = one;
      this.compare('found', partition, offset, epoch, { storedAt, ...(key !== '' && { key }) });
      const isIn = storedAt >= fromTime && (toTime === 0 || storedAt < toTime);
      if (!isIn) books.books.fault(`found: ${what}, and found ${partition}:${offset} of ${storedAt}`);
      if (i > 0 && compareAge(matches[i - 1], one) >= 0) {
        books.books.fault(`found: ${what}, and found ${partition}:${offset} behind one that is younger`);
      }
    }
    const isSame = asked.starts === books.books.starts && asked.jumps === world.jumps;
    const mayLag = key !== '' && tookMs >= INDEX_WAIT_MS;
    if (!isSame || mayLag) return;
    const missing = this.missing(asked, found);
    if (missing !== undefined) books.books.fault(`unfound: ${what}, and did not find ${missing}`);
    else if (key !== '' && fromTime === 0 && toTime === 0 && limit === ALL && this.quiet) this.unfound.delete(key);
  }

  /** What should have been found, was not, and would have been before the limit. */
  private missing({ key, fromTime, toTime, limit, kept }: Asked, { matches, oldest }: Found): string | undefined {
    const places = new Set(matches.map(({ partition, offset }) => `${partition}:${offset}`));
    const last = matches.length === limit ? matches.at(-1) : undefined;
    for (const one of kept) {
      const { partition, offset } = one;
      const known = this.known(one);
      if (known === undefined || !one.isKept() || offset < (oldest.get(partition) ?? 0)) continue;
      if (key !== '' ? known.key !== key : !this.isInTime(partition)) continue;
      if (known.storedAt < fromTime || (toTime > 0 && known.storedAt >= toTime)) continue;
      if (last && compareAge({ ...known, partition, offset }, last) > 0) continue;
      if (!places.has(`${partition}:${offset}`)) return `${one.name} at ${partition}:${offset}`;
    }
    return undefined;
  }

  /** Nobody has set the clock back while the partition was written: what is sought by time alone stands in order. */
  private isInTime(partition: number): boolean {
    const list = this.view.get(partition) ?? [];
    let before = 0;
    for (const one of list) {
      if (one === undefined) continue;
      if (one.storedAt < before) return false;
      before = one.storedAt;
    }
    return true;
  }
}

type Found0 = Partial<Seen> & Pick<QueryMatch, 'partition' | 'offset' | 'epoch'>;

function foundOf({ partition, offset, epoch, storedAt, key = '', body }: Message): Found0 {
  const name = nameOf(body);
  return { partition, offset, epoch, storedAt, key, name: name ? idOf(name) : '?' };
}

function seenOf(text: TextMessage): Pick<Seen, 'name' | 'key' | 'storedAt'> {
  const name = nameOf(bodyOfText(text));
  return { name: name ? idOf(name) : '?', key: text.key ?? '', storedAt: text.storedAt };
}

type Aged = Pick<QueryMatch, 'partition' | 'offset' | 'storedAt'>;

function compareAge(a: Aged, b: Aged): number {
  return a.storedAt - b.storedAt || a.partition - b.partition || a.offset - b.offset;
}
