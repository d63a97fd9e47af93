// Who asks and who answers. A request is answered with what somebody has answered to it, once, or ends in time: also
// when its session, the one who answers, or the broker ends in between.
import type { Connection } from '../../src/client/connection.ts';
import type { Message } from '../../src/client/message.ts';
import { nameOf } from '../../torture/message.ts';
import { idOf } from './messages.ts';
import { Role, type RoleContext } from './roles.ts';
import type { World } from './world.ts';

const TOPIC = 'asks';
const GROUP = 'answerers';
const UNDER_WAY_MAX = 6;
/** A thread may be without a turn for so long. */
const LATE_MS = 5_000;
const QUIET_TIMEOUT_MS = 4_000;
/** Whoever has asked has gone. */
const GONE = 'unknown-topic';

/** What is known of requests: see Besides. */
export class AskBook {
  private readonly world: World;
  private readonly fault: (text: string) => void;
  /** By request: what was answered to it. */
  private readonly answers = new Map<string, Set<string>>();
  /** Those who have had no answer since all is well. */
  readonly waiting = new Set<string>();
  answeredCount = 0;

  constructor(world: World, fault: (text: string) => void) {
    this.world = world;
    this.fault = fault;
  }

  asking(id: string): void {
    this.world.trace.add(`asks ${id}`);
    this.answers.set(id, new Set());
  }

  /** The text of an answer. */
  answering(id: string | undefined, who: string): string {
    const answers = id === undefined ? undefined : this.answers.get(id);
    if (answers === undefined) this.fault(`asked: ${who} was asked ${id}, which nobody did`);
    const text = `${id} by ${who}, #${answers?.size}`;
    answers?.add(text);
    this.world.trace.add(`answers ${text}`);
    return text;
  }

  answered(id: string, text: string): void {
    this.world.trace.add(`answered ${id}: ${text}`);
    this.answeredCount++;
    if (this.answers.get(id)?.has(text) !== true) this.fault(`answered: the request ${id} was answered ${text}`);
  }

  /** It has ended, one way or the other. */
  over(id: string, tookMs: number, timeoutMs: number): void {
    if (tookMs > timeoutMs + LATE_MS) this.fault(`waited: the request ${id} took ${tookMs} of ${timeoutMs} ms`);
  }

  waitsFor(): string | undefined {
    const [one] = this.waiting;
    return one && `${one} has had no answer`;
  }
}

export class Asker extends Role {
  private readonly book: AskBook;

  constructor(context: RoleContext, book: AskBook) {
    super(context);
    this.book = book;
    book.waiting.add(context.name);
  }

  protected started(): void {}

  turn(): void {
    const { world, name } = this.context;
    const { connection, book } = this;
    const most = this.quiet ? 1 : UNDER_WAY_MAX;
    if (!connection || this.underWay >= most || world.random(this.quiet ? 20 : 3) > 0) return;
    // One in quiet is enough.
    const { quiet } = this;
    if (quiet && !book.waiting.has(name)) return;
    const { name: message, body, extras } = this.newMessage();
    const id = idOf(message);
    const timeoutMs = quiet ? QUIET_TIMEOUT_MS : 50 + world.random(2_000);
    const since = world.nowMs;
    book.asking(id);
    this.follow(
      connection.request(TOPIC, body, { ...extras, timeoutMs }),
      (reply) => {
        book.over(id, world.nowMs - since, timeoutMs);
        book.answered(id, reply.text());
        if (quiet) book.waiting.delete(name);
      },
      (code) => {
        book.over(id, world.nowMs - since, timeoutMs);
        // Its reply topic could not be made: entries of those that a full disk refused are free again after a while.
        if (code !== 'partition-quota') this.unexpected('a request', code);
      },
    );
  }
}

/** A member of the group that answers, or somebody who reads along and answers, too. */
export class Answerer extends Role {
  private readonly book: AskBook;

  constructor(context: RoleContext, book: AskBook) {
    super(context);
    this.book = book;
  }

  protected started(connection: Connection, member: string): void {
    const { world } = this.context;
    const how = world.chance(70)
      ? ({ group: GROUP, order: 'none', from: 'earliest' } as const)
      : { from: 'latest' as const };
    connection.consumer(TOPIC, {
      ...how,
      onMessage: (message) => this.handle(connection, message, member),
      // What came while nobody was there may be gone: who asked has been told that nobody answered.
      onGap: () => {},
      onError: this.heard,
    });
  }

  turn(): void {}

  private async handle(connection: Connection, message: Message, member: string): Promise<void> {
    const { world, books } = this.context;
    const name = nameOf(message.body);
    if (!this.quiet && world.chance(15)) return;
    await new Promise((resolve) => setTimeout(resolve, world.random(world.chance(10) ? 2_000 : 40)));
    if (this.connection !== connection) return;
    const text = this.book.answering(name && idOf(name), member);
    try {
      await message.reply(text);
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code !== GONE) this.heard(error as Error);
      else books.tick(`${member} answers nobody`);
    }
  }
}
