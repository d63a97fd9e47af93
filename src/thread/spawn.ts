// The one place that starts threads. Server threads run compiled code, also when this file runs from source (tests).
import { type TransferListItem, Worker } from 'node:worker_threads';

export type ServerThread = 'nameserver' | 'broker' | 'frontend' | 'store' | 'log-reader' | 'coordinator';

function doorOf(name: ServerThread): URL {
  const fromSource = import.meta.url.endsWith('.ts');
  return new URL(`${fromSource ? '../../dist' : '../..'}/workers/${name}.js`, import.meta.url);
}

/** Starts a server thread. */
export function spawnThread(name: ServerThread, workerData: unknown, transferList: TransferListItem[] = []): Worker {
  return new Worker(doorOf(name), { workerData, transferList, name: `ringmq-${name}` });
}
