// Starts the threads of a stress test, stops them, and collects what they say.
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SEATS_MAX } from '../../native-layout/control.ts';
import { Bells } from '../../src/memory/bell.ts';
import { SIZES } from './sizes.ts';

const WORKER = new URL('./worker.mjs', import.meta.url);
const DIST = process.env.RINGMQ_DIST
  ? pathToFileURL(`${process.env.RINGMQ_DIST.replace(/\/$/, '')}/`)
  : new URL('../../dist/', import.meta.url);
const DEADLINE_MS = 30_000;

/** Seconds that each stress test runs. */
export const STRESS_MS = Number(process.env.RINGMQ_STRESS_S ?? 2.5) * 1000;
/** Seed of all randomness; printed, and given back by RINGMQ_STRESS_SEED. */
export const SEED = Number(process.env.RINGMQ_STRESS_SEED ?? Date.now() % 1_000_000_007);

export type Buffers = Readonly<Record<string, SharedArrayBuffer>> & {
  readonly control: SharedArrayBuffer;
  readonly signals: SharedArrayBuffer;
};

interface Message {
  readonly result?: unknown;
  readonly error?: string;
  readonly pinned?: number;
}

/** One thread of a test. */
export class Thread {
  readonly worker: Worker;
  /** What its role returns. */
  readonly result: Promise<unknown>;
  /** Resolves once it says that it has pinned. */
  readonly pinned: Promise<number>;

  constructor(role: string, regions: Buffers, seed: number, options: object) {
    if (!existsSync(fileURLToPath(DIST))) throw new Error(`${fileURLToPath(DIST)} is missing: build first`);
    this.worker = new Worker(WORKER, { workerData: { role, regions, seed, options, sizes: SIZES, dist: DIST.href } });
    const settled = resolvers<unknown>();
    const pinned = resolvers<number>();
    this.worker.on('message', (message: Message) => {
      if (message.pinned !== undefined) pinned.resolve(message.pinned);
      else if (message.error === undefined) settled.resolve(message.result);
      else for (const one of [settled, pinned]) one.reject(new Error(message.error));
    });
    this.worker.on('error', (error) => {
      for (const one of [settled, pinned]) one.reject(error);
    });
    this.result = settled.promise;
    this.pinned = pinned.promise;
    this.result.catch(() => {});
    this.pinned.catch(() => {});
  }
}

/**
 * Lets the threads run for a while, unless one of them fails before, then tells them to stop and returns what they
 * say.
 */
export async function runFor(ms: number, regions: Buffers, threads: readonly Thread[]): Promise<unknown[]> {
  const all = Promise.all(threads.map((thread) => thread.result));
  const timer = resolvers<void>();
  const timeout = setTimeout(timer.resolve, ms);
  await Promise.race([timer.promise, all]);
  clearTimeout(timeout);
  return stop(regions, threads);
}

/** Tells the threads to stop and waits for what they say. */
export async function stop(regions: Buffers, threads: readonly Thread[]): Promise<unknown[]> {
  Atomics.store(new Int32Array(regions.signals), SIZES.STOP, 1);
  const bells = new Bells(new Int32Array(regions.control));
  for (let seat = 0; seat < SEATS_MAX; seat++) bells.rouse(seat);
  try {
    return await withDeadline(Promise.all(threads.map((thread) => thread.result)), 'the threads did not stop');
  } finally {
    await Promise.all(threads.map((thread) => thread.worker.terminate()));
  }
}

export async function withDeadline<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = resolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: not within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

interface Resolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

function resolvers<T>(): Resolvers<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (reason: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
