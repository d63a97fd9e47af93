// Handlers of a group in threads of their own (Node only), by piscina: see Consumer.pool().
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { RingmqError } from '../base/codes.ts';
import type { HandlerPool } from './group-consumer.ts';
import type { Message } from './message.ts';
import type { PooledMessage, PoolOptions } from './messaging.ts';

/** What a handler threw, as it comes out of its thread: an error's class does not travel. */
export interface HandlerFailure {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** Of a RetryLater. */
  readonly delayMs: number | undefined;
}

/** What a handler's thread is given: see workers/handler.ts. */
export interface HandlerTask {
  readonly module: string;
  readonly message: PooledMessage;
}

const THREADS_MIN = 2;
const THREADS_MAX = 256;
const IDLE_MS = 30_000;
const TIMER_MAX_MS = 0x7fff_ffff;

/** Resolves when the module is loaded. Rejects with `illegal-argument` if that fails, or if it has no handler. */
export async function openHandlerPool(file: string | URL, options: PoolOptions): Promise<HandlerPool> {
  const { threads = Math.max(availableParallelism(), THREADS_MIN) } = options;
  if (!(Number.isSafeInteger(threads) && threads >= 1 && threads <= THREADS_MAX)) {
    throw new RingmqError('illegal-argument', `pool: threads is ${threads}: 1 to ${THREADS_MAX}`);
  }
  const module = moduleOf(file);
  const fromSource = import.meta.url.endsWith('.ts');
  const door = new URL(`${fromSource ? '../../dist' : '../..'}/workers/handler.js`, import.meta.url);
  const piscina = new Piscina({
    filename: door.href,
    minThreads: 0,
    maxThreads: threads,
    idleTimeout: IDLE_MS,
    // A thread that waits for work must run what its handler left behind: timers, sockets.
    atomics: 'async',
  });
  const wrong: string = await piscina.run(module, { name: 'load' });
  if (wrong !== '') {
    await piscina.destroy();
    throw new RingmqError('illegal-argument', `pool: ${module}: ${wrong}`);
  }
  return {
    threads,
    handle: (message, timeoutMs) => runIn(piscina, { module, message: pooled(message) }, timeoutMs),
    close: () => piscina.destroy(),
  };
}

async function runIn(piscina: Piscina, task: HandlerTask, timeoutMs: number): Promise<void> {
  const late = new AbortController();
  // Nothing else stops a handler that hangs: its thread ends with it.
  const timer = timeoutMs <= TIMER_MAX_MS ? setTimeout(() => late.abort(), timeoutMs) : undefined;
  try {
    const failure: HandlerFailure | undefined = await piscina.run(task, { name: 'handle', signal: late.signal });
    if (failure) throw revive(failure);
  } catch (error) {
    if (!late.signal.aborted) throw error;
    const { topic, partition, offset } = task.message;
    const text = `the handler of ${topic}/${partition}@${offset} took longer than ${timeoutMs} ms (handlerTimeoutMs)`;
    throw new RingmqError('handler-failed', text);
  } finally {
    clearTimeout(timer);
  }
}

function pooled(message: Message<never>): PooledMessage {
  const { body, key, tag, properties, topic, partition, offset, attempts } = message;
  return { body, key, tag, properties, topic, partition, offset, attempts };
}

function revive({ name, message, stack, delayMs }: HandlerFailure): Error {
  const error = new Error(message);
  return Object.assign(error, { name, stack }, delayMs === undefined ? {} : { delayMs });
}

function moduleOf(file: string | URL): string {
  if (file instanceof URL || file.startsWith('file:')) return String(file);
  return pathToFileURL(path.resolve(file)).href;
}
