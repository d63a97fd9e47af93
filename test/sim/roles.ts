// What applications of a simulated run do with messaging: a role is played on a connection, again in every life of its
// thread. What it is told goes into the books.
import { RingmqError } from '../../src/base/codes.ts';
import type { Connection, MessageExtras } from '../../src/client/connection.ts';
import type { MessageName } from '../../torture/message.ts';
import { bodyOf } from '../../torture/message.ts';
import type { About } from './messages.ts';
import type { MessagingBooks } from './messaging-books.ts';
import type { TraceBook } from './trace-book.ts';
import type { World } from './world.ts';

const BODY_MAX_BYTES = 1_200;
const KEYS = 6;
const TAGS = ['red', 'green', 'blue', undefined] as const;
const PRIORITIES = 10;
const NUMBERS = 10;
/** What a call may fail with while everything around it fails: nothing is promised then. */
const MAY_FAIL = new Set([
  'timeout',
  'connection-lost',
  'closed',
  'out-of-order',
  'outcome-unknown',
  'broker-unavailable',
  'coordinator-unavailable',
  'disk-full',
  'store-failed',
  'shutting-down',
  'busy',
  'route-stale',
  'buffer-full',
  'ring-full',
  'hello-timeout',
  'stale-generation',
  'stale-lease',
  'unknown-group',
  'handler-failed',
  'offset-out-of-range',
]);

/** A handler that was told to fail. */
export class HandlerFailed extends Error {
  override readonly name = 'HandlerFailed';
}

export interface RoleContext {
  readonly name: string;
  readonly world: World;
  readonly books: MessagingBooks;
  /** Producers never have the same number twice. */
  readonly nextProducer: () => number;
  /** Messages have tags, properties and priorities. */
  readonly varied?: boolean;
  /** What happens is traced, and noted for that. */
  readonly trace?: TraceBook | undefined;
}

interface NewMessage {
  readonly name: MessageName;
  readonly body: Uint8Array;
  readonly about: About;
  readonly extras: MessageExtras;
}

export abstract class Role {
  /** True: it begins nothing new, and everything goes well. */
  quiet = false;
  protected readonly context: RoleContext;
  protected connection: Connection | undefined;
  private producer = -1;
  private sequence = 0;
  private pending = 0;
  /** Calls that only read. */
  protected lookUps = 0;
  private life = 0;

  constructor(context: RoleContext) {
    this.context = context;
  }

  get name(): string {
    return this.context.name;
  }

  /** Calls whose outcome is not known. */
  get underWay(): number {
    return this.pending;
  }

  /** Its thread has begun (again). To be called in a turn of it. */
  begin(connection: Connection): void {
    this.connection = connection;
    this.renew();
    this.life++;
    this.started(connection, `${this.context.name}.${this.life}`);
  }

  /** What it sends from now on has no order with what it sent before. */
  protected renew(): void {
    this.producer = this.context.nextProducer();
    this.sequence = 0;
  }

  /** Its thread has died. */
  died(): void {
    this.connection = undefined;
    this.pending = 0;
    this.lookUps = 0;
    this.life++;
  }

  /** Now and then, in a turn of its thread. */
  abstract turn(): void;

  protected abstract started(connection: Connection, member: string): void;

  /** A message that was never sent. */
  protected newMessage(): NewMessage {
    const { world, varied } = this.context;
    let body = bodyOf(this.producer, this.sequence);
    while (body.length > BODY_MAX_BYTES) body = bodyOf(this.producer, ++this.sequence);
    const name = { producer: this.producer, sequence: this.sequence++ };
    const key = world.chance(60) ? `key-${name.sequence % KEYS}` : undefined;
    if (!varied) return { name, body, about: { key }, extras: { key } };
    const tag = TAGS[world.random(TAGS.length)];
    const n = world.chance(70) ? world.random(NUMBERS) : undefined;
    const priority = world.chance(50) ? world.random(PRIORITIES) : undefined;
    const properties = n === undefined ? undefined : { n: String(n) };
    return { name, body, about: { key, tag, n, priority }, extras: { key, tag, priority, properties } };
  }

  /** Tells what becomes of a call, unless the thread has died meanwhile. `counts`: nothing may end before it does. */
  protected follow<T>(
    call: PromiseLike<T>,
    done: (result: T) => void,
    failed: (code: string) => void,
    counts = true,
  ): void {
    const { life } = this;
    if (counts) this.pending++;
    else this.lookUps++;
    const isOver = (): boolean => {
      if (life !== this.life) return true;
      if (counts) this.pending--;
      else this.lookUps--;
      return false;
    };
    call.then(
      (result) => {
        if (!isOver()) done(result);
      },
      (error: unknown) => {
        if (!isOver()) failed(this.codeOf(error));
      },
    );
  }

  /** What goes wrong in the background. */
  protected readonly heard = (error: Error): void => {
    if (error instanceof HandlerFailed) return;
    const code = this.codeOf(error);
    if (!MAY_FAIL.has(code)) this.context.books.books.fault(`${this.context.name}: ${String(error)}`);
  };

  /** Refusals that have a meaning of their own are dealt with by who asked. */
  protected unexpected(what: string, code: string): void {
    if (!MAY_FAIL.has(code)) this.context.books.books.fault(`${this.context.name}: ${what} failed with ${code}`);
  }

  private codeOf(error: unknown): string {
    const { world, name } = this.context;
    const code = error instanceof RingmqError ? error.code : 'no RingmqError';
    world.trace.add(`${name} hears ${String(error)}`);
    return code === 'no RingmqError' ? String(error) : code;
  }
}
