// Who takes part in runs of the broad kind, and what they have in common: see plan-broad.ts.
import type { GroupOrder } from '../../src/wire/services.ts';
import { Absence } from './absence-role.ts';
import type { Application, ApplicationContext } from './applications.ts';
import { BatchMember, BatchReader } from './batch-roles.ts';
import { Batcher, type BulkContext, Pauser, Puller } from './bulk-roles.ts';
import type { Besides, Desks } from './desks.ts';
import { DirectBook, DirectReader, DirectWriter } from './direct-roles.ts';
import { Finder } from './finder-role.ts';
import { GroupBook } from './group-books.ts';
import { Keeper, KeptBooks } from './kept-books.ts';
import { LossyBooks } from './lossy-books.ts';
import { Witness } from './messaging-auditor.ts';
import type { Network } from './network.ts';
import type { Plan } from './plan.ts';
import { type BroadPlan, type BulkPlan, type GroupedPlan, groupsOf } from './plan-broad.ts';
import { BATCH_GROUP, type BatchesPlan, type OtherPlan, type TextPlan } from './plan-other.ts';
import { PushMember, SimpleReader } from './reader-roles.ts';
import { Answerer, AskBook, Asker } from './request-roles.ts';
import type { Role, RoleContext } from './roles.ts';
import { PlainSender } from './sender-roles.ts';
import { ShareBook, Sharer } from './sharer-role.ts';
import { HttpSpeaker, JsonSpeaker } from './speakers.ts';
import type { OpenSpeaker } from './text-member.ts';
import { TextPush } from './text-push.ts';
import { TextReader } from './text-reader.ts';
import { HttpClient, JsonClient } from './text-roles.ts';
import { TraceAuditor, TraceBook } from './trace-book.ts';
import type { World } from './world.ts';

/** So often a minute passes at once, where that is what is kept. */
const LEAPS = 3;

/** Messages that go at once where batches are taken: one alone is no batch. */
const BATCH_BURST = 8;

/** What applications trace, and who hears of it. */
export function traceOf(broad: BroadPlan | undefined, world: World) {
  return broad && { trace: broad.trace, traced: new TraceBook(world) };
}

export class Broad implements Besides {
  private readonly trace: TraceBook;
  readonly asks: AskBook;
  private readonly shares: ShareBook[] = [];
  private readonly finders: Finder[] = [];
  private readonly direct: DirectBook;
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
    this.direct = new DirectBook(context.world, (text) => context.books.fault(text));
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
    if (broad.other) this.other(broad.other, plan, network);
    if (broad.bulk) this.bulk(broad.bulk, plan, network);
    for (const { topic } of desks.all) this.trace.topics.add(topic);
  }

  /** What happened. */
  get counts() {
    const gaps = this.desks.groups.reduce((sum, group) => sum + group.gaps.length, 0);
    const found = this.finders.reduce((sum, one) => sum + one.count, 0);
    return {
      answered: this.asks.answeredCount,
      traced: this.trace.toldCount,
      gaps,
      found,
      read: this.direct.readCount,
    };
  }

  waitsFor(): string | undefined {
    const shared = this.shares.map((one) => one.waitsFor()).find((what) => what !== undefined);
    const sought = this.finders.map((one) => one.waitsFor()).find((what) => what !== undefined);
    return shared ?? sought ?? this.direct.waitsFor() ?? this.asks.waitsFor();
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
    const { name, partitions } = plan.topic;
    this.members(plan, new LossyBooks(this.context.books, name, partitions, loss));
  }

  private members(plan: GroupedPlan, books: LossyBooks): void {
    const { topic, attemptsMax, pushOrder, simpleOrder } = plan;
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

  private other({ text, batches, finders, kept, direct }: OtherPlan, plan: Plan, network: Network): void {
    if (kept) {
      const { name, partitions } = kept.topic;
      const books = new KeptBooks(this.context.books, name, partitions);
      this.members(kept, books);
      this.give([0], 'keeper', books, (context) => new Keeper(context, books));
    }
    const [books] = this.desks.all;
    this.give(direct?.writers ?? [], 'direct', books, (context) => new DirectWriter(context, this.direct));
    this.give(direct?.readers ?? [], 'direct-reader', books, (context) => new DirectReader(context, this.direct));
    if (text) this.text(text, network);
    if (batches) this.batches(batches, plan);
    this.onTopics(finders ?? [], 'finder', plan, (context) => {
      const finder = new Finder(context, network);
      this.finders.push(finder);
      return finder;
    });
  }

  /** Members of the groups of the work topic, beside those with the library. */
  private text(text: TextPlan, network: Network): void {
    const { world } = this.context;
    const [books] = this.desks.all;
    const [push, simple] = books.groups;
    const json: OpenSpeaker = (lost) => new JsonSpeaker(world, network, lost);
    const http: OpenSpeaker = () => new HttpSpeaker(network);
    this.give(text.jsonPush, 'json-push', books, (context) => new TextPush(context, push, json));
    this.give(text.httpPush, 'http-push', books, (context) => new TextPush(context, push, http));
    this.give(text.jsonSimple, 'json-simple', books, (context) => new TextReader(context, simple, json));
    this.give(text.httpSimple, 'http-simple', books, (context) => new TextReader(context, simple, http));
  }

  /** Members of a group of the work topic, and readers of plain topics. */
  private batches({ members, others, order, fails, readers }: BatchesPlan, plan: Plan): void {
    const [books] = this.desks.all;
    const { attemptsMax = 1 } = plan.messaging ?? {};
    const group = new GroupBook(BATCH_GROUP, { order, attemptsMax }, books);
    books.groups.push(group);
    books.burstMax = BATCH_BURST;
    this.give(members, BATCH_GROUP, books, (context) => new BatchMember(context, group, fails));
    this.give(others, `${BATCH_GROUP}-other`, books, (context) => new PushMember(context, group));
    this.onTopics(readers, 'batch-reader', plan, (context) => new BatchReader(context));
  }

  private bulk(bulk: BulkPlan, plan: Plan, network: Network): void {
    const { topics } = plan;
    const [books] = this.desks.all;
    const give = (players: readonly number[], name: string, make: (context: BulkContext) => Role): void => {
      this.onTopics(players, name, plan, make);
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

  /** Roles on plain topics. */
  private onTopics(
    players: readonly number[],
    name: string,
    { topics }: Plan,
    make: (context: BulkContext) => Role,
  ): void {
    this.give(players, name, this.desks.all[0], (context) => {
      const { name: topic, partitions } = topics[this.context.world.random(topics.length)];
      return make({ ...context, topic, partitions });
    });
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
