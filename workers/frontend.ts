// Thread door: a front end, which talks WebSocket and HTTP.
import { parentPort, workerData } from 'node:worker_threads';
import { packageVersion } from '../src/admin/package-info.ts';
import { type FrontEndWorkerData, runFrontEnd } from '../src/frontend/front-end-thread.ts';

if (parentPort) await runFrontEnd(workerData as FrontEndWorkerData, parentPort, packageVersion());
