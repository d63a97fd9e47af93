// Who takes part in the messaging of a simulated run.
import type { GroupOrder } from '../../src/wire/services.ts';
import { type Application, type ApplicationContext, Auditor } from './applications.ts';
import type { Desks } from './desks.ts';
import { FILTERS } from './filters.ts';
import { GroupBook, type GroupRules } from './group-books.ts';
import { MessagingAuditor } from './messaging-auditor.ts';
import { Operator } from './operator-role.ts';
import { GROUPS, type MessagingPlan, type MessagingRole, type Plan } from './plan.ts';
import type { WidePlan } from './plan-wide.ts';
import { PushMember, SimpleReader } from './reader-roles.ts';
import type { Role, RoleContext } from './roles.ts';
import { PlainSender, Scheduler, Transactor } from './sender-roles.ts';

/** Hands the roles of a plan out. */
export function giveRoles(
  { messaging: plan }: Plan,
  desks: Desks,
  { world, nextProducer, traced }: ApplicationContext,
  applications: readonly Application[],
): void {
  if (!plan) return;
  const [books] = desks.all;
  const { wide, pushAsks } = plan;
  const push = new GroupBook(
    GROUPS[0],
    {
      ...rulesOf(plan, plan.pushOrder, wide?.push),
      ...(pushAsks && { asked: pushAsks }),
      ...(plan.broad?.other?.pauses && { pauses: true }),
    },
    books,
  );
  const simple = new GroupBook(GROUPS[1], rulesOf(plan, plan.simpleOrder, wide?.simple), books);
  books.groups.push(push, simple);
  books.replaysAll = wide !== undefined;
  const varied = wide !== undefined;
  const give = (player: number, name: string, make: (context: RoleContext) => Role): void => {
    applications[player].roles.push(make({ name, world, books, nextProducer, varied, trace: traced }));
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
export function makeAuditor(desks: Desks, context: ApplicationContext): Auditor {
  const { world, nextProducer } = context;
  const auditor = new Auditor('auditor', context);
  for (const books of desks.all) {
    auditor.roles.push(new MessagingAuditor({ name: 'auditor', world, books, nextProducer }));
  }
  auditor.roles.push(...desks.besides.auditors());
  return auditor;
}
