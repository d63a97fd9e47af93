// What every kind of connection does with topics: commands to the NameServer, and their answers.
import { RingmqError } from '../base/codes.ts';
import type { Command, TopicRoute } from '../wire/commands.ts';
import type { TopicOptions } from './connection.ts';
import { ConnectionEvents } from './connection-events.ts';

const PERMISSIONS = { rw: 6, r: 4, w: 2, '': 0 } as const;
const TOPICS_PAGE = 200;

export abstract class TopicAdmin extends ConnectionEvents {
  async createTopic(topic: string, options: TopicOptions = {}): Promise<TopicRoute> {
    const reply = await this.ask({
      type: 'create-topic',
      topic,
      partitions: options.partitions ?? 0,
      overflow: options.overflow ?? 'block',
      ringBytes: options.ringBytes ?? 0,
      direct: options.direct ?? false,
      durable: undefined,
      retentionMs: 0,
      retentionBytes: 0,
      ifNotExists: options.ifNotExists ?? false,
    });
    return this.learn(reply);
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.ask({ type: 'delete-topic', topic });
  }

  async setPermission(topic: string, permission: 'rw' | 'r' | 'w' | ''): Promise<void> {
    if (!(permission in PERMISSIONS)) {
      throw new RingmqError('illegal-argument', `permission '${permission}': rw, r, w or nothing`);
    }
    await this.ask({ type: 'set-permission', topic, owner: -1, permission: PERMISSIONS[permission] });
  }

  async topics(): Promise<readonly TopicRoute[]> {
    const all: TopicRoute[] = [];
    for (;;) {
      const reply = await this.ask({ type: 'topics-request', after: all.at(-1)?.topic ?? '', limit: TOPICS_PAGE });
      if (reply.type !== 'topics-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
      all.push(...reply.topics);
      // A page without topics would be asked for again and again.
      if (!reply.more || reply.topics.length === 0) return all;
    }
  }

  async route(topic: string): Promise<TopicRoute> {
    return this.learn(await this.ask({ type: 'route-request', topic, create: false }));
  }

  /** Asks the broker. Rejects with what it refuses with. */
  protected abstract ask(command: Command): Promise<Command>;

  /** Keeps the route that a reply brings, and returns it. */
  protected abstract learn(reply: Command): TopicRoute;
}
