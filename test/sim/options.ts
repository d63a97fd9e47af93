// What a simulated run is asked to do, and what it tells.
import type { StoreContext } from '../../src/store/store-context.ts';
import type { CoordinatorSabotage } from './coordinator-thread.ts';
import type { Plan } from './plan.ts';
import type { DiskSabotage } from './sim-disk.ts';

/** Seeds from this one on have messaging. */
export const MESSAGING_SEEDS = 10_001;
/** Seeds from this one on have filters, priorities, seeks, resets, replays and deletions of groups besides. */
export const WIDE_SEEDS = 20_001;
/** Seeds from this one on have topics that lose messages on purpose, requests, traces, and other ways in and out. */
export const BROAD_SEEDS = 30_001;

/** Seeds from this one on have what all of them lacked. */
export const OTHER_SEEDS = 40_001;

export interface SimOptions {
  readonly seed: number;
  /** Keep every line of the trace. */
  readonly verbose?: boolean;
  /** With a coordinator, groups, timers and transactions. Default: what seeds from MESSAGING_SEEDS on have. */
  readonly messaging?: boolean;
  /** A run that takes more turns has failed. Default 150,000. */
  readonly turnsMax?: number;
  /** Something is made wrong on purpose, to see it found. */
  readonly sabotage?: Sabotage;
}

export interface Sabotage extends CoordinatorSabotage {
  readonly disk?: DiskSabotage;
  readonly store?: (context: StoreContext) => StoreContext;
  readonly plan?: (plan: Plan) => Plan;
  /** Breaks the product's own code for the time of a run; returns the call that mends it. */
  readonly breaks?: () => () => void;
}

export interface SimReport {
  readonly seed: number;
  /** Hash of everything that happened. */
  readonly digest: string;
  readonly anomalies: readonly string[];
  readonly trace: readonly string[];
  readonly sent: number;
  readonly acknowledged: number;
  readonly delivered: number;
  readonly stored: number;
  /** Messages handed to members of groups, and acknowledgements of them that were answered. */
  readonly handed: number;
  readonly settled: number;
  /**
   * Requests that were answered, records of the trace that were read, gaps that groups were told, what was found, and
   * what was read of direct partitions.
   */
  readonly answered?: number;
  readonly traced?: number;
  readonly gaps?: number;
  readonly found?: number;
  readonly read?: number;
  readonly turns: number;
  readonly simulatedMs: number;
}
