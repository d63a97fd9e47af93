import type { Scenario } from '../engine.ts';
import { LANE_DEEP, LANE_SCENARIOS } from './lane.ts';
import { RING_DEEP, RING_SCENARIOS } from './ring.ts';

export const SCENARIOS: readonly Scenario[] = [...LANE_SCENARIOS, ...RING_SCENARIOS];
export const DEEP: readonly Scenario[] = [...LANE_DEEP, ...RING_DEEP];
