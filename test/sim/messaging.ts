// Who takes part in the messaging of a simulated run.
import { type Application, type ApplicationContext, Auditor } from './applications.ts';
import { GroupBook } from './group-books.ts';
import { MessagingAuditor } from './messaging-auditor.ts';
import type { MessagingBooks } from './messaging-books.ts';
import { GROUPS, type MessagingRole, type Plan } from './plan.ts';
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
  const { attemptsMax } = plan;
  const push = new GroupBook(
    GROUPS[0],
    { order: plan.pushOrder, attemptsMax, ...(plan.pushAsks && { asked: plan.pushAsks }) },
    books,
  );
  const simple = new GroupBook(GROUPS[1], { order: plan.simpleOrder, attemptsMax }, books);
  books.groups.push(push, simple);
  const makers: Readonly<Record<MessagingRole, (context: RoleContext) => Role>> = {
    push: (context) => new PushMember(context, push),
    simple: (context) => new SimpleReader(context, simple),
    plain: (context) => new PlainSender(context),
    scheduler: (context) => new Scheduler(context),
    transactor: (context) => new Transactor(context),
  };
  for (const [role, players] of Object.entries(plan.roles) as [MessagingRole, readonly number[]][]) {
    players.forEach((player, i) => {
      applications[player].roles.push(makers[role]({ name: `${role}-${i}`, world, books, nextProducer }));
    });
  }
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
