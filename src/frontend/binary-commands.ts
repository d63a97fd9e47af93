// What a binary session may ask for, and what is done about it.
import { RingmqError } from '../base/codes.ts';
import { isTopicName } from '../base/units.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import type { BinarySession } from './binary-session.ts';
import type { Calls } from './calls.ts';
import { FRAME_MAX_BYTES, HEARTBEAT_MS, PUBLISH_WINDOW_BYTES } from './config.ts';
import type { Pulls } from './pulls.ts';
import type { Queries } from './queries.ts';
import { relay } from './relay.ts';
import type { ReplyTopics } from './reply-topics.ts';
import type { RouteBook } from './routes.ts';
import { Subscription } from './subscription.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface BinaryCommandsContext {
  readonly replyTopics: ReplyTopics;
  readonly routes: RouteBook;
  readonly subscriptions: Subscriptions;
  readonly pulls: Pulls;
  readonly queries: Queries;
  readonly calls: Calls;
  readonly brokerName: string;
  /** Of the package. */
  readonly version: string;
  /** Largest batch that a lane takes. */
  readonly messageMaxBytes: number;
  readonly clock: () => number;
  /** The session has said hello. */
  readonly welcomed: (session: BinarySession) => void;
}

/** True if the command names a topic that may be; set-permission may do without. */
function isNameIn(command: Command & { readonly topic: string }): boolean {
  return isTopicName(command.topic) || (command.type === 'set-permission' && command.topic === '');
}

export class BinaryCommands {
  private readonly context: BinaryCommandsContext;

  constructor(context: BinaryCommandsContext) {
    this.context = context;
  }

  /** Throws a RingmqError for what cannot be served. */
  execute(session: BinarySession, correlation: number, command: Command): void {
    if (command.type === 'hello') this.hello(session, correlation);
    else if (!session.welcomed) throw new RingmqError('hello-expected');
    else if ('topic' in command && !isNameIn(command)) throw new RingmqError('illegal-topic');
    else this.serve(session, correlation, command);
  }

  private serve(session: BinarySession, correlation: number, command: Command): void {
    const { context } = this;
    switch (command.type) {
      case 'ping':
        session.say(correlation, { type: 'pong', time: command.time });
        break;
      case 'credit':
        session.credit(command.bytes);
        break;
      case 'subscribe':
        this.subscribe(session, correlation, command);
        break;
      case 'unsubscribe':
        this.unsubscribe(session, correlation, command.subscription);
        break;
      case 'pull':
        context.pulls.begin(session, command, {
          answer: (result) => session.say(correlation, { type: 'pull-reply', ...result }),
          refuse: (error) => session.refuse(correlation, error.code, error.message),
        });
        break;
      case 'route-request':
      case 'create-topic':
      case 'delete-topic':
      case 'set-permission':
      case 'set-retention':
      case 'commit-offsets':
      case 'offsets-request':
      case 'topics-request':
        this.relay(session, correlation, command);
        break;
      case 'query':
        relay(this.answerQuery, session, correlation, command, (reply) => session.say(correlation, reply));
        break;
      case 'call': {
        const pass = (call: CommandOf<'call'>): Promise<Command> => context.calls.pass(session, call);
        relay(pass, session, correlation, command, (reply) => session.say(correlation, reply));
        break;
      }
      case 'open-direct':
        throw new RingmqError('direct-only');
      default:
        throw new RingmqError('unknown-command', `a broker does not take ${command.type}`);
    }
  }

  private readonly answerQuery = (query: CommandOf<'query'>): Promise<Command> => this.context.queries.answer(query);

  private hello(session: BinarySession, correlation: number): void {
    const { brokerName, version, messageMaxBytes, clock, welcomed } = this.context;
    if (session.welcomed) throw new RingmqError('illegal-argument', 'hello was said already');
    session.welcomed = true;
    welcomed(session);
    session.say(correlation, {
      type: 'welcome',
      broker: brokerName,
      version,
      session: session.id,
      messageMaxBytes,
      frameMaxBytes: FRAME_MAX_BYTES,
      publishWindowBytes: PUBLISH_WINDOW_BYTES,
      heartbeatMs: HEARTBEAT_MS,
      serverTime: clock(),
    });
  }

  private subscribe(session: BinarySession, correlation: number, command: CommandOf<'subscribe'>): void {
    const { subscription: id, topic, from, partitions, windowBytes } = command;
    const filter = this.context.subscriptions.filterOf(command.filter);
    for (const one of session.subscriptions.values()) {
      if (one.id === id) throw new RingmqError('illegal-argument', `subscription ${id} is in use`);
    }
    session.openWindow(windowBytes);
    const subscription = new Subscription(session, id, topic, from, partitions, filter);
    this.context.subscriptions.begin(session, correlation, subscription);
  }

  private unsubscribe(session: BinarySession, correlation: number, id: number): void {
    for (const one of session.subscriptions.values()) {
      if (one.id !== id) continue;
      this.context.subscriptions.drop(one);
      if (correlation !== 0) session.say(correlation, { type: 'done' });
      return;
    }
    throw new RingmqError('unknown-subscription');
  }

  /** Asks the NameServer and passes its answer on. */
  private relay(session: BinarySession, correlation: number, command: Command): void {
    if (command.type === 'route-request') this.context.routes.watch(session, command.topic);
    const ask = (one: Command): Promise<Command> => this.context.replyTopics.ask(session, one);
    relay(ask, session, correlation, command, (reply) => session.say(correlation, reply));
  }
}
