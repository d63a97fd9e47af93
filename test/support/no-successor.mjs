// The `ringmq` command, but the successor of a broker worker that has died does nothing: clients get no answers.
import { syncBuiltinESMExports } from 'node:module';
import workerThreads from 'node:worker_threads';

const { Worker } = workerThreads;
let brokers = 0;

workerThreads.Worker = class extends Worker {
  constructor(file, options) {
    const isSuccessor = /workers\/broker\.js$/.test(String(file)) && ++brokers > 1;
    super(isSuccessor ? 'setInterval(() => {}, 1_000)' : file, isSuccessor ? { ...options, eval: true } : options);
  }
};
syncBuiltinESMExports();
await import('../../bin/ringmq.mjs');
