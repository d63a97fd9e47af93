// Thread door of benches: imports the module named in workerData and runs it.
import { parentPort, workerData } from 'node:worker_threads';

const { module, data, board } = workerData as { module: string; data: object; board: SharedArrayBuffer };
const { run } = (await import(module)) as {
  run(data: object, board: Int32Array, ready: () => void): Promise<unknown>;
};
const value = await run(data, new Int32Array(board), () => parentPort?.postMessage({ type: 'ready' }));
parentPort?.postMessage({ type: 'result', value });
