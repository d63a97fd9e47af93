// Answers of the HTTP API: JSON, and refusals with the status that fits their code.
import { CODES, type CodeName, RingmqError } from '../../base/codes.ts';
import type { HttpResponse } from '../transport/transport.ts';

export const NO_STORE = { 'cache-control': 'no-store' } as const;

const STATUS: Readonly<Partial<Record<CodeName, number>>> = {
  busy: 429,
  'lane-full': 429,
  'window-exceeded': 429,
  'buffer-full': 429,
  'ring-full': 429,
  'log-busy': 429,
  'reader-quota': 429,
  timeout: 503,
  'connection-lost': 503,
  'broker-unavailable': 503,
  'route-stale': 503,
  'shutting-down': 503,
  closed: 503,
  'store-failed': 503,
  'coordinator-unavailable': 503,
  'lease-quota': 429,
  'disk-full': 507,
  'log-damaged': 500,
  'unknown-topic': 404,
  'unknown-partition': 404,
  'not-found': 404,
  'unknown-group': 404,
  'unknown-method': 404,
  'unknown-transaction': 404,
  'method-not-allowed': 405,
  'topic-exists': 409,
  'not-durable': 409,
  'topic-volatile': 409,
  'stale-generation': 409,
  'stale-lease': 409,
  'group-mismatch': 409,
  'member-exists': 409,
  'group-in-use': 409,
  'transaction-ended': 409,
  'too-late': 409,
  'offset-out-of-range': 416,
  'no-write-permission': 403,
  'no-read-permission': 403,
  'auto-create-off': 403,
  'direct-only': 403,
  'not-direct': 403,
  'origin-refused': 403,
  'topic-quota': 403,
  'partition-quota': 403,
  'memory-quota': 403,
  'message-too-large': 413,
  'frame-too-large': 413,
  internal: 500,
};
const TOO_MANY = 429;
const UNAVAILABLE = 503;
const DEFAULT_STATUS = 400;

/** HTTP status of a code that is no success. */
export function statusOf(code: CodeName): number {
  return STATUS[code] ?? DEFAULT_STATUS;
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return jsonText(status, JSON.stringify(value), headers);
}

/** The same for text that is JSON already. */
export function jsonText(status: number, text: string, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...NO_STORE, ...headers },
    body: text,
  };
}

/** `{error: {code, number, advice, text}}` with the status that fits. */
export function refusal(code: CodeName, text?: string, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  const { number, advice } = CODES[code];
  const status = statusOf(code);
  const retry = status === TOO_MANY || status === UNAVAILABLE ? { 'retry-after': '1' } : {};
  return json(status, { error: { code, number, advice, text: text ?? CODES[code].text } }, { ...retry, ...headers });
}

/** The answer to a refused request; anything else is a fault of ours: thrown on. */
export function refusalOf(error: unknown): HttpResponse {
  if (error instanceof RingmqError) return refusal(error.code, error.message);
  throw error;
}

export function notAllowed(...allowed: readonly string[]): HttpResponse {
  return refusal('method-not-allowed', `this path takes ${allowed.join(', ')}`, { allow: allowed.join(', ') });
}
