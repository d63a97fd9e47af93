// Process of threads.test.ts: starts a server thread, opens sockets, ends the thread in the way that argv
// says, and prints 'alive' if it is itself still there afterwards. Node aborts when a thread leaves native
// handles behind.
import { once } from 'node:events';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import { WebSocket } from 'ws';

const [kind, how] = process.argv.slice(2);
const worker = new Worker(new URL('server-thread.mjs', import.meta.url), {
  workerData: { kind, port: 0, shared: false },
});
worker.on('error', () => {});
const [port] = await once(worker, 'message');

const clients = Array.from({ length: 3 }, () => new WebSocket(`ws://127.0.0.1:${port}/`, ['ringmq.bin.v1']));
for (const client of clients) client.on('error', () => {});
await Promise.all(clients.map((client) => once(client, 'open')));
const idle = connect(port, '127.0.0.1');
idle.on('error', () => {});
await once(idle, 'connect');

// Not once(): that one rejects on 'error'.
const exited = new Promise((resolve) => worker.on('exit', resolve));
if (how === 'close') worker.postMessage('close');
else clients[0].send(how);
await exited;
process.stdout.write('alive\n');
for (const client of clients) client.terminate();
idle.destroy();
