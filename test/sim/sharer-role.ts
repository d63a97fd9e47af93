// Members of one broadcasting group: each is given everything from where it begins, and a member that begins does so
// where the group was: nowhere that no member has been, and not before what a commit of theirs was answered for.
import type { Connection, Consumer } from '../../src/client/connection.ts';
import { type MessageName, nameOf } from '../../torture/message.ts';
import type { Books } from './books.ts';
import type { BulkContext } from './bulk-roles.ts';
import { Role } from './roles.ts';

const GROUP = 'sharers';
const COMMIT_MS = 50;

interface Seen {
  readonly offset: number;
  readonly name: MessageName | undefined;
}

/** What is known of the group. */
export class ShareBook {
  private readonly books: Books;
  readonly topic: string;
  /** By partition: behind the last one that a member was given, since a crash took something back. */
  private readonly furthest = new Map<number, number>();
  /** By partition: where a commit was answered last. */
  private readonly committed = new Map<number, number>();
  private starts = 0;
  private readonly members: SharerView[] = [];

  constructor(books: Books, topic: string) {
    this.books = books;
    this.topic = topic;
  }

  member(name: string): SharerView {
    const view = new SharerView(name, this.books, this);
    this.members.push(view);
    return view;
  }

  given(partition: number, next: number): void {
    this.furthest.set(partition, Math.max(next, this.furthest.get(partition) ?? 0));
  }

  kept(partition: number, offset: number): void {
    this.forgetOld();
    this.committed.set(partition, offset);
  }

  /** A member begins. */
  begins(name: string, partition: number, offset: number): void {
    this.forgetOld();
    const most = this.furthest.get(partition) ?? 0;
    if (offset > most && !this.books.expires) {
      this.books.fault(`shared: ${name} begins at ${this.topic}/${partition}:${offset}, nobody was beyond ${most}`);
    }
  }

  /** A crash may take back what was given and what was committed. */
  private forgetOld(): void {
    if (this.starts === this.books.starts) return;
    this.starts = this.books.starts;
    this.committed.clear();
  }

  committedAt(partition: number): number {
    this.forgetOld();
    return this.committed.get(partition) ?? 0;
  }

  waitsFor(): string | undefined {
    for (const one of this.members) {
      const what = one.waitsFor();
      if (what !== undefined) return what;
    }
    return undefined;
  }

  judge(): string[] {
    return this.members.flatMap((one) => one.judge());
  }
}

/** What one member was given in its present life, by partition. */
export class SharerView {
  readonly name: string;
  private readonly books: Books;
  readonly group: ShareBook;
  private readonly seen = new Map<number, Seen[]>();

  constructor(name: string, books: Books, group: ShareBook) {
    this.name = name;
    this.books = books;
    this.group = group;
  }

  restarts(): void {
    this.seen.clear();
  }

  given(partition: number, offset: number, name: MessageName | undefined): void {
    const list = this.seen.get(partition) ?? [];
    this.seen.set(partition, list);
    const next = list.length === 0 ? offset : list[list.length - 1].offset + 1;
    this.books.world.trace.add(`${this.name} gets ${partition}:${offset}`);
    if (offset !== next) this.books.fault(`${this.name} was given ${partition}:${offset}, expected ${next}`);
    list.push({ offset, name });
    this.group.given(partition, offset + 1);
  }

  gap(partition: number, from: number, to: number, reason: string): void {
    this.books.world.trace.add(`${this.name} gap ${partition} ${from}-${to} ${reason}`);
    const isTold = reason === 'epoch-changed' || (reason === 'expired' && this.books.expires);
    if (!isTold) this.books.fault(`${this.name}: gap ${partition} from ${from} to ${to} (${reason})`);
    const list = this.seen.get(partition);
    if (list)
      this.seen.set(partition, reason === 'expired' ? [] : list.filter(({ offset }) => offset < Math.min(from, to)));
  }

  /** It must have the end of what the log has. */
  waitsFor(): string | undefined {
    for (const [partition, list] of this.seen) {
      const place = `${this.group.topic}/${partition}`;
      const next = (list.at(-1)?.offset ?? -1) + 1;
      if (list.length > 0 && next < this.books.audit.next(place)) return `${this.name} is at ${place}:${next}`;
    }
    return undefined;
  }

  judge(): string[] {
    const found: string[] = [];
    for (const [partition, list] of this.seen) {
      const log = this.books.audit.views.get(`${this.group.topic}/${partition}`);
      for (const { offset, name } of list) {
        const there = log && offset >= log.first ? log.ids[offset - log.first] : name;
        if (there?.producer === name?.producer && there?.sequence === name?.sequence) continue;
        found.push(`shared: ${this.name} was given ${name?.producer}:${name?.sequence} at ${partition}:${offset}`);
      }
    }
    return found;
  }
}

export class Sharer extends Role {
  private readonly view: SharerView;
  private readonly topic: string;
  private consumer: Consumer | undefined;

  constructor(context: BulkContext, book: ShareBook) {
    super(context);
    this.topic = context.topic;
    this.view = book.member(context.name);
  }

  protected started(connection: Connection): void {
    const { view } = this;
    view.restarts();
    const committed = [0, 1, 2, 3].map((partition) => view.group.committedAt(partition));
    const consumer = connection.consumer(this.topic, {
      group: GROUP,
      mode: 'broadcasting',
      from: 'earliest',
      commitMs: COMMIT_MS,
      onMessage: ({ partition, offset, body }) => view.given(partition, offset, nameOf(body)),
      onGap: ({ partition, from, to, reason }) => view.gap(partition, from, to, reason),
      onError: this.heard,
    });
    this.consumer = consumer;
    const { starts } = this.context.books.books;
    this.follow(
      consumer.ready(),
      (positions) => {
        for (const { partition, offset } of positions) {
          view.group.begins(view.name, partition, offset);
          const least = committed[partition];
          const isSame = starts === this.context.books.books.starts && !this.context.books.books.expires;
          if (isSame && offset < least) {
            const text = `shared: ${view.name} begins at ${this.topic}/${partition}:${offset}`;
            this.context.books.books.fault(`${text}, the group had committed ${least}`);
          }
        }
      },
      (code) => this.unexpected('ready', code),
    );
  }

  turn(): void {
    const { world } = this.context;
    const { consumer, view } = this;
    if (!consumer || this.quiet || this.underWay > 0 || world.random(40) > 0) return;
    const positions = consumer.positions();
    this.follow(
      consumer.commit(),
      () => {
        for (const { partition, offset } of positions) view.group.kept(partition, offset);
      },
      (code) => this.unexpected('a commit', code),
    );
  }

  override died(): void {
    super.died();
    this.consumer = undefined;
  }
}
