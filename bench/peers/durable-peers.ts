// What keeps messages on disk today: Redis streams and NATS JetStream, as Debian packages them, started on loopback
// with an empty folder for every run and ended after it. Each is written to by its own project's Node client, with
// a bounded number of messages under way; the clock stops when all are acknowledged, and the server is asked how
// many it has.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { createClient } from '@redis/client';
import { type Contestant, check, type Measured, type Scale } from '../support/bench.ts';
import { freePort } from '../support/free-port.ts';
import { Payload } from '../support/payload.ts';

const UNDER_WAY = 4_096;
const START_MAX_MS = 10_000;
const STREAM = 'bench';

/** Sends one message; resolves when it is acknowledged. */
type Send = (body: Uint8Array) => Promise<unknown>;

export const redisStreams: Contestant = {
  name: 'Redis streams, appendfsync always',
  missing: () => missing('redis-server'),
  measure: (scale) => withServer(redisArgs, (port) => measureRedis(port, scale)),
};

/** 2.9 of Debian 12 knows no `sync_interval: always` (2.10 does): it writes to the page cache and syncs at times. */
export const natsJetStream: Contestant = {
  name: 'NATS JetStream, file storage, no sync per message',
  missing: () => missing('nats-server'),
  measure: (scale) => withServer(natsArgs, (port) => measureNats(port, scale)),
};

function redisArgs(folder: string, port: number): readonly string[] {
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
  return ['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...durable];
}

function natsArgs(folder: string, port: number): readonly string[] {
  const config = path.join(folder, 'nats.conf');
  writeFileSync(config, `host: 127.0.0.1\nport: ${port}\njetstream { store_dir: "${folder}/js" }\n`);
  return ['nats-server', '-c', config];
}

async function measureRedis(port: number, scale: Scale): Promise<Measured> {
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  await client.connect();
  try {
    const measured = await pipeline(scale, (body) => client.xAdd(STREAM, '*', { b: Buffer.from(body) }));
    check((await client.xLen(STREAM)) === measured.sent, 'the stream does not have what was acknowledged');
    return { messagesPerSecond: measured.sent / measured.seconds };
  } finally {
    client.destroy();
  }
}

async function measureNats(port: number, scale: Scale): Promise<Measured> {
  const connection = await connectNats({ servers: `127.0.0.1:${port}` });
  try {
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: STREAM, subjects: [STREAM], storage: 'file' });
    const stream = jetstream(connection);
    const measured = await pipeline(scale, (body) => stream.publish(STREAM, body.slice()));
    const { state } = await manager.streams.info(STREAM);
    check(state.messages === measured.sent, 'the stream does not have what was acknowledged');
    return { messagesPerSecond: measured.sent / measured.seconds };
  } finally {
    await connection.close();
  }
}

async function pipeline(scale: Scale, send: Send): Promise<{ sent: number; seconds: number }> {
  const payload = new Payload(scale.bodyBytes);
  const began = performance.now();
  const end = began + scale.durationMs;
  let sent = 0;
  let failure: unknown;
  const line = async (): Promise<void> => {
    while (performance.now() < end && failure === undefined) await send(payload.of(sent++).slice());
  };
  const lines = Array.from({ length: UNDER_WAY }, () => line().catch((error: unknown) => (failure = error)));
  await Promise.all(lines);
  if (failure !== undefined) throw failure;
  return { sent, seconds: (performance.now() - began) / 1000 };
}

function missing(program: string): string | undefined {
  const found = spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
  return found ? undefined : `${program} is not installed (apt-get install ${program})`;
}

async function withServer(
  argsOf: (folder: string, port: number) => readonly string[],
  use: (port: number) => Promise<Measured>,
): Promise<Measured> {
  const folder = mkdtempSync(path.join(tmpdir(), 'ringmq-peer-'));
  const port = await freePort();
  const [program, ...args] = argsOf(folder, port);
  const child = spawn(program, args, { stdio: 'ignore' });
  try {
    await answers(child, port);
    return await use(port);
  } finally {
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

async function answers(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + START_MAX_MS;
  while (!(await accepts(port))) {
    check(child.exitCode === null && Date.now() < deadline, `the peer ${child.spawnfile} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
