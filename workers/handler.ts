// Thread door: runs the handler of a group consumer's pool (src/client/handler-pool.ts). Started by piscina.
import type { HandlerFailure, HandlerTask } from '../src/client/handler-pool.ts';
import type { PooledHandler } from '../src/client/messaging.ts';

const handlers = new Map<string, PooledHandler>();

/** Loads the module. What is wrong with it, '' for nothing. */
export async function load(module: string): Promise<string> {
  try {
    await handlerOf(module);
    return '';
  } catch (error) {
    return failureOf(error).message;
  }
}

export async function handle({ module, message }: HandlerTask): Promise<HandlerFailure | undefined> {
  try {
    const handler = handlers.get(module) ?? (await handlerOf(module));
    await handler(message);
    return undefined;
  } catch (error) {
    return failureOf(error);
  }
}

async function handlerOf(module: string): Promise<PooledHandler> {
  const { default: handler } = (await import(module)) as { default?: unknown };
  if (typeof handler !== 'function')
    throw new Error('its default export is no function (message) => void | Promise<void>');
  handlers.set(module, handler as PooledHandler);
  return handler as PooledHandler;
}

function failureOf(thrown: unknown): HandlerFailure {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { delayMs } = error as { delayMs?: unknown };
  return {
    name: error.name,
    message: error.message,
    stack: error.stack ?? '',
    delayMs: typeof delayMs === 'number' ? delayMs : undefined,
  };
}
