// All scenarios, the quick ones and those that only the deep run affords.
import type { Scenario } from '../engine.ts';
import { ACK_SCENARIOS } from './acks.ts';
import { BELL_DEEP, BELL_SCENARIOS } from './bell.ts';
import { FLOW_DEEP, FLOW_SCENARIOS } from './flow.ts';
import { JOURNAL_SCENARIOS } from './journal.ts';
import { LANE_DEEP, LANE_SCENARIOS } from './lane.ts';
import { NOTICE_DEEP, NOTICE_SCENARIOS } from './notice.ts';
import { RING_DEEP, RING_SCENARIOS } from './ring.ts';
import { WORD_SCENARIOS } from './words.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...LANE_SCENARIOS,
  ...RING_SCENARIOS,
  ...BELL_SCENARIOS,
  ...NOTICE_SCENARIOS,
  ...FLOW_SCENARIOS,
  ...WORD_SCENARIOS,
  ...JOURNAL_SCENARIOS,
  ...ACK_SCENARIOS,
];

/** The quick ones too, longer or with more preemptions. */
export const DEEP: readonly Scenario[] = [...LANE_DEEP, ...RING_DEEP, ...BELL_DEEP, ...NOTICE_DEEP, ...FLOW_DEEP];
