// How the store is doing, gathered out of shared memory: for /metrics, sys.metrics, /health and the dashboard.
import {
  STORE_BYTES_LOW,
  STORE_COMMITS,
  STORE_DAMAGED,
  STORE_DURABLE_LOW,
  STORE_FULL,
  STORE_INDEXED_LOW,
  STORE_OLDEST_LOW,
  STORE_STATES,
  STORE_WRITTEN_LOW,
} from '../../native-layout/store.ts';
import type { Regions, StoreRegion } from '../memory/regions.ts';
import { storeCount, storeNumber, storeState } from '../memory/store-state.ts';

/** `off`: the broker keeps no data. `full`: new messages are refused until there is room on the disk. */
export type StoreStateName = keyof typeof STORE_STATES | 'off';

/** Positions count the bytes of the log from its beginning. */
export interface StoreFigures {
  readonly state: StoreStateName;
  /** Since the start. */
  readonly commits: number;
  readonly writtenPosition: number;
  readonly durablePosition: number;
  /** Oldest one that is still there. */
  readonly oldestPosition: number;
  /** Up to which keys are in the key index. */
  readonly indexedPosition: number;
  /** Bytes of log on the disk. */
  readonly logBytes: number;
  /** Runs of messages that were found damaged and are not delivered. */
  readonly damagedRuns: number;
}

export function storeStateName({ store }: Pick<Regions, 'store'>): StoreStateName {
  if (!store) return 'off';
  const state = storeState(store);
  if (state === STORE_STATES.running && storeCount(store, STORE_FULL) !== 0) return 'full';
  const names = Object.keys(STORE_STATES) as (keyof typeof STORE_STATES)[];
  return names.find((name) => STORE_STATES[name] === state) ?? 'failed';
}

/** Undefined if the broker keeps no data. */
export function storeFigures(regions: Pick<Regions, 'store'>): StoreFigures | undefined {
  const { store } = regions;
  if (!store) return undefined;
  return {
    state: storeStateName(regions),
    commits: unsigned(store, STORE_COMMITS),
    writtenPosition: storeNumber(store, STORE_WRITTEN_LOW),
    durablePosition: storeNumber(store, STORE_DURABLE_LOW),
    oldestPosition: storeNumber(store, STORE_OLDEST_LOW),
    indexedPosition: storeNumber(store, STORE_INDEXED_LOW),
    logBytes: storeNumber(store, STORE_BYTES_LOW),
    damagedRuns: unsigned(store, STORE_DAMAGED),
  };
}

function unsigned(store: StoreRegion, word: number): number {
  return storeCount(store, word) >>> 0;
}
