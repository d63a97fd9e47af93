// What a seed makes of a run: how large everything is, who takes part, and what goes wrong when. A plan is drawn before
// the run begins; what happens in it comes from the same seed, turn by turn.
import type { BrokerSettings } from './server-threads.ts';

export type LifeEnd = 'kill' | 'power' | 'stop';

export interface TopicPlan {
  readonly name: string;
  readonly partitions: number;
  readonly overflow: 'block' | 'reject' | 'drop-oldest';
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
}

const KIB = 1024;

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
