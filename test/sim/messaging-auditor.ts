// Reads in the end all that groups may have been given: their topic, what waits for a retry, and the dead letters.
import type { Connection } from '../../src/client/connection.ts';
import { PROPERTY } from '../../src/wire/services.ts';
import { nameOf } from '../../torture/message.ts';
import { Role } from './roles.ts';

const LOOK_MS = 500;

export class MessagingAuditor extends Role {
  private readonly reading = new Set<string>();

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
        for (const { topic } of present) if (topics.includes(topic)) this.read(connection, topic);
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
    connection.consumer(topic, {
      from: 'earliest',
      onMessage: ({ partition, offset, body, properties }) => {
        const {
          [PROPERTY.realTopic]: first,
          [PROPERTY.realQueue]: queue,
          [PROPERTY.realOffset]: at,
        } = properties ?? {};
        const origin = first === undefined ? undefined : `${first}/${queue}:${at}`;
        this.context.books.audited(`${topic}/${partition}`, offset, nameOf(body), origin);
      },
      onGap: (gap) => this.context.books.books.fault(`the auditor: gap in ${topic}: ${JSON.stringify(gap)}`),
      onError: this.heard,
    });
  }
}
