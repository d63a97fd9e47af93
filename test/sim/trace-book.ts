// What message trace told, against what happened: a record says nothing that did not happen, and nothing more often
// than it did. That all is told is not promised: records are dropped where nobody takes them.
import type { Connection } from '../../src/client/connection.ts';
import type { TraceRecord } from '../../src/client/messaging.ts';
import { Role, type RoleContext } from './roles.ts';
import type { World } from './world.ts';

const TOPIC = 'RMQ_SYS_TRACE_TOPIC';
const LOOK_MS = 500;

export type TraceStep = TraceRecord['step'];

export class TraceBook {
  private readonly world: World;
  /** How often a step happened. */
  private readonly happened = new Map<string, number>();
  private readonly told = new Map<string, number>();
  /** By place: the offset behind what was read. */
  private readonly read = new Map<string, number>();
  /** Topics whose steps are noted. */
  readonly topics = new Set<string>();

  constructor(world: World) {
    this.world = world;
  }

  saw(step: TraceStep, id: string, group = ''): void {
    const key = `${step} ${id} ${group}`;
    this.happened.set(key, (this.happened.get(key) ?? 0) + 1);
  }

  /** Somebody was handed a message: once, and so it failed, or died, once at most. */
  handed(id: string, group: string): void {
    for (const step of ['delivered', 'failed', 'dead'] as const) this.saw(step, id, group);
  }

  get toldCount(): number {
    return this.told.size;
  }

  record(place: string, offset: number, text: string): void {
    this.read.set(place, offset + 1);
    const { step, messageId, group = '', topic } = JSON.parse(text) as TraceRecord;
    if (!this.topics.has(topic)) return;
    const key = `${step} ${messageId} ${group}`;
    this.told.set(key, (this.told.get(key) ?? 0) + 1);
    this.world.trace.add(`trace ${key}`);
  }

  reads(place: string): boolean {
    return place.startsWith(`${TOPIC}/`);
  }

  readUpTo(place: string): number {
    return this.read.get(place) ?? 0;
  }

  judge(): string[] {
    const found: string[] = [];
    for (const [key, count] of this.told) {
      const seen = this.happened.get(key) ?? 0;
      if (count > seen) found.push(`invented: the trace says ${count} times ${key}, which happened ${seen} times`);
    }
    return found;
  }
}

/** Reads the trace in the end. */
export class TraceAuditor extends Role {
  private readonly book: TraceBook;
  private reading = false;

  constructor(context: RoleContext, book: TraceBook) {
    super(context);
    this.book = book;
  }

  protected started(connection: Connection): void {
    this.reading = false;
    this.look(connection);
  }

  turn(): void {}

  /** The topic is made by whoever traces first. */
  private look(connection: Connection): void {
    if (this.connection !== connection || this.reading) return;
    this.follow(
      connection.topics(),
      (present) => {
        try {
          if (present.some(({ topic }) => topic === TOPIC)) this.read(connection);
          else setTimeout(() => this.look(connection), LOOK_MS);
        } catch (error) {
          this.heard(error as Error);
        }
      },
      (code) => {
        this.unexpected('topics', code);
        setTimeout(() => this.look(connection), LOOK_MS);
      },
    );
  }

  private read(connection: Connection): void {
    this.reading = true;
    connection.consumer(TOPIC, {
      from: 'earliest',
      onMessage: (message) => this.book.record(`${TOPIC}/${message.partition}`, message.offset, message.text()),
      onGap: () => {},
      onError: this.heard,
    });
  }
}
