// Clients without ringmq's library: a bare WebSocket of the readable protocol, and plain HTTP. What they publish has no
// identity: nothing is sent twice. What they read goes into the books of all plain consumers.
import { type MessageName, nameOf } from '../../torture/message.ts';
import type { Books, ConsumerBook, Level } from './books.ts';
import { BUSY, type BulkContext, PullPlaces } from './bulk-roles.ts';
import type { Network, TextWire } from './network.ts';
import { Role } from './roles.ts';

const LEVELS: readonly Level[] = ['durable', 'written', 'accepted'];
const MESSAGES_MAX = 5;
const UNDER_WAY_MAX = 4;
const BACK_MAX_MS = 200;
const PULL_MAX = 16;
const PULL_WAIT_MAX_MS = 300;

/** What the broker says in the readable protocol, as far as it is read here. */
interface Said {
  readonly op: string;
  readonly id?: number;
  readonly code?: string;
  readonly text?: string;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  readonly count: number;
  readonly body?: string;
  readonly bodyBase64?: string;
  readonly from: number;
  readonly to: number;
  readonly reason: 'expired' | 'epoch-changed';
  readonly partitions: readonly { partition: number; epoch: number; offset: number; gapFrom?: number }[];
}

interface Publication {
  readonly names: readonly MessageName[];
  readonly level: Level;
  readonly done: (acked: { readonly partition: number; readonly offset: number } | undefined) => void;
}

abstract class TextRole extends Role {
  protected readonly network: Network;
  protected readonly topic: string;
  protected readonly partitions: number;

  constructor(context: BulkContext, network: Network) {
    super(context);
    this.network = network;
    this.topic = context.topic;
    this.partitions = context.partitions;
  }

  protected get plain(): Books {
    return this.context.books.books;
  }

  /** A few messages with one key: they lie side by side. */
  protected some(): { readonly names: MessageName[]; readonly messages: object[]; readonly level: Level } {
    const { world } = this.context;
    const names: MessageName[] = [];
    const messages: object[] = [];
    const key = `key-${world.random(PULL_MAX)}`;
    const level = LEVELS[world.random(LEVELS.length)];
    for (let i = world.random(MESSAGES_MAX); i >= 0; i--) {
      const { name, body } = this.newMessage();
      this.plain.sending(name);
      names.push(name);
      messages.push({ key, bodyBase64: Buffer.from(body).toString('base64') });
    }
    return { names, messages, level };
  }

  protected place(partition: number): string {
    return `${this.topic}/${partition}`;
  }
}

/** Publishes and subscribes over a bare WebSocket. */
export class JsonClient extends TextRole {
  private readonly book: ConsumerBook;
  private wire: TextWire | undefined;
  private readonly positions = new Map<number, { partition: number; epoch: number; offset: number }>();
  private readonly published = new Map<number, Publication>();
  private ids = 0;

  constructor(context: BulkContext, network: Network) {
    super(context, network);
    this.book = this.plain.consumer(context.name, context.topic);
  }

  protected started(): void {
    this.open();
  }

  turn(): void {
    const { world } = this.context;
    const { wire, topic } = this;
    if (this.quiet || wire === undefined || this.underWay >= UNDER_WAY_MAX || !world.chance(25)) return;
    const { names, messages, level } = this.some();
    const id = ++this.ids;
    const acked = new Promise<{ readonly partition: number; readonly offset: number } | undefined>((done) => {
      this.published.set(id, { names, level, done });
    });
    wire.send(JSON.stringify({ op: 'publish', topic, id, ack: level, messages }));
    this.follow(
      acked,
      (at) => {
        if (at === undefined) return;
        names.forEach((name, i) => {
          this.plain.acknowledged(name, level, this.place(at.partition), at.offset + i);
        });
      },
      () => {},
    );
  }

  private open(): void {
    const { world } = this.context;
    const wire = this.network.openText({
      opened: () => {
        this.wire = wire;
        this.subscribe(wire);
      },
      text: (text) => this.hear(JSON.parse(text) as Said),
      ended: () => {
        this.wire = undefined;
        // Whether they were stored nobody knows.
        for (const one of this.published.values()) one.done(undefined);
        this.published.clear();
        this.renew();
        setTimeout(() => this.open(), 1 + world.random(BACK_MAX_MS));
      },
    });
  }

  private subscribe(wire: TextWire): void {
    const positions = [...this.positions.values()];
    const from = positions.length === 0 ? 'earliest' : { positions };
    wire.send(JSON.stringify({ op: 'subscribe', topic: this.topic, from, id: 0 }));
  }

  private subscribeAgain(): void {
    const { wire } = this;
    setTimeout(() => {
      if (wire !== undefined && this.wire === wire) this.subscribe(wire);
    }, BACK_MAX_MS);
  }

  private hear(said: Said): void {
    const { op, id = 0, partition, epoch, offset } = said;
    if (op === 'message') {
      const body =
        said.bodyBase64 === undefined ? Buffer.from(said.body ?? '') : Buffer.from(said.bodyBase64, 'base64');
      this.book.delivered(this.place(partition), offset, nameOf(body));
      this.positions.set(partition, { partition, epoch, offset: offset + 1 });
    } else if (op === 'gap') this.gap(said);
    else if (op === 'subscribed') this.begins(said);
    else if (op === 'ack') this.acked(id, said);
    else if (op === 'error') this.refused(id, said);
    else if (op !== 'route-changed') this.plain.fault(`${this.context.name} was told ${op}`);
  }

  private gap({ partition, epoch, from, to, reason }: Said): void {
    this.book.gap({ topic: this.topic, partition, from, to, reason });
    this.positions.set(partition, { partition, epoch, offset: to });
  }

  private begins({ partitions }: Said): void {
    for (const { partition, epoch, offset, gapFrom } of partitions) {
      const before = this.positions.get(partition);
      if (gapFrom !== undefined && before) {
        const reason = gapFrom < offset ? 'expired' : 'epoch-changed';
        this.book.gap({ topic: this.topic, partition, from: gapFrom, to: offset, reason });
      } else if (before && before.offset !== offset) {
        this.plain.fault(`${this.context.name} subscribed at ${before.offset} and begins at ${offset}, without a gap`);
      }
      this.positions.set(partition, { partition, epoch, offset });
    }
  }

  private acked(id: number, { partition, offset, count }: Said): void {
    const one = this.published.get(id);
    this.published.delete(id);
    if (one?.names.length !== count) {
      this.plain.fault(`${this.context.name}: ${count} messages acknowledged of ${one?.names.length}`);
    }
    one?.done({ partition, offset });
  }

  private refused(id: number, { code = '', text }: Said): void {
    this.context.world.trace.add(`${this.context.name} hears ${code} ${text}`);
    const one = this.published.get(id);
    this.published.delete(id);
    this.unexpected(one ? 'a publish' : 'the subscription', code);
    if (one) one.done(undefined);
    else this.subscribeAgain();
  }
}

interface Answer {
  readonly error?: { readonly code: string };
  readonly acks: readonly { readonly partition: number; readonly offset: number }[];
  readonly epoch: number;
  readonly nextOffset: number;
  readonly gap: boolean;
  readonly messages: readonly { readonly offset: number; readonly body?: string; readonly bodyBase64?: string }[];
}

/** Publishes and pulls over HTTP. */
export class HttpClient extends TextRole {
  private readonly places: PullPlaces;

  constructor(context: BulkContext, network: Network) {
    super(context, network);
    this.places = new PullPlaces(context.name, context.topic, this.plain);
  }

  protected started(): void {}

  turn(): void {
    const { world } = this.context;
    if (!this.connection || this.underWay + this.lookUps > 0 || !(this.quiet || world.chance(30))) return;
    if (this.quiet || world.chance(60)) this.pull();
    else this.publish();
  }

  private publish(): void {
    const { names, messages, level } = this.some();
    this.follow(
      this.ask('POST', `ack=${level}`, JSON.stringify({ messages })),
      ({ error, acks }) => {
        if (error) {
          this.unexpected('a POST', error.code);
          this.renew();
          return;
        }
        if (acks.length !== names.length) this.plain.fault(`${acks.length} acks for ${names.length} messages`);
        acks.forEach(({ partition, offset }, i) => {
          this.plain.acknowledged(names[i], level, this.place(partition), offset);
        });
      },
      () => this.renew(),
    );
  }

  private pull(): void {
    const { world } = this.context;
    const partition = world.random(this.partitions);
    const at = this.places.of(partition);
    const from = at ? `offset=${at.offset}&epoch=${at.epoch}` : 'from=earliest';
    const how = this.quiet ? 'max=100' : `max=${1 + world.random(PULL_MAX)}&wait=${world.random(PULL_WAIT_MAX_MS)}`;
    this.follow(
      this.ask('GET', `partition=${partition}&${from}&${how}`),
      ({ error, messages, ...rest }) => {
        if (error) {
          if (error.code !== BUSY) this.unexpected('a GET', error.code);
          return;
        }
        const bodies = messages.map(({ offset, body = '', bodyBase64 }) => {
          return { offset, body: bodyBase64 === undefined ? Buffer.from(body) : Buffer.from(bodyBase64, 'base64') };
        });
        this.places.pulled(partition, { ...rest, messages: bodies });
      },
      () => {},
      false,
    );
  }

  private async ask(method: string, query: string, body = ''): Promise<Answer> {
    const headers: Readonly<Record<string, string>> = { host: 'localhost', 'content-type': 'application/json' };
    const response = await this.network.request({
      method,
      query,
      path: `/api/topics/${this.topic}/messages`,
      remoteAddress: 'sim',
      header: (name) => headers[name] ?? '',
      body: new TextEncoder().encode(body),
      signal: new AbortController().signal,
    });
    return JSON.parse(response.body as string) as Answer;
  }
}
