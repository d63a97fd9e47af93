// What a readable session may ask for besides publishing, and the way of its messages into batches.
import { RingmqError } from '../base/codes.ts';
import type { AckLevel } from '../base/units.ts';
import { filterText } from '../filter/filter.ts';
import type { Command, CommandOf, TopicRoute } from '../wire/commands.ts';
import type { JsonCommand, JsonMessage } from '../wire/json.ts';
import {
  jsonCalled,
  jsonOffsets,
  jsonOk,
  jsonPong,
  jsonPulled,
  jsonQueried,
  jsonRoute,
  jsonScheduled,
  jsonTopics,
} from '../wire/json-replies.ts';
import { answeredTexts, payloadOf } from './call-messages.ts';
import type { Calls } from './calls.ts';
import type { JsonSession } from './json-session.ts';
import { messageTexts } from './json-texts.ts';
import type { LaterMessages } from './later-messages.ts';
import { type BuiltBatch, type MessageBatches, submitAll } from './message-batches.ts';
import type { PublishDesk, Publisher } from './publish-desk.ts';
import type { PullResult, Pulls } from './pulls.ts';
import type { Queries } from './queries.ts';
import { relay } from './relay.ts';
import type { ReplyTopics } from './reply-topics.ts';
import type { Ask, RouteBook } from './routes.ts';
import { Subscription } from './subscription.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface JsonCommandsContext {
  readonly ask: Ask;
  readonly replyTopics: ReplyTopics;
  readonly routes: RouteBook;
  readonly subscriptions: Subscriptions;
  readonly pulls: Pulls;
  readonly queries: Queries;
  readonly calls: Calls;
  readonly batches: MessageBatches;
  readonly desk: PublishDesk;
  readonly later: LaterMessages;
  readonly clock: () => number;
  /** While the broker stops nothing is published. */
  readonly stopping: () => boolean;
}

type Op<T extends JsonCommand['op']> = Extract<JsonCommand, { op: T }>;

const TOPICS_PAGE = 100;

export class JsonCommands {
  private readonly context: JsonCommandsContext;

  constructor(context: JsonCommandsContext) {
    this.context = context;
  }

  /** Throws a RingmqError for what cannot be served. */
  execute(session: JsonSession, command: JsonCommand): void {
    const { id } = command;
    switch (command.op) {
      case 'ping':
        session.say(jsonPong(id, this.context.clock()));
        break;
      case 'subscribe':
        this.subscribe(session, command);
        break;
      case 'unsubscribe':
        this.unsubscribe(session, command);
        break;
      case 'pull':
        this.pull(session, command);
        break;
      case 'topics':
        this.relay(session, id, topicsRequest(command));
        break;
      case 'route':
        this.context.routes.watch(session, command.topic);
        this.relay(session, id, { type: 'route-request', topic: command.topic, create: command.create });
        break;
      case 'create-topic':
        this.relay(session, id, createTopic(command));
        break;
      case 'delete-topic':
        this.relay(session, id, { type: 'delete-topic', topic: command.topic });
        break;
      case 'set-retention':
        this.relay(session, id, retentionCommand(command));
        break;
      case 'commit-offsets':
        this.relay(session, id, commitCommand(command));
        break;
      case 'offsets':
        this.offsets(session, command);
        break;
      case 'query':
        this.query(session, command);
        break;
      case 'call':
        this.call(session, command);
        break;
      case 'publish':
        throw new RingmqError('internal', 'a session publishes by itself');
    }
  }

  /** The route at hand, if there is one. */
  routeOf(topic: string): TopicRoute | undefined {
    return this.context.routes.known(topic);
  }

  /** The route of a topic to publish to, made on first use where that is allowed. */
  fetchRoute(topic: string): Promise<TopicRoute> {
    return this.context.routes.fetch(topic, true);
  }

  /** Throws a RingmqError for the first message that the topic cannot take. */
  buildBatches(
    route: TopicRoute,
    messages: readonly JsonMessage[],
    ack: AckLevel,
    request: () => number,
  ): BuiltBatch[] {
    if (this.context.stopping()) throw new RingmqError('shutting-down');
    return this.context.batches.build(route, messages, { ack, request });
  }

  /** Stores messages for later. Throws a RingmqError, or refuses. */
  schedule(session: JsonSession, { id, topic, messages }: Op<'publish'>): void {
    if (this.context.stopping()) throw new RingmqError('shutting-down');
    const ask = (one: { topic: string }) => this.context.later.schedule(one.topic, messages);
    relay(ask, session, id, { topic }, (receipts) => {
      if (id !== 0) session.say(jsonScheduled(id, topic, receipts));
    });
  }

  /** A batch was refused: perhaps because the route at hand is old. */
  failed(topic: string, status: number): void {
    this.context.routes.failed(topic, status);
  }

  submit(publisher: Publisher, batches: readonly BuiltBatch[]): void {
    submitAll(this.context.desk, publisher, batches);
  }

  private subscribe(session: JsonSession, command: Op<'subscribe'>): void {
    const { id, topic, from, partitions } = command;
    const filter = this.context.subscriptions.filterOf(filterText(command.filter));
    this.context.subscriptions.begin(session, id, new Subscription(session, 0, topic, from, partitions, filter));
  }

  private unsubscribe(session: JsonSession, { id, topic }: Op<'unsubscribe'>): void {
    const subscription = session.subscriptions.get(topic);
    if (!subscription) throw new RingmqError('unknown-subscription', `not subscribed to ${topic}`);
    this.context.subscriptions.drop(subscription);
    if (id !== 0) session.say(jsonOk(id));
  }

  private pull(session: JsonSession, command: Op<'pull'>): void {
    const { id, topic } = command;
    this.context.pulls.begin(
      session,
      { ...command, filter: filterText(command.filter) },
      {
        answer: (result) => session.say(jsonPulled(id, result, pulledTexts(topic, command, result))),
        refuse: (error) => session.refuse(id, error.code, error.message),
      },
    );
  }

  private offsets(session: JsonSession, { id, group, topic }: Op<'offsets'>): void {
    relay(this.context.ask, session, id, { type: 'offsets-request', group, topic }, (reply) => {
      if (reply.type === 'offsets-reply') session.say(jsonOffsets(id, group, topic, reply.positions));
    });
  }

  private query(session: JsonSession, { id, op: type, ...rest }: Op<'query'>): void {
    relay(this.answerQuery, session, id, { type, ...rest }, (reply) => {
      if (reply.type === 'query-reply') session.say(jsonQueried(id, rest.topic, reply.matches, reply.more));
    });
  }

  private call(session: JsonSession, { id, method, params, messages }: Op<'call'>): void {
    const payload = payloadOf(messages, this.context.clock());
    const command = { type: 'call', method, params: JSON.stringify(params), payload } as const;
    const pass = (call: CommandOf<'call'>): Promise<CommandOf<'call-reply'>> => this.context.calls.pass(session, call);
    relay(pass, session, id, command, (reply) => {
      session.say(jsonCalled(id, reply.result, answeredTexts(method, reply.result, reply.payload)));
    });
  }

  private readonly answerQuery = (query: CommandOf<'query'>): Promise<Command> => this.context.queries.answer(query);

  private relay(session: JsonSession, id: number, command: Command): void {
    const ask = (one: Command): Promise<Command> => this.context.replyTopics.ask(session, one);
    relay(ask, session, id, command, (reply) => {
      const text = replyText(id, reply);
      if (text !== undefined) session.say(text);
    });
  }
}

/** Texts of pulled messages, without those before the offset asked for. */
export function pulledTexts(topic: string, request: Pick<Op<'pull'>, 'from'>, result: PullResult): string[] {
  const { from } = request;
  const { batches, number, gap } = result;
  const words = new Int32Array(batches.buffer, batches.byteOffset, batches.length >> 2);
  const texts = messageTexts({ bytes: batches, words, start: 0, length: batches.length, topic, number });
  const first = typeof from === 'object' && !gap ? from.offset : 0;
  return texts.filter((one) => one.offset >= first).map((one) => one.text);
}

function topicsRequest({ after, limit }: Op<'topics'>): Command {
  return { type: 'topics-request', after, limit: limit || TOPICS_PAGE };
}

function createTopic(op: Op<'create-topic'>): Command {
  const { topic, partitions, overflow, ringBytes, durable, retentionMs, retentionBytes, ifNotExists } = op;
  return {
    type: 'create-topic',
    topic,
    partitions,
    overflow: overflow ?? 'block',
    ringBytes,
    direct: false,
    durable,
    retentionMs,
    retentionBytes,
    ifNotExists,
  };
}

function retentionCommand({ topic, retentionMs, retentionBytes }: Op<'set-retention'>): Command {
  return { type: 'set-retention', topic, retentionMs, retentionBytes };
}

function commitCommand({ group, topic, positions }: Op<'commit-offsets'>): Command {
  return { type: 'commit-offsets', group, topic, positions };
}

function replyText(id: number, reply: Command): string | undefined {
  if (reply.type === 'topics-reply') return jsonTopics(id, reply.topics, reply.more);
  if (reply.type === 'route-reply') return jsonRoute(id, reply.route);
  return reply.type === 'done' && id !== 0 ? jsonOk(id) : undefined;
}
