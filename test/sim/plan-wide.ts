// What seeds of the widest kind have besides: groups with filters, priorities and every order, that are sought, reset,
// deleted and whose dead letters are replayed.
import { FILTERS, type FilterName } from './filters.ts';
import { MESSAGING_APPLICATIONS, type MessagingPlan, type Plan } from './plan.ts';

export interface WidePlan {
  readonly push: Manner;
  readonly simple: Manner;
  /** Applications that operate groups. */
  readonly operators: readonly number[];
}

/** How a group wants its messages. */
interface Manner {
  readonly filter: FilterName | undefined;
  readonly priority: boolean;
}

/** The same plan, but for messaging. */
export function drawWide(random: (below: number) => number, plan: Plan): Plan {
  const { messaging } = plan;
  if (!messaging) return plan;
  const among = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  const orders = ['key', 'partition', 'none'] as const;
  const pushOrder = among(...orders);
  const simpleOrder = among(...orders);
  const names = Object.keys(FILTERS) as FilterName[];
  const manner = (order: (typeof orders)[number]): Manner => ({
    filter: among(undefined, ...names),
    priority: order !== 'partition' && random(2) === 0,
  });
  const wide: WidePlan = {
    push: manner(pushOrder),
    simple: manner(simpleOrder),
    operators: [random(MESSAGING_APPLICATIONS)],
  };
  const changed: MessagingPlan = { ...messaging, pushOrder, simpleOrder, wide };
  return { ...plan, messaging: changed };
}
