// Routes of topics as this front end knows them, and who wants to hear when they change.
import { CODES, codeName, RingmqError } from '../base/codes.ts';
import type { Command, CommandOf, TopicRoute } from '../wire/commands.ts';
import { WATCHED_TOPICS_MAX } from './config.ts';
import type { Session } from './session.ts';

/** Asks the NameServer. Rejects with what it refuses with. */
export type Ask = (command: Command) => Promise<Command>;

interface Fetching {
  promise: Promise<TopicRoute> | undefined;
  /** The route has changed while it was fetched: the answer may be older than the news. */
  stale: boolean;
}

/** Questions for one answer: a route that changes with each of them is given as it was last. */
const QUESTIONS_MAX = 4;

const ROUTES_MAX = 10_000;

export class RouteBook {
  private readonly ask: Ask;
  private readonly routes = new Map<string, TopicRoute>();
  private readonly fetching = new Map<string, Fetching>();
  private readonly watchers = new Map<string, Set<Session>>();

  constructor(ask: Ask) {
    this.ask = ask;
  }

  /** The route at hand, if there is one. */
  known(topic: string): TopicRoute | undefined {
    return this.routes.get(topic);
  }

  /** The route of a topic, made on first use where `create` asks for it and the broker allows it. */
  fetch(topic: string, create: boolean): Promise<TopicRoute> {
    const known = this.routes.get(topic);
    if (known) return Promise.resolve(known);
    const key = `${create ? '+' : '-'}${topic}`;
    const under = this.fetching.get(key)?.promise;
    if (under) return under;
    const fetching: Fetching = { promise: undefined, stale: false };
    this.fetching.set(key, fetching);
    fetching.promise = this.fetchNow(topic, create, fetching).finally(() => this.fetching.delete(key));
    return fetching.promise;
  }

  /** A topic's route has changed, or may have. */
  forget(topic: string): void {
    this.routes.delete(topic);
    for (const sign of '+-') {
      const under = this.fetching.get(`${sign}${topic}`);
      if (under) under.stale = true;
    }
  }

  /** A batch was refused with this status: an old route is asked for anew, news of a change or not. */
  failed(topic: string, status: number): void {
    if (CODES[codeName(status)].advice === 'refresh-route') this.forget(topic);
  }

  /** The session wants to hear of changes. Past a limit it does not: it finds out when a batch is refused. */
  watch(session: Session, topic: string): void {
    if (session.watched.has(topic) || session.watched.size >= WATCHED_TOPICS_MAX) return;
    session.watched.add(topic);
    const watchers = this.watchers.get(topic);
    if (watchers) watchers.add(session);
    else this.watchers.set(topic, new Set([session]));
  }

  unwatchAll(session: Session): void {
    for (const topic of session.watched) this.unwatch(session, topic);
  }

  /** News of the NameServer, for everybody who asked about the topic. */
  spread(news: CommandOf<'route-changed'>): void {
    this.forget(news.topic);
    for (const session of [...(this.watchers.get(news.topic) ?? [])]) {
      session.sayRouteChanged(news);
      if (news.deleted) this.unwatch(session, news.topic);
    }
  }

  private unwatch(session: Session, topic: string): void {
    session.watched.delete(topic);
    const watchers = this.watchers.get(topic);
    watchers?.delete(session);
    if (watchers?.size === 0) this.watchers.delete(topic);
  }

  /** Asks again if there was news meanwhile: who hears of a change must not be given what was before it. */
  private async fetchNow(topic: string, create: boolean, fetching: Fetching): Promise<TopicRoute> {
    for (let questions = 1; ; questions++) {
      fetching.stale = false;
      const reply = await this.ask({ type: 'route-request', topic, create });
      if (reply.type !== 'route-reply') throw new RingmqError('internal', `unexpected ${reply.type}`);
      if (!fetching.stale) this.learn(reply.route);
      if (!fetching.stale || questions === QUESTIONS_MAX) return reply.route;
    }
  }

  private learn(route: TopicRoute): void {
    // The oldest one makes room: it is asked for again when it is needed.
    if (this.routes.size >= ROUTES_MAX) this.routes.delete(this.routes.keys().next().value as string);
    this.routes.set(route.topic, route);
  }
}
