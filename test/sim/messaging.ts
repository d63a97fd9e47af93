// Who takes part in the messaging of a simulated run.
import type { GroupOrder } from '../../src/wire/services.ts';
import { type Application, type ApplicationContext, Auditor } from './applications.ts';
import { FILTERS } from './filters.ts';
import { GroupBook, type GroupRules } from './group-books.ts';
import { MessagingAuditor } from './messaging-auditor.ts';
import type { MessagingBooks } from './messaging-books.ts';
import { Operator } from './operator-role.ts';
import { GROUPS, type MessagingPlan, type MessagingRole, type Plan } from './plan.ts';
import type { WidePlan } from './plan-wide.ts';
import { PushMember, SimpleReader } from './reader-roles.ts';
import type { Role, RoleContext } from './roles.ts';
import { PlainSender, Scheduler, Transactor } from './sender-roles.ts';

/** Hands the roles of a plan out. */
export function giveRoles(
  { messaging: plan }: Plan,
  books: MessagingBooks,
  { world, nextProducer }: ApplicationContext,
  applications: readonly Application[],
): void {
  if (!plan) return;
  const { wide, pushAsks } = plan;
  const push = new GroupBook(
    GROUPS[0],
    { ...rulesOf(plan, plan.pushOrder, wide?.push), ...(pushAsks && { asked: pushAsks }) },
    books,
  );
  const simple = new GroupBook(GROUPS[1], rulesOf(plan, plan.simpleOrder, wide?.simple), books);
  books.groups.push(push, simple);
  books.replaysAll = wide !== undefined;
  const varied = wide !== undefined;
  const give = (player: number, name: string, make: (context: RoleContext) => Role): void => {
    applications[player].roles.push(make({ name, world, books, nextProducer, varied }));
  };
  const makers: Readonly<Record<MessagingRole, (context: RoleContext) => Role>> = {
    push: (context) => new PushMember(context, push),
    simple: (context) => new SimpleReader(context, simple),
    plain: (context) => new PlainSender(context),
    scheduler: (context) => new Scheduler(context),
    transactor: (context) => new Transactor(context),
  };
  for (const [role, players] of Object.entries(plan.roles) as [MessagingRole, readonly number[]][]) {
    for (const [i, player] of players.entries()) give(player, `${role}-${i}`, makers[role]);
  }
  for (const [i, player] of wide?.operators.entries() ?? []) {
    give(player, `operator-${i}`, (context) => new Operator(context, books.groups));
  }
}

function rulesOf({ attemptsMax }: MessagingPlan, order: GroupOrder, manner: WidePlan['push'] | undefined): GroupRules {
  const { filter, priority } = manner ?? {};
  return { order, attemptsMax, ...(filter && { filter: FILTERS[filter] }), ...(priority && { priority }) };
}

/** Reads all topics in the end. */
export function makeAuditor(books: MessagingBooks, context: ApplicationContext): Auditor {
  const { world, nextProducer } = context;
  const auditor = new Auditor('auditor', context);
  auditor.roles.push(new MessagingAuditor({ name: 'auditor', world, books, nextProducer }));
  return auditor;
}

/** True if nobody has to know what is in there, or the auditor does. */
export function readUpTo({ topic, groups, logs }: MessagingBooks, place: string, end: number): boolean {
  const matters =
    place.startsWith(`${topic}/`) ||
    groups.some(({ name }) => place === `%DLQ%${name}/0` || place === `%RETRY%${name}|${topic}/0`);
  return !matters || (logs.get(place)?.length ?? 0) >= end;
}
