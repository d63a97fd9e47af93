// Threads of a bench: each runs one exported function of a module, and shares a small board with the bench.
import { type TransferListItem, Worker } from 'node:worker_threads';

/** Words of the board. `sent` and `received` count what was sent to warm up, too; `warm` is how much that was. */
export const BOARD = { go: 0, sent: 1, received: 2, wrong: 3, producersDone: 4, ready: 5, warm: 6 } as const;

export interface BenchThread {
  /** Resolves with what the thread's function returned. */
  readonly result: Promise<unknown>;
  /** Resolves when the thread says that it is ready. */
  readonly ready: Promise<void>;
}

/** Starts `run(data, board, ready)` of a module in a thread of its own. */
export function startThread(
  module: URL,
  data: object,
  board: SharedArrayBuffer,
  transferList: TransferListItem[] = [],
): BenchThread {
  const worker = new Worker(new URL('./thread-door.js', import.meta.url), {
    workerData: { module: module.href, data, board },
    transferList,
  });
  let ready: () => void = () => {};
  const readiness = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const result = new Promise<unknown>((resolve, reject) => {
    worker.on('message', (message: { type: string; value?: unknown }) => {
      if (message.type === 'ready') ready();
      else resolve(message.value);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`bench thread ended with ${code}`)));
  });
  result.catch(() => {});
  return { result, ready: Promise.race([readiness, result.then(() => {})]) };
}

/** Whether what comes after so many messages counts: what warmed up was stored before anything else was sent. */
export function isCounted(board: Int32Array, received: number): boolean {
  return Atomics.load(board, BOARD.go) === 1 && received >= Atomics.load(board, BOARD.warm);
}
