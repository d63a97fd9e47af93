// What seeds of the broad kind have: some of the features that the other kinds leave out, beside one another. Groups of
// a topic in memory alone, groups of a topic of which old messages expire, requests with replies, message trace; and
// plain messages that go in batches, by pulls, in the readable protocol and over HTTP, to consumers that pause and to
// members of a broadcasting group.
import { dlqTopic, type GroupOrder } from '../../src/wire/services.ts';
import { GROUPS, MESSAGING_APPLICATIONS, MESSAGING_EMBEDDED, type Plan, type TopicPlan } from './plan.ts';
import type { OtherPlan } from './plan-other.ts';

/** Numbers of applications: a role for each. */
type Players = readonly number[];

/** A topic with groups of its own, of both kinds. */
export interface GroupedPlan {
  readonly topic: TopicPlan;
  readonly attemptsMax: number;
  readonly pushOrder: GroupOrder;
  readonly simpleOrder: GroupOrder;
  readonly push: Players;
  readonly simple: Players;
  readonly plain: Players;
}

export interface AsksPlan {
  readonly topic: TopicPlan;
  readonly askers: Players;
  readonly answerers: Players;
}

/** Players on the plain topics. */
export interface BulkPlan {
  readonly batchers: Players;
  readonly pullers: Players;
  readonly pausers: Players;
  readonly sharers: Players;
  /** Remote applications. */
  readonly json: Players;
  readonly http: Players;
}

export interface BroadPlan {
  /** Share of the messages that is traced. */
  readonly trace: number;
  /** Turns with troubles in the last life: what lies in memory alone is judged there. */
  readonly lastTurns: number;
  readonly flash?: GroupedPlan;
  readonly fleeting?: GroupedPlan;
  readonly asks?: AsksPlan;
  readonly bulk?: BulkPlan;
  readonly other?: OtherPlan;
}

const KIB = 1024;
export const MINUTE_MS = 60_000;
export const RING = { ringBytes: 64 * KIB } as const;

/** The plan of a seed with messaging, with other features in the place of its own, or some of them beside it. */
export function drawBroad(random: (below: number) => number, plan: Plan): Plan {
  const { messaging } = plan;
  if (!messaging) return plan;
  const among = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  const players = (least: number, most: number, first = 0): number[] => {
    const count = least + random(most - least + 1);
    return Array.from({ length: count }, () => first + random(MESSAGING_APPLICATIONS - first));
  };
  const grouped = (topic: TopicPlan): GroupedPlan => ({
    topic,
    attemptsMax: 2 + random(3),
    pushOrder: among('key', 'partition', 'none'),
    simpleOrder: among('key', 'partition', 'none'),
    push: players(1, 2),
    simple: players(1, 2),
    plain: players(1, 2),
  });
  const features = among(
    ['flash'],
    ['flash', 'asks'],
    ['fleeting', 'asks'],
    ['fleeting', 'whole'],
    ['fleeting', 'whole'],
    ['bulk'],
    ['bulk', 'asks'],
  );
  const isWhole = features.includes('whole');
  const flash = {
    name: 'flash',
    partitions: 1 + random(2),
    overflow: among('block', 'drop-oldest'),
    durable: false,
  } as const;
  const broad: BroadPlan = {
    trace: among(1, 0.3, 0),
    lastTurns: 1_000 + random(2_000),
    ...(features.includes('flash') && { flash: grouped({ ...flash, ringBytes: among(16, 64) * KIB }) }),
    ...(features.includes('fleeting') && { fleeting: grouped(fleetingTopic(random, isWhole)) }),
    ...(features.includes('asks') && { asks: drawAsks(among, players) }),
    ...(features.includes('bulk') && { bulk: drawBulk(players) }),
  };
  const { roles, ownTopics } = messaging;
  const withWork = random(3) === 0 && !isWhole;
  const groups = [broad.flash, broad.fleeting].flatMap((one) => (one ? groupsOf(one) : []));
  const more = [broad.flash?.topic, broad.fleeting?.topic, broad.asks?.topic].filter((one) => one !== undefined);
  const letters = groups.map((name) => ({ name: dlqTopic(name), partitions: 1, overflow: 'block', ...RING }) as const);
  return {
    ...plan,
    settings: { ...plan.settings, segmentBytes: 64 * KIB, ...(isWhole && wholeRetention(random)) },
    topics: broad.bulk ? drawTopics(random) : [],
    lives: plan.lives.slice(0, 2),
    messaging: {
      ...messaging,
      roles: withWork ? roles : { push: [], simple: [], plain: [], scheduler: [], transactor: [] },
      ownTopics: [...ownTopics, ...letters, ...more],
      broad,
    },
  };
}

/** The groups of a topic: the push one, the simple one. */
export function groupsOf({ topic }: GroupedPlan): readonly [string, string] {
  return [`${topic.name}-${GROUPS[0]}`, `${topic.name}-${GROUPS[1]}`];
}

/** Of everything: whole segments go. */
function wholeRetention(random: (below: number) => number): { retentionMs: number; retentionBytes: number } {
  if (random(2) === 0) return { retentionMs: 1_000 + random(2_000), retentionBytes: 0 };
  return { retentionMs: 0, retentionBytes: (3 + random(4)) * 64 * KIB };
}

function fleetingTopic(random: (below: number) => number, isWhole: boolean): TopicPlan {
  if (isWhole) return { name: 'fleeting', partitions: 1 + random(2), overflow: 'block', ...RING };
  // The least that a topic can ask for: the clock is set ahead by as much, see Absence.
  return { name: 'fleeting', partitions: 1 + random(2), overflow: 'block', ...RING, retentionMs: MINUTE_MS };
}

type Draw = (least: number, most: number, first?: number) => number[];

function drawAsks(among: <T>(...choices: readonly T[]) => T, players: Draw): AsksPlan {
  const topic = { name: 'asks', partitions: 2, overflow: 'block', ...RING, durable: among(true, false) } as const;
  return { topic, askers: players(1, 3), answerers: players(1, 3) };
}

function drawBulk(players: Draw): BulkPlan {
  return {
    batchers: players(1, 2),
    pullers: players(1, 2),
    pausers: players(0, 2),
    sharers: players(1, 3),
    json: players(1, 2, MESSAGING_EMBEDDED),
    http: players(1, 1, MESSAGING_EMBEDDED),
  };
}

/** Plain ones, without groups. */
export function drawTopics(random: (below: number) => number): TopicPlan[] {
  return Array.from({ length: 1 + random(2) }, (_, i) => {
    const overflow = (['block', 'reject', 'drop-oldest'] as const)[random(3)];
    return { name: `topic-${i}`, partitions: 1 + random(2), overflow };
  });
}
