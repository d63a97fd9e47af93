// Worker thread of threads.test.ts: one transport that answers, and closes when it is told to.
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { openTransport } from '../../../dist/src/frontend/transport/open-transport.js';

const LIMITS = {
  messageMaxBytes: 1_000_000,
  bodyMaxBytes: 1_000_000,
  bufferedMaxBytes: 1_000_000,
  connectionsMax: 1_000,
  idleTimeoutS: 60,
};
const DROPPED = 2;

const handlers = {
  upgrade: () => ({ accept: 'ringmq.bin.v1' }),
  open: () => {},
  message: (socket, data) => take(socket, new TextDecoder().decode(data)),
  drain: () => {},
  close: () => {},
  request: () => ({ status: 200, headers: {}, body: `thread ${threadId}` }),
};

function take(socket, text) {
  if (text === 'flood') while (socket.send(new Uint8Array(100_000)) !== DROPPED);
  else if (text === 'throw') throw new Error('as asked');
  else if (text === 'reject') void Promise.reject(new Error('as asked'));
  else if (text === 'exit') process.exit(3);
  else socket.send(`thread ${threadId}`);
}

const { kind, port, shared } = workerData;
const { transport } = await openTransport(handlers, LIMITS, kind);
parentPort.on('message', async () => {
  await transport.close(1001, 'going away');
  process.exit(0);
});
parentPort.postMessage(await transport.listen({ host: '127.0.0.1', port, shared }));
