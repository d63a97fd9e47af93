// The transports in worker threads, which is where they run: sharing a port, and ending a thread that has
// open sockets. The threads run what was built into dist/: Node 20 does not load TypeScript.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../support/until.ts';
import { connect, connectRaw, KINDS, type Kind, NATIVE, stopAll } from './harness.ts';

const SERVER = new URL('server-thread.mjs', import.meta.url);
const LIFE = fileURLToPath(new URL('process-life.mjs', import.meta.url));
const workers: Worker[] = [];

afterEach(async () => {
  await stopAll();
  for (const worker of workers.splice(0)) {
    worker.postMessage('close');
    await once(worker, 'exit');
  }
});

interface ServerThread {
  readonly worker: Worker;
  readonly port: number;
  readonly exited: () => number | undefined;
}

async function startThread(kind: Kind, port: number, shared: boolean): Promise<ServerThread> {
  const worker = new Worker(SERVER, { workerData: { kind, port, shared } });
  let exit: number | undefined;
  worker.on('exit', (code) => {
    exit = code;
    workers.splice(workers.indexOf(worker), 1);
  });
  workers.push(worker);
  const [listening] = await once(worker, 'message');
  return { worker, port: listening, exited: () => exit };
}

describe.each(KINDS)('%s: in a worker thread', (kind) => {
  test('closing with open client sockets of every sort ends the thread with 0', async () => {
    const thread = await startThread(kind, 0, false);
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(thread.port)));
    clients[0].pause();
    clients[0].raw.send('flood');
    await connectRaw(thread.port);
    const half = await connectRaw(thread.port);
    half.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf');
    clients[1].raw.send('hello');
    await clients[1].frame(0);
    thread.worker.postMessage('close');
    await until(() => thread.exited() !== undefined, 'the thread ends');
    expect(thread.exited()).toBe(0);
    for (const client of clients.slice(1)) expect((await client.end()).code).toBe(1001);
  });
});

describe.each(NATIVE)('%s: in worker threads', (kind) => {
  test('two of them share one port, and both get connections', async () => {
    const first = await startThread(kind, 0, true);
    const second = await startThread(kind, first.port, true);
    expect(second.port).toBe(first.port);
    const answered = new Set<string>();
    for (let n = 0; n < 200 && answered.size < 2; n++) {
      const client = await connect(first.port);
      client.raw.send('who');
      answered.add((await client.frame(0)).toString());
      client.raw.terminate();
    }
    expect(answered).toEqual(new Set([`thread ${first.worker.threadId}`, `thread ${second.worker.threadId}`]));
  });
});

// In a process of its own, because what must not happen is that the process aborts.
describe.each(KINDS)('%s: a thread that ends without closing', (kind) => {
  test.each(['close', 'throw', 'reject', 'exit'])(
    '%s with open sockets does not take the process down',
    async (how) => {
      const child = spawn(process.execPath, [LIFE, kind, how], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        output += chunk;
      });
      const [code, signal] = await once(child, 'close');
      expect({ code, signal, output }).toEqual({ code: 0, signal: null, output: 'alive\n' });
    },
  );
});
