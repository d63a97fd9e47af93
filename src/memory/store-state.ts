// How the store is doing, in words that every thread of the broker can read.
//
// Who writes: the header's first line, the store thread; its second line, the log reader thread.
import { STORE_COMMITS, STORE_FULL, STORE_REFUSAL, STORE_STATE, STORE_STATES } from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import type { StoreRegion } from './regions.ts';
import { readWide, storeWide } from './wide.ts';

/** One of STORE_STATES. */
export function storeState(store: StoreRegion): number {
  return Atomics.load(store.words, STORE_STATE);
}

/** Store thread: `refusal` is the number of the code that appends are refused with from now on; 0: none. */
export function setStoreState(store: StoreRegion, state: number, refusal: number): void {
  Atomics.store(store.words, STORE_REFUSAL, refusal);
  Atomics.store(store.words, STORE_STATE, state);
}

/** Number of the code that a durable partition refuses batches with; 0 while it takes them. HOT */
export function storeRefusal(store: StoreRegion): number {
  if (Atomics.load(store.words, STORE_FULL) !== 0) return CODES['disk-full'].number;
  const state = Atomics.load(store.words, STORE_STATE);
  return state === STORE_STATES.running ? 0 : Atomics.load(store.words, STORE_REFUSAL);
}

/** Log reader thread: the disk is fuller than the watermark allows, or no longer is. */
export function setStoreFull(store: StoreRegion, full: boolean): void {
  Atomics.store(store.words, STORE_FULL, full ? 1 : 0);
}

/** Store thread: one more commit. */
export function countCommit(store: StoreRegion): void {
  Atomics.add(store.words, STORE_COMMITS, 1);
}

/** A count of the header (STORE_COMMITS, STORE_DAMAGED, STORE_FULL). */
export function storeCount(store: StoreRegion, word: number): number {
  return Atomics.load(store.words, word);
}

/** Adds to a count of the header; for its writer. */
export function addStoreCount(store: StoreRegion, word: number, more: number): void {
  Atomics.add(store.words, word, more);
}

/**
 * A number of two words (STORE_WRITTEN_LOW, STORE_DURABLE_LOW, STORE_OLDEST_LOW, STORE_INDEXED_LOW, STORE_BYTES_LOW).
 */
export function storeNumber(store: StoreRegion, word: number): number {
  return readWide(store.words, word);
}

/** Writes a number of two words; for its writer. */
export function setStoreNumber(store: StoreRegion, word: number, value: number): void {
  storeWide(store.words, word, value);
}
