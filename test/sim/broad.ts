// Who takes part in runs of the broad kind, and what they have in common: see plan-broad.ts.
import type { GroupOrder } from '../../src/wire/services.ts';
import { Absence } from './absence-role.ts';
import type { Application, ApplicationContext } from './applications.ts';
import { Batcher, type BulkContext, Pauser, Puller } from './bulk-roles.ts';
import type { Besides, Desks } from './desks.ts';
import { GroupBook } from './group-books.ts';
import { LossyBooks } from './lossy-books.ts';
import { Witness } from './messaging-auditor.ts';
import type { Network } from './network.ts';
import type { Plan } from './plan.ts';
import { type BroadPlan, type BulkPlan, type GroupedPlan, groupsOf } from './plan-broad.ts';
import { PushMember, SimpleReader } from './reader-roles.ts';
import { Answerer, AskBook, Asker } from './request-roles.ts';
import type { Role, RoleContext } from './roles.ts';
import { PlainSender } from './sender-roles.ts';
import { ShareBook, Sharer } from './sharer-role.ts';
import { HttpClient, JsonClient } from './text-roles.ts';
import { TraceAuditor, TraceBook } from './trace-book.ts';
import type { World } from './world.ts';

/** So often a minute passes at once, where that is what is kept. */
const LEAPS = 3;

/** What applications trace, and who hears of it. */
export function traceOf(broad: BroadPlan | undefined, world: World) {
  return broad && { trace: broad.trace, traced: new TraceBook(world) };
}

export class Broad implements Besides {
  private readonly trace: TraceBook;
  readonly asks: AskBook;
  private readonly shares: ShareBook[] = [];
  private readonly desks: Desks;
  private readonly context: ApplicationContext;
  private readonly applications: readonly Application[];

  constructor(
    plan: Plan,
    desks: Desks,
    context: ApplicationContext,
    applications: readonly Application[],
    network: Network,
  ) {
    this.desks = desks;
    this.context = context;
    this.applications = applications;
    desks.besides = this;
    this.trace = context.traced ?? new TraceBook(context.world);
    this.asks = new AskBook(context.world, (text) => context.books.fault(text));
    const { broad } = plan.messaging ?? {};
    if (!broad) return;
    const { retentionMs, retentionBytes } = plan.settings;
    if (broad.flash) this.grouped(broad.flash, { volatile: true, retentionMs: 0 });
    if (broad.fleeting) {
      const { topic } = broad.fleeting;
      const byAge = retentionBytes === 0 && topic.retentionBytes === undefined;
      this.grouped(broad.fleeting, {
        volatile: false,
        retentionMs: byAge ? (topic.retentionMs ?? retentionMs) : 0,
        byClock: topic.retentionMs !== undefined,
      });
    }
    this.ask(broad);
    if (broad.bulk) this.bulk(broad.bulk, plan, network);
    for (const { topic } of desks.all) this.trace.topics.add(topic);
  }

  /** What happened. */
  get counts() {
    const gaps = this.desks.groups.reduce((sum, group) => sum + group.gaps.length, 0);
    return { answered: this.asks.answeredCount, traced: this.trace.toldCount, gaps };
  }

  waitsFor(): string | undefined {
    const shared = this.shares.map((one) => one.waitsFor()).find((what) => what !== undefined);
    return shared ?? this.asks.waitsFor();
  }

  judge(): readonly string[] {
    return [...this.trace.judge(), ...this.shares.flatMap((one) => one.judge())];
  }

  reads(place: string): boolean {
    return this.trace.reads(place);
  }

  readUpTo(place: string): number {
    return this.trace.readUpTo(place);
  }

  auditors(): readonly Role[] {
    const { world, nextProducer } = this.context;
    const [books] = this.desks.all;
    return [new TraceAuditor({ name: 'trace-auditor', world, books, nextProducer }, this.trace)];
  }

  /** Groups of both kinds on a topic of their own, and somebody who reads along. */
  private grouped(plan: GroupedPlan, loss: ConstructorParameters<typeof LossyBooks>[3]): void {
    const { topic, attemptsMax, pushOrder, simpleOrder } = plan;
    const books = new LossyBooks(this.context.books, topic.name, topic.partitions, loss);
    this.desks.all.push(books);
    const [push, simple] = groupsOf(plan);
    const rules = (order: GroupOrder) => ({ order, attemptsMax });
    const groups = [
      new GroupBook(push, { ...rules(pushOrder), hearsGaps: true }, books),
      new GroupBook(simple, rules(simpleOrder), books),
    ] as const;
    books.groups.push(...groups);
    this.give(plan.push, push, books, (context) => new PushMember(context, groups[0]));
    this.give(plan.simple, simple, books, (context) => new SimpleReader(context, groups[1]));
    this.give(plan.plain, `${topic.name}-plain`, books, (context) => new PlainSender(context));
    this.give(
      [0],
      `${topic.name}-absence`,
      books,
      (context) => new Absence(context, groups, topic.retentionMs ? LEAPS : 0),
    );
    this.give([0], `${topic.name}-witness`, books, (context) => new Witness(context));
  }

  private ask({ asks }: BroadPlan): void {
    const [books] = this.desks.all;
    this.give(asks?.askers ?? [], 'asker', books, (context) => new Asker(context, this.asks));
    this.give(asks?.answerers ?? [], 'answerer', books, (context) => new Answerer(context, this.asks));
  }

  private bulk(bulk: BulkPlan, { topics }: Plan, network: Network): void {
    const { world } = this.context;
    const [books] = this.desks.all;
    const give = (players: readonly number[], name: string, make: (context: BulkContext) => Role): void => {
      this.give(players, name, books, (context) => {
        const { name: topic, partitions } = topics[world.random(topics.length)];
        return make({ ...context, topic, partitions });
      });
    };
    give(bulk.batchers, 'batcher', (context) => new Batcher(context));
    give(bulk.pullers, 'puller', (context) => new Puller(context));
    give(bulk.pausers, 'pauser', (context) => new Pauser(context));
    give(bulk.json, 'json', (context) => new JsonClient(context, network));
    give(bulk.http, 'http', (context) => new HttpClient(context, network));
    const [{ name: topic, partitions }] = topics;
    const share = new ShareBook(this.context.books, topic);
    this.shares.push(share);
    this.give(bulk.sharers, 'sharer', books, (context) => new Sharer({ ...context, topic, partitions }, share));
  }

  private give(
    players: readonly number[],
    name: string,
    books: Desks['all'][number],
    make: (context: RoleContext) => Role,
  ): void {
    const { world, nextProducer } = this.context;
    const { trace } = this;
    for (const [i, player] of players.entries()) {
      const role = make({ name: `${name}-${i}`, world, books, nextProducer, trace });
      this.applications[player].roles.push(role);
    }
  }
}
