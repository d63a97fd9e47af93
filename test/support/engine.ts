// Brokers for the engine's integration tests: started with small limits, stopped after each test, with a way to their
// threads; folders for their data, removed after each test; and worker threads that play a role.
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach } from 'vitest';
import type { Connection, ConsumerOptions } from '../../src/client/connection.ts';
import type { InProcessConnection } from '../../src/client/in-process.ts';
import type { Message } from '../../src/client/message.ts';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import type { BrokerOptions } from '../../src/server/options.ts';
import type { ServerThread } from '../../src/thread/spawn.ts';
import type { Supervisor } from '../../src/thread/supervisor.ts';
import { until } from './until.ts';

const ROLES = new URL('engine-roles.mjs', import.meta.url);

const brokers: Broker[] = [];
const threads: RoleThread[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.worker.terminate();
  for (const broker of brokers.splice(0)) await broker.stop();
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** An empty folder for the data of a broker. */
export function dataFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-data-'));
  folders.push(folder);
  return folder;
}

/** A broker with one worker and rings of 64 KiB, without data if not said otherwise; stopped after the test. */
export async function startTestBroker(options: BrokerOptions = {}): Promise<Broker> {
  const broker = await startBroker({ workers: 1, ringBytes: 64 * 1024, drainMs: 2_000, ...options });
  brokers.push(broker);
  return broker;
}

export async function startConnected(
  options: BrokerOptions = {},
): Promise<{ broker: Broker; connection: InProcessConnection }> {
  const broker = await startTestBroker(options);
  return { broker, connection: broker.connect() };
}

/** The broker's supervisor, which is not part of its interface. */
export function supervisorOf(broker: Broker): Supervisor {
  return (broker as unknown as { supervisor: Supervisor }).supervisor;
}

/** The shared control block. */
export function controlOf(broker: Broker): Int32Array {
  return new Int32Array(broker.attachment.control);
}

/** Terminates one server thread and waits until its successor runs. */
export async function kill(broker: Broker, name: ServerThread, index = 0): Promise<void> {
  const supervisor = supervisorOf(broker);
  const victim = supervisor.threadsOf(name)[index];
  const before = supervisor.restarts;
  await victim.terminate();
  await until(() => supervisor.restarts > before, `the supervisor notices the death of ${name}`);
  await until(() => supervisor.threadsOf(name)[index] !== victim, `${name} runs again`);
}

/** A worker thread that plays one of the roles in engine-roles.mjs. */
export class RoleThread {
  readonly worker: Worker;
  /** What the thread has said, by kind of message: the newest of each. */
  readonly said = new Map<string, Record<string, never>>();
  exitCode: number | undefined;
  error: Error | undefined;

  constructor(broker: Broker, role: string, data: object) {
    this.worker = new Worker(ROLES, { workerData: { role, attachment: broker.attachment, ...data } });
    this.worker.on('message', (message) => this.said.set(message.type, message));
    this.worker.on('error', (error) => {
      this.error = error as Error;
    });
    this.worker.on('exit', (code) => {
      this.exitCode = code;
    });
    threads.push(this);
  }

  /** The first message of this kind; fails early if the thread dies. */
  async heard<T>(type: string, withinMs = 20_000): Promise<T> {
    await until(() => this.said.has(type) || this.exitCode !== undefined, `the thread says ${type}`, withinMs);
    if (!this.said.has(type)) throw new Error(`the thread ended with ${this.exitCode}: ${this.error?.stack}`);
    return this.said.get(type) as T;
  }

  async exited(withinMs = 10_000): Promise<number> {
    await until(() => this.exitCode !== undefined, 'the thread ends', withinMs);
    return this.exitCode as number;
  }

  async terminate(): Promise<void> {
    if (this.exitCode !== undefined) return;
    const exit = once(this.worker, 'exit');
    await this.worker.terminate();
    await exit;
  }
}

/** Everything that comes in a topic, from its beginning. */
export async function listen(
  client: Pick<Connection, 'consumer'>,
  topic: string,
  more: Partial<ConsumerOptions> = {},
): Promise<Message[]> {
  const heard: Message[] = [];
  const onMessage = (message: Message): void => void heard.push(message);
  await client.consumer(topic, { from: 'earliest', onMessage, ...more }).ready();
  return heard;
}

/** A promise's error; fails if there is none. */
export async function errorOf(promise: PromiseLike<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected a failure');
}
