// Read all that groups may have been given: their topic, what waits for a retry, and the dead letters. One reads in the
// end, one along with the run: what is not kept for ever is gone in the end.
import type { Connection, Gap } from '../../src/client/connection.ts';
import { PROPERTY } from '../../src/wire/services.ts';
import { nameOf } from '../../torture/message.ts';
import { Role } from './roles.ts';

const LOOK_MS = 500;

/** Reads along. */
export class Witness extends Role {
  private readonly reading = new Set<string>();

  protected missed(gap: Gap): void {
    this.context.books.missed(gap);
  }

  /** The first message of a place comes. */
  protected begins(_place: string, _offset: number): void {}

  protected started(connection: Connection): void {
    this.reading.clear();
    this.look(connection);
  }

  turn(): void {}

  /** Topics are made as they are needed. */
  private look(connection: Connection): void {
    if (this.connection !== connection) return;
    const { books } = this.context;
    const topics = [books.topic];
    for (const { name } of books.groups) topics.push(`%RETRY%${name}|${books.topic}`, `%DLQ%${name}`);
    this.follow(
      connection.topics(),
      (present) => {
        try {
          for (const { topic } of present) if (topics.includes(topic)) this.read(connection, topic);
        } catch (error) {
          // Its application is about to end.
          this.heard(error as Error);
        }
        setTimeout(() => this.look(connection), LOOK_MS);
      },
      (code) => {
        this.unexpected('topics', code);
        setTimeout(() => this.look(connection), LOOK_MS);
      },
    );
  }

  private read(connection: Connection, topic: string): void {
    if (this.reading.has(topic)) return;
    this.reading.add(topic);
    const begun = new Set<number>();
    connection.consumer(topic, {
      from: 'earliest',
      onMessage: ({ partition, offset, body, properties }) => {
        if (!begun.has(partition)) this.begins(`${topic}/${partition}`, offset);
        begun.add(partition);
        const {
          [PROPERTY.realTopic]: first,
          [PROPERTY.realQueue]: queue,
          [PROPERTY.realOffset]: at,
        } = properties ?? {};
        const origin = first === undefined ? undefined : `${first}/${queue}:${at}`;
        this.context.books.audited(`${topic}/${partition}`, offset, nameOf(body), origin);
      },
      onGap: (gap) => this.missed(gap),
      onError: this.heard,
    });
  }
}

/** Reads in the end. */
export class MessagingAuditor extends Witness {
  protected override begins(place: string, offset: number): void {
    this.context.books.begins(place, offset);
  }

  protected override missed(gap: Gap): void {
    super.missed(gap);
    this.context.books.begins(`${gap.topic}/${gap.partition}`, gap.to);
  }
}
