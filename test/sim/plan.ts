// What a seed makes of a run: how large everything is, who takes part, and what goes wrong when. A plan is drawn before
// the run begins; what happens in it comes from the same seed, turn by turn.
import { dlqTopic, type GroupOrder, HALF_TOPIC, TIMER_TOPIC } from '../../src/wire/services.ts';
import type { BroadPlan } from './plan-broad.ts';
import type { WidePlan } from './plan-wide.ts';
import type { BrokerSettings } from './server-threads.ts';

export type LifeEnd = 'kill' | 'power' | 'stop';

export interface TopicPlan {
  readonly name: string;
  readonly partitions: number;
  readonly overflow: 'block' | 'reject' | 'drop-oldest';
  /** Default: as the broker does. */
  readonly ringBytes?: number;
  /** Default true. */
  readonly durable?: boolean;
  /** Threads make its partitions. */
  readonly direct?: boolean;
  /** How long, and how much of it, is kept. Default: as the broker does. */
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
}

export interface Plan {
  readonly settings: BrokerSettings;
  readonly topics: readonly TopicPlan[];
  /** How each life but the last ends, and after how many turns. */
  readonly lives: readonly { readonly turns: number; readonly end: LifeEnd }[];
  readonly embedded: readonly { readonly group: boolean; readonly slow: boolean }[];
  readonly remote: readonly { readonly slow: boolean }[];
  /** Of a hundred turns, so many move the clock. */
  readonly clockPercent: number;
  /** Turns between two troubles, about. */
  readonly troubleTurns: number;
  readonly messaging?: MessagingPlan;
}

const KIB = 1024;

/** What the messaging of a run is like. */
export interface MessagingPlan {
  readonly topic: TopicPlan;
  /** The coordinator's own, with small rings: it would take larger ones. */
  readonly ownTopics: readonly TopicPlan[];
  readonly attemptsMax: number;
  readonly pushOrder: GroupOrder;
  /** To break it on purpose: what push members ask for instead. */
  readonly pushAsks?: 'none';
  readonly simpleOrder: GroupOrder;
  /** Who plays what: for each role the number of an application, embedded ones first. */
  readonly roles: Readonly<Record<MessagingRole, readonly number[]>>;
  readonly wide?: WidePlan;
  readonly broad?: BroadPlan;
}

export type MessagingRole = 'push' | 'simple' | 'plain' | 'scheduler' | 'transactor';

/** The groups: push consumers and simple ones. */
export const GROUPS = ['push', 'simple'] as const;
export const MESSAGING_EMBEDDED = 2;
const MESSAGING_REMOTE = 2;
export const MESSAGING_APPLICATIONS = MESSAGING_EMBEDDED + MESSAGING_REMOTE;

/** Messaging for a plan: nothing else happens, and nothing expires. */
export function drawMessaging(random: (below: number) => number, plan: Plan): Plan {
  const among = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  const some = (least: number, most: number): number[] => {
    const count = least + random(most - least + 1);
    return Array.from({ length: count }, () => random(MESSAGING_APPLICATIONS));
  };
  return {
    ...plan,
    settings: { ...plan.settings, ringBytes: 64 * KIB, retentionMs: 0, retentionBytes: 0 },
    topics: [],
    lives: plan.lives.map((one) => ({ ...one, turns: one.turns + 1_500 })),
    embedded: Array.from({ length: MESSAGING_EMBEDDED }, () => ({ group: false, slow: false })),
    remote: Array.from({ length: MESSAGING_REMOTE }, () => ({ slow: false })),
    clockPercent: among(15, 30),
    messaging: {
      topic: { name: 'work', partitions: 1 + random(3), overflow: among('block', 'drop-oldest') },
      ownTopics: [TIMER_TOPIC, HALF_TOPIC, ...GROUPS.map(dlqTopic)].map((name) => {
        return { name, partitions: 1, overflow: 'block', ringBytes: 64 * KIB };
      }),
      attemptsMax: 2 + random(3),
      pushOrder: among('key', 'key', 'none'),
      simpleOrder: among('key', 'none'),
      roles: { push: some(2, 3), simple: some(1, 2), plain: some(1, 2), scheduler: some(1, 2), transactor: some(1, 2) },
    },
  };
}

/** Draws a plan. `random`: 0 to below its argument. */
export function drawPlan(random: (below: number) => number): Plan {
  const among = <T>(...choices: readonly T[]): T => choices[random(choices.length)];
  const segmentBytes = among(64, 128, 256) * KIB;
  const keeping = random(5);
  const settings: BrokerSettings = {
    workers: 1 + random(2),
    mode: among('direct', 'buffered'),
    segmentBytes,
    ringBytes: among(16, 32, 64) * KIB,
    retentionMs: keeping === 0 ? 500 + random(4_000) : 0,
    retentionBytes: keeping === 1 ? segmentBytes * (2 + random(4)) : 0,
  };
  const topics = Array.from({ length: 1 + random(3) }, (_, i): TopicPlan => {
    return {
      name: `topic-${i}`,
      partitions: 1 + random(3),
      overflow: among('block', 'block', 'reject', 'drop-oldest'),
    };
  });
  const lives = Array.from({ length: 1 + random(4) }, () => {
    return { turns: 200 + random(2_500), end: among<LifeEnd>('kill', 'kill', 'power', 'power', 'stop') };
  });
  return {
    settings,
    topics,
    lives,
    embedded: Array.from({ length: 1 + random(2) }, () => ({ group: random(2) === 0, slow: random(4) === 0 })),
    remote: Array.from({ length: random(3) }, () => ({ slow: random(4) === 0 })),
    clockPercent: among(5, 15, 30),
    troubleTurns: among(100, 300, 1_000),
  };
}
