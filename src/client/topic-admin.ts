// What every kind of connection asks the broker: commands about topics, calls to the coordinator, and their answers.
import { RingmqError } from '../base/codes.ts';
import { parseMessageId } from '../record/message-id.ts';
import type { Command, CommandOf, PartitionPosition, QueryMatch, TopicRoute } from '../wire/commands.ts';
import type { CallOptions, Method, ParamsOf, ResultOf } from '../wire/services.ts';
import type { PullRequest, PullResult, QueryRequest, RetentionOptions, TopicOptions } from './connection.ts';
import { GroupAdmin } from './group-admin.ts';
import { fetchOffsets } from './group-offsets.ts';
import type { Message } from './message.ts';

const PERMISSIONS = { rw: 6, r: 4, w: 2, '': 0 } as const;
const TOPICS_PAGE = 200;
/** Most matches of one query. */
const QUERY_MAX = 1_000;
/** Milliseconds to wait for an answer of the coordinator, beyond what the call itself waits. */
const CALL_TIMEOUT_MS = 10_000;
const NO_BYTES = new Uint8Array(0);

export abstract class TopicAdmin extends GroupAdmin {
  async createTopic(topic: string, options: TopicOptions = {}): Promise<TopicRoute> {
    const reply = await this.ask({
      type: 'create-topic',
      topic,
      partitions: options.partitions ?? 0,
      overflow: options.overflow ?? 'block',
      ringBytes: options.ringBytes ?? 0,
      direct: options.direct ?? false,
      durable: options.durable,
      retentionMs: options.retentionMs ?? 0,
      retentionBytes: options.retentionBytes ?? 0,
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

  async setRetention(topic: string, { retentionMs = 0, retentionBytes = 0 }: RetentionOptions): Promise<void> {
    await this.ask({ type: 'set-retention', topic, retentionMs, retentionBytes });
  }

  async committed(group: string, topic: string): Promise<readonly PartitionPosition[]> {
    return fetchOffsets((command) => this.ask(command), group, topic);
  }

  async query(request: QueryRequest): Promise<readonly QueryMatch[]> {
    const { topic, key = '', fromTime = 0, toTime = 0, limit = 0 } = request;
    for (const [name, value] of Object.entries({ fromTime, toTime, limit })) {
      if (Number.isSafeInteger(value) && value >= 0 && (name !== 'limit' || value <= QUERY_MAX)) continue;
      const range = name === 'limit' ? `1 to ${QUERY_MAX}` : 'milliseconds since 1970';
      throw new RingmqError('illegal-argument', `query: ${name} is ${value}: ${range}`);
    }
    const reply = await this.find({ type: 'query', topic, key, fromTime, toTime, limit });
    if (reply.type !== 'query-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    return reply.matches;
  }

  async message(id: string): Promise<Message> {
    const place = parseMessageId(id);
    if (!place)
      throw new RingmqError('illegal-argument', `message id '${id}': 24 hex digits, as in receipts and messages`);
    const { topicId, partition, offset } = place;
    const route = (await this.topics()).find((one) => one.topicId === topicId);
    if (route?.partitions.some((one) => one.number === partition)) {
      const { topic } = route;
      const { messages } = await this.pull({ topic, partition, from: { offset }, max: 1, waitMs: 0 });
      if (messages[0]?.offset === offset) return messages[0];
    }
    const where = route ? `${route.topic}/${partition} has no offset ${offset}` : 'its topic is gone';
    throw new RingmqError('not-found', `no message has the id ${id} (any more): ${where}`);
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

  /** Asks the coordinator. Rejects with what it refuses with, `timeout`, or `coordinator-unavailable`. */
  async call<M extends Method>(
    method: M,
    params: ParamsOf<M>,
    options: CallOptions = {},
  ): Promise<{ readonly result: ResultOf<M>; readonly payload: Uint8Array }> {
    const { payload = NO_BYTES, timeoutMs = CALL_TIMEOUT_MS } = options;
    const waitMs = 'waitMs' in params ? params.waitMs : 0;
    const command = { type: 'call', method, params: JSON.stringify(params), payload } as const;
    const reply = await this.askCoordinator(command, waitMs + timeoutMs);
    if (reply.type !== 'call-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
    return { result: JSON.parse(reply.result) as ResultOf<M>, payload: reply.payload };
  }

  abstract pull(request: PullRequest): Promise<PullResult>;

  /** Answers a query. */
  protected find(query: CommandOf<'query'>): Promise<Command> {
    return this.ask(query);
  }

  /** Asks the broker. Rejects with what it refuses with. */
  protected abstract ask(command: Command, timeoutMs?: number): Promise<Command>;

  protected askCoordinator(command: CommandOf<'call'>, timeoutMs: number): Promise<Command> {
    return this.ask(command, timeoutMs);
  }

  /** Keeps the route that a reply brings, and returns it. */
  protected abstract learn(reply: Command): TopicRoute;
}
