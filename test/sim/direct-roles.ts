// Threads of the broker's process that write partitions of their own, and those who read them. What was acknowledged
// was written once, where its receipt says, in order; whoever has begun to read a partition is given all of it, also
// after its writer has closed it, or has died.
import type { Connection } from '../../src/client/connection.ts';
import type { DirectProducer } from '../../src/client/direct-producer.ts';
import { InProcessConnection } from '../../src/client/in-process.ts';
import { type MessageName, nameOf } from '../../torture/message.ts';
import { Role, type RoleContext } from './roles.ts';
import type { World } from './world.ts';

export const DIRECT_TOPIC = 'direct';
const BURST_MAX = 8;
const UNDER_WAY_MAX = 24;
const AGAIN_MS = 200;
/** Turns of a writer between two ends of its partition, about. */
const CLOSE_TURNS = 150;
/** No entry, or not yet: those of closed ones are free again after a while. */
const NO_ROOM = ['partition-quota', 'memory-quota'];

/** A partition, by who writes it. */
interface Written {
  /** Sequences in the order in which they were sent. */
  readonly sent: number[];
  /** By sequence: where it is said to be. */
  readonly places: Map<number, string>;
  /** Index behind the last one that was acknowledged. */
  ackedTo: number;
}

export class DirectBook {
  private readonly world: World;
  private readonly fault: (text: string) => void;
  private readonly written = new Map<number, Written>();
  readonly readers: DirectReader[] = [];
  readCount = 0;

  constructor(world: World, fault: (text: string) => void) {
    this.world = world;
    this.fault = fault;
  }

  sending({ producer, sequence }: MessageName): void {
    this.of(producer).sent.push(sequence);
  }

  acknowledged({ producer, sequence }: MessageName, place: string): void {
    const one = this.of(producer);
    this.world.trace.add(`direct ${producer}:${sequence} is at ${place}`);
    one.places.set(sequence, place);
    one.ackedTo = Math.max(one.ackedTo, one.sent.indexOf(sequence) + 1);
  }

  /**
   * `before`: index of the last one that the reader was given of this writer; -1: none. Returns the index of this one.
   */
  given(reader: string, name: MessageName | undefined, place: string, before: number): number {
    this.readCount++;
    const one = name && this.written.get(name.producer);
    const what = `direct: ${reader} was given ${name?.producer}:${name?.sequence} at ${place}`;
    this.world.trace.add(what);
    const index = one && name ? one.sent.indexOf(name.sequence) : -1;
    if (one === undefined || index < 0) {
      this.fault(`${what}, which nobody sent`);
      return before;
    }
    const said = one.places.get(one.sent[index]);
    if (said !== undefined && said !== place) this.fault(`${what}, its receipt says ${said}`);
    if (index <= before) this.fault(`${what}, #${index} after #${before}`);
    // Those between them may have been refused.
    for (let i = before + 1; before >= 0 && i < index; i++) {
      if (one.places.has(one.sent[i])) this.fault(`${what}, without ${name?.producer}:${one.sent[i]} before it`);
    }
    return index;
  }

  /** What a reader has to get still, that had some of a writer's. */
  leftOf(producer: number, index: number): boolean {
    return index + 1 < this.of(producer).ackedTo;
  }

  waitsFor(): string | undefined {
    return this.readers.map((one) => one.waitsFor()).find((what) => what !== undefined);
  }

  private of(producer: number): Written {
    const one = this.written.get(producer) ?? { sent: [], places: new Map(), ackedTo: 0 };
    this.written.set(producer, one);
    return one;
  }
}

export class DirectWriter extends Role {
  private readonly book: DirectBook;
  private direct: DirectProducer | undefined;

  constructor(context: RoleContext, book: DirectBook) {
    super(context);
    this.book = book;
  }

  protected started(connection: Connection): void {
    this.open(connection);
  }

  turn(): void {
    const { world } = this.context;
    const { direct, connection, underWay } = this;
    if (this.quiet || !direct || !connection) return;
    if (world.random(CLOSE_TURNS) === 0) this.close(connection, direct);
    else if (underWay < UNDER_WAY_MAX && world.chance(40)) {
      for (let i = world.random(BURST_MAX); i >= 0; i--) this.send(direct);
    }
  }

  override died(): void {
    super.died();
    this.direct = undefined;
  }

  private open(connection: Connection): void {
    if (this.connection !== connection || !(connection instanceof InProcessConnection)) return;
    this.renew();
    this.follow(
      connection.directProducer(DIRECT_TOPIC),
      (direct) => {
        this.direct = direct;
      },
      (code) => {
        if (!NO_ROOM.includes(code)) this.unexpected('directProducer', code);
        setTimeout(() => this.open(connection), AGAIN_MS);
      },
      false,
    );
  }

  private send(direct: DirectProducer): void {
    const { name, body, extras } = this.newMessage();
    this.book.sending(name);
    this.follow(
      direct.send(body, extras),
      ({ partition, offset }) => {
        if (partition !== direct.partition) {
          this.context.books.books.fault(`direct: a receipt says partition ${partition}, not ${direct.partition}`);
        }
        this.book.acknowledged(name, `${partition}:${offset}`);
      },
      (code) => this.unexpected('a direct send', code),
    );
  }

  /** Its partition goes; later it has another one. */
  private close(connection: Connection, direct: DirectProducer): void {
    this.direct = undefined;
    this.follow(
      direct.close(),
      () => void setTimeout(() => this.open(connection), AGAIN_MS),
      (code) => {
        this.unexpected('to close a direct producer', code);
        setTimeout(() => this.open(connection), AGAIN_MS);
      },
    );
  }
}

export class DirectReader extends Role {
  private readonly book: DirectBook;
  /** By writer: index of what was given last. */
  private readonly last = new Map<number, number>();
  /** It has heard all of what it has begun to read. Over the network a session may end meanwhile. */
  private hearsAll = false;

  constructor(context: RoleContext, book: DirectBook) {
    super(context);
    this.book = book;
    book.readers.push(this);
  }

  waitsFor(): string | undefined {
    if (!this.hearsAll) return undefined;
    for (const [producer, index] of this.last) {
      if (this.book.leftOf(producer, index)) return `${this.name} has had ${producer} up to #${index}`;
    }
    return undefined;
  }

  protected started(connection: Connection): void {
    this.last.clear();
    this.hearsAll = connection instanceof InProcessConnection;
    connection.consumer(DIRECT_TOPIC, {
      from: 'earliest',
      onMessage: ({ partition, offset, body }) => {
        const name = nameOf(body);
        const before = name ? (this.last.get(name.producer) ?? -1) : -1;
        const index = this.book.given(this.name, name, `${partition}:${offset}`, before);
        if (name) this.last.set(name.producer, index);
        return this.context.world.chance(5) ? new Promise((resolve) => setTimeout(resolve, 20)) : undefined;
      },
      onGap: ({ partition, from, to, reason }) => {
        const what = `direct: ${this.name} was told of a gap in ${partition}, ${from} to ${to} (${reason})`;
        if (this.hearsAll) this.context.books.books.fault(what);
        else this.context.world.trace.add(what);
        this.last.clear();
      },
      onError: this.heard,
    });
  }

  turn(): void {}

  override died(): void {
    super.died();
    this.last.clear();
    this.hearsAll = false;
  }
}
