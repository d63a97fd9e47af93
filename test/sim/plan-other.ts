// What seeds of the fifth kind have: what the other kinds leave out, beside groups of both kinds.
import { dlqTopic, type GroupOrder } from '../../src/wire/services.ts';
import { DIRECT_TOPIC } from './direct-roles.ts';
import { MESSAGING_APPLICATIONS, MESSAGING_EMBEDDED, type Plan, type TopicPlan } from './plan.ts';
import { type BroadPlan, drawTopics, type GroupedPlan, groupsOf, RING } from './plan-broad.ts';
import { drawWide } from './plan-wide.ts';

type Players = readonly number[];
type Feature = 'text' | 'pauses' | 'batches' | 'finders' | 'kept' | 'direct';

/** Members of the groups of the work topic that do without the library: remote applications. */
export interface TextPlan {
  readonly jsonPush: Players;
  readonly httpPush: Players;
  readonly jsonSimple: Players;
  readonly httpSimple: Players;
}

export interface OtherPlan {
  readonly text?: TextPlan;
  /** Push members pause now and then. */
  readonly pauses?: boolean;
  readonly batches?: BatchesPlan;
  /** Who looks for messages of plain topics by key, time and id. */
  readonly finders?: Players;
  /** A topic of which so many bytes are kept. */
  readonly kept?: GroupedPlan;
  readonly direct?: DirectPlan;
}

export interface DirectPlan {
  readonly topic: TopicPlan;
  /** Embedded applications. */
  readonly writers: Players;
  readonly readers: Players;
}

/** Who takes batches: members of a group of the work topic, and who just reads plain topics. */
export interface BatchesPlan {
  readonly members: Players;
  /** Members of the same group that take messages. */
  readonly others: Players;
  readonly order: GroupOrder;
  /** Handlers of the group fail now and then. */
  readonly fails: boolean;
  readonly readers: Players;
}

export const BATCH_GROUP = 'batch';
const TURNS_MAX = 3_000;

/** The plan of a seed with messaging, half of them with filters, priorities and moved groups. */
export function drawOther(random: (below: number) => number, plan: Plan): Plan {
  const whole = random(2) === 0 ? drawWide(random, plan) : plan;
  const { messaging } = whole;
  if (!messaging) return plan;
  const among = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  const players = (least: number, most: number, first = 0): number[] => {
    const count = least + random(most - least + 1);
    return Array.from({ length: count }, () => first + random(MESSAGING_APPLICATIONS - first));
  };
  const features: readonly Feature[] = among(
    ['text'],
    ['text'],
    ['text', 'pauses'],
    ['pauses', 'batches'],
    ['batches', 'finders'],
    ['finders', 'direct'],
    ['kept'],
  );
  const other: OtherPlan = {
    ...(features.includes('text') && { text: drawText(players) }),
    ...(features.includes('pauses') && { pauses: true }),
    ...(features.includes('batches') && { batches: drawBatches(random, players) }),
    ...(features.includes('finders') && { finders: players(1, 2) }),
    ...(features.includes('kept') && { kept: drawKept(random, players) }),
    ...(features.includes('direct') && { direct: drawDirect(random, players) }),
  };
  const broad: BroadPlan = { trace: 0, lastTurns: 500 + random(1_000), other };
  const { roles } = messaging;
  const isAlone = other.kept !== undefined;
  const [first] = roles.plain;
  const some = {
    push: features.includes('text') ? players(0, 1) : roles.push,
    simple: features.includes('text') ? players(0, 1) : roles.simple,
    plain: [first],
    scheduler: roles.scheduler.slice(0, random(2)),
    transactor: [],
  };
  const groups = [...(other.batches ? [BATCH_GROUP] : []), ...(other.kept ? groupsOf(other.kept) : [])];
  const letters = groups.map((name) => ({ name: dlqTopic(name), partitions: 1, overflow: 'block', ...RING }) as const);
  const more = [other.kept?.topic, other.direct?.topic].filter((one) => one !== undefined);
  return {
    ...whole,
    settings: { ...whole.settings, ...(isAlone && { segmentBytes: 256 * 1024 }) },
    topics: other.batches || other.finders ? drawTopics(random) : [],
    lives: whole.lives.slice(0, 2).map((one) => ({ ...one, turns: Math.min(one.turns, TURNS_MAX) })),
    messaging: {
      ...messaging,
      ownTopics: [...messaging.ownTopics, ...letters, ...more],
      roles: isAlone ? { push: [], simple: [], plain: [], scheduler: [], transactor: [] } : some,
      broad,
    },
  };
}

type Draw = (least: number, most: number, first?: number) => number[];

function drawBatches(random: (below: number) => number, players: Draw): BatchesPlan {
  const fails = random(2) === 0;
  const order = fails ? 'none' : (['key', 'partition', 'none'] as const)[random(3)];
  return { members: players(1, 2), others: players(0, 2), order, fails, readers: players(1, 2) };
}

function drawKept(random: (below: number) => number, players: Draw): GroupedPlan {
  const orders = ['key', 'partition', 'none'] as const;
  return {
    topic: { name: 'kept', partitions: 1, overflow: 'block', ...RING },
    attemptsMax: 2 + random(3),
    pushOrder: orders[random(3)],
    simpleOrder: orders[random(3)],
    push: players(1, 1),
    simple: players(1, 1),
    plain: players(2, 3),
  };
}

function drawDirect(random: (below: number) => number, players: Draw): DirectPlan {
  const writers = Array.from({ length: 1 + random(3) }, () => random(MESSAGING_EMBEDDED));
  const topic = {
    name: DIRECT_TOPIC,
    partitions: 0,
    overflow: 'block',
    ...RING,
    durable: false,
    direct: true,
  } as const;
  return { topic, writers, readers: players(2, 3) };
}

function drawText(players: Draw): TextPlan {
  const some = (least: number): number[] => players(least, 1, MESSAGING_EMBEDDED);
  return { jsonPush: some(1), httpPush: some(0), jsonSimple: some(1), httpSimple: some(1) };
}
