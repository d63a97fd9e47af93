// What the applications of a simulated run were told, and the judgement over it. The judge is the torture's checker,
// which shares no code with the broker; here stands what only a simulation knows: which acks which crash may take back,
// what retention was allowed to take, and what a recovery found at once.
import type { Gap } from '../../src/client/connection.ts';
import type { RecoveredQueue } from '../../src/log/run.ts';
import { Checker } from '../../torture/checker.ts';
import type { MessageName } from '../../torture/message.ts';
import type { World } from './world.ts';

/** `none`: a crash was allowed to take it. */
export type Level = 'none' | 'accepted' | 'written' | 'durable';

interface Acked {
  readonly name: MessageName;
  readonly place: string;
  readonly offset: number;
  level: Level;
}

/** What is in the log for certain, for as long as no crash may take it back. */
export interface Kept {
  readonly name: string;
  readonly partition: number;
  readonly offset: number;
  readonly isKept: () => boolean;
}

/** One consumer's view of one partition, over all its lives. */
interface View {
  first: number;
  readonly ids: (MessageName | undefined)[];
}

/** What one consumer was given. */
export class ConsumerBook {
  readonly name: string;
  /** Undefined: all of them. */
  readonly topic: string | undefined;
  readonly views = new Map<string, View>();
  private readonly books: Books;
  /** Where it goes on, it may go back to what its group had committed: once. */
  private rewinds = new Set<string>();

  constructor(name: string, topic: string | undefined, books: Books) {
    this.name = name;
    this.topic = topic;
    this.books = books;
  }

  delivered(place: string, offset: number, name: MessageName | undefined): void {
    this.books.world.trace.add(`${this.name} gets ${place}:${offset} ${idOf(name)}`);
    this.books.deliveredCount++;
    if (this.rewinds.delete(place)) this.goBack(place, offset);
    const view = this.views.get(place) ?? { first: offset, ids: [] };
    this.views.set(place, view);
    const next = view.first + view.ids.length;
    if (offset !== next) {
      this.books.fault(`${this.name} was given ${place}:${offset}, expected ${next}`);
      view.first = offset;
      view.ids.length = 0;
    }
    view.ids.push(name);
  }

  gap({ topic, partition, from, to, reason }: Gap): void {
    const place = `${topic}/${partition}`;
    this.books.world.trace.add(`${this.name} gap ${place} ${from}-${to} ${reason}`);
    if (this.rewinds.delete(place)) this.goBack(place, Math.min(from, to));
    if (reason === 'epoch-changed') this.goBack(place, to);
    else if (reason === 'expired' && this.books.expires) {
      // It may begin where a crash took it back to, when retention has passed that place already.
      this.goBack(place, from);
      this.goOn(place, to);
    } else this.books.fault(`${this.name}: gap ${place} from ${from} to ${to} (${reason})`);
  }

  /**
   * What it was given began at `to`, and its answer said that something was gone. `crashed`: the broker was started
   * again since it was here last.
   */
  jumps(place: string, to: number, crashed: boolean): void {
    this.books.world.trace.add(`${this.name} goes on at ${place}:${to}`);
    if (to < this.next(place) && crashed) this.goBack(place, to);
    else if (this.books.expires && to > this.next(place)) this.goOn(place, to);
    else if (to !== this.next(place)) this.books.fault(`${this.name} went from ${place}:${this.next(place)} to ${to}`);
  }

  /** Its group kept where it was, and that may be a little behind. */
  restarts(): void {
    this.rewinds = new Set(this.views.keys());
  }

  next(place: string): number {
    const view = this.views.get(place);
    return view ? view.first + view.ids.length : 0;
  }

  /** What stood from an offset on is taken back, or comes again. */
  private goBack(place: string, offset: number): void {
    const view = this.views.get(place);
    if (!view) return;
    if (offset < view.first) this.views.delete(place);
    else if (offset < view.first + view.ids.length) view.ids.length = offset - view.first;
  }

  private goOn(place: string, offset: number): void {
    if (offset > this.next(place)) this.views.set(place, { first: offset, ids: [] });
  }
}

export class Books {
  readonly world: World;
  /** Retention may take messages. */
  expires: boolean;
  readonly faults: string[] = [];
  readonly consumers: ConsumerBook[] = [];
  /** The whole log in the order of offsets, as a reader got it in the end. */
  readonly audit: ConsumerBook;
  sentCount = 0;
  deliveredCount = 0;
  readonly refused = new Map<string, number>();
  /** So often the broker was started. */
  starts = 0;
  private readonly sent: MessageName[] = [];
  private readonly acked: Acked[] = [];

  constructor(world: World, expires: boolean) {
    this.world = world;
    this.expires = expires;
    this.audit = new ConsumerBook('audit', undefined, this);
  }

  consumer(application: string, topic: string): ConsumerBook {
    const book = new ConsumerBook(`${application}-${topic}`, topic, this);
    this.consumers.push(book);
    return book;
  }

  get ackedCount(): number {
    return this.acked.length;
  }

  fault(text: string): void {
    this.world.trace.add(`FAULT ${text}`);
    this.faults.push(text);
  }

  sending(name: MessageName): void {
    this.sent.push(name);
    this.sentCount++;
  }

  acknowledged(name: MessageName, level: Level, place: string, offset: number): void {
    this.world.trace.add(`ack ${idOf(name)} ${level} ${place}:${offset}`);
    this.acked.push({ name, place, offset, level });
  }

  /** What of a topic is known to be in its log. */
  kept(topic: string): readonly Kept[] {
    const isKept = ({ level, offset }: Acked): boolean => offset >= 0 && (level === 'written' || level === 'durable');
    const there = this.acked.filter((one) => isKept(one) && one.place.startsWith(`${topic}/`));
    return there.map((one) => {
      const partition = Number(one.place.slice(topic.length + 1));
      return { name: idOf(one.name), partition, offset: one.offset, isKept: () => isKept(one) };
    });
  }

  /** The process was killed, or the power was lost. */
  crashed(power: boolean): void {
    for (const one of this.acked) {
      if (one.level === 'accepted' || (power && one.level === 'written')) one.level = 'none';
    }
  }

  /** An orderly stop keeps everything that was accepted. */
  stopped(): void {
    for (const one of this.acked) if (one.level !== 'none') one.level = 'durable';
  }

  /** A recovery has just found this: everything that must be there is below the ends. */
  recovered(queues: readonly RecoveredQueue[], topicNames: ReadonlyMap<number, string>): void {
    this.starts++;
    const ends = new Map(
      queues.map((one) => [`${topicNames.get(one.topicId) ?? one.topicId}/${one.partition}`, one.nextOffset]),
    );
    for (const { name, place, offset, level } of this.acked) {
      if (level === 'none' || offset < 0 || (this.expires && !ends.has(place))) continue;
      if (offset >= (ends.get(place) ?? 0)) {
        this.fault(`recovery lost ${idOf(name)} (${level}) at ${place}:${offset}, it found ${ends.get(place)}`);
      }
    }
  }

  /** Everything that contradicts a promise. */
  judge(): string[] {
    const checker = new Checker();
    for (const name of this.sent) checker.sending(name);
    for (const { name, place, offset, level } of this.acked) {
      // Where nothing is left, or it is not known where the message was, nobody can tell what retention took.
      const isExpired = this.expires && offset < (this.audit.views.get(place)?.first ?? Number.POSITIVE_INFINITY);
      checker.acknowledged(name, isExpired ? 'accepted' : level, place, isExpired ? -1 : offset);
    }
    for (const [place, { first, ids }] of this.audit.views) {
      if (first > 0 && !this.expires) this.fault(`the log of ${place} begins at ${first}`);
      ids.forEach((name, i) => {
        checker.stored(place, first + i, name);
      });
    }
    for (const consumer of this.consumers) {
      for (const [place, { first, ids }] of consumer.views) {
        ids.forEach((name, i) => {
          checker.delivered(consumer.name, place, first + i, name);
        });
      }
    }
    checker.finish();
    return [...this.faults, ...checker.anomalies.map(({ kind, text }) => `${kind}: ${text}`)];
  }
}

function idOf(name: MessageName | undefined): string {
  return name ? `${name.producer}:${name.sequence}` : '?';
}
