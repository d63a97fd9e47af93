// What both transports do alike around HTTP and the WebSocket handshake: parsed requests that outlive the
// native ones, the checks of RFC 6455 section 4.2.1, close reasons that fit into a frame, limits.
import { STATUS_CODES } from 'node:http';
import { assert } from '../../base/fault.ts';
import type { HttpRequest, HttpResponse, TransportLimits, UpgradeAnswer, UpgradeRequest } from './transport.ts';

/** Largest reason that fits into a close frame, in bytes (RFC 6455 section 5.5: 125 less 2 for the code). */
const REASON_MAX_BYTES = 123;
const IDLE_TIMEOUT_MIN_S = 8;
const IDLE_TIMEOUT_MAX_S = 960;

export type Refusal = Extract<UpgradeAnswer, { refuse: number }>;

/** First part of a request: everything but the body. Owned copies. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly remoteAddress: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** One plain HTTP request on its way through the front end. */
export class IncomingHttp implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly remoteAddress: string;
  body: Uint8Array = new Uint8Array(0);
  private readonly headers: ReadonlyMap<string, string>;
  private controller: AbortController | undefined;
  private aborted = false;

  constructor(head: RequestHead) {
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.remoteAddress = head.remoteAddress;
    this.headers = head.headers;
  }

  header(name: string): string {
    return this.headers.get(name) ?? '';
  }

  /** Made when first asked for: most requests are answered at once and never look. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.aborted) this.controller.abort();
    return this.controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.controller?.abort();
  }
}

export function upgradeRequest(head: RequestHead): UpgradeRequest {
  const header = (name: string) => head.headers.get(name) ?? '';
  return {
    path: head.path,
    query: head.query,
    origin: header('origin'),
    protocols: parseProtocols(header('sec-websocket-protocol')),
    remoteAddress: head.remoteAddress,
    header,
  };
}

/** Why a request cannot become a WebSocket whatever the front end thinks; undefined if it can. */
export function handshakeProblem(head: RequestHead): Refusal | undefined {
  const header = (name: string) => head.headers.get(name) ?? '';
  if (head.method !== 'GET' || header('upgrade').toLowerCase() !== 'websocket') {
    return { refuse: 400, text: 'this address upgrades to WebSocket only' };
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(header('sec-websocket-key'))) {
    return { refuse: 400, text: 'missing or malformed Sec-WebSocket-Key' };
  }
  if (header('sec-websocket-version') !== '13') return { refuse: 426, text: 'WebSocket version 13 is required' };
  return undefined;
}

/** '404 Not Found' */
export function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? 'Status'}`;
}

/** Plain answer in words. */
export function textResponse(status: number, text: string): HttpResponse {
  const headers: Record<string, string> = { 'content-type': 'text/plain; charset=utf-8' };
  if (status === 426) headers['sec-websocket-version'] = '13';
  return { status, headers, body: `${text}\n` };
}

/** Headers that the server sets itself: a second value would break the framing. */
export function isFramingHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'content-length' || lower === 'transfer-encoding' || lower === 'connection';
}

/** A line break in a header would let whoever chose the value write headers or answers of his own. */
export function checkHeader(name: string, value: string): void {
  assert(!/[\r\n\0]/.test(name) && !/[\r\n\0]/.test(value), `response header ${JSON.stringify(name)} has a line break`);
}

/** Answers to these have no body (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5). */
export function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

/** Declared body length in bytes; 0 if there is none or it is no number. */
export function declaredLength(head: RequestHead): number {
  const length = Number(head.headers.get('content-length') ?? '0');
  return Number.isFinite(length) ? length : 0;
}

/** The whole body. */
export function joinChunks(chunks: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const body = new Uint8Array(lengthBytes);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** The reason, cut to what a close frame holds, without splitting a character. */
export function closeReason(reason: string): string {
  if (reason.length * 3 <= REASON_MAX_BYTES) return reason;
  const bytes = new Uint8Array(REASON_MAX_BYTES);
  return reason.slice(0, new TextEncoder().encodeInto(reason, bytes).read);
}

/** Codes that may be sent (RFC 6455 section 7.4). A code from elsewhere is our bug. */
export function checkCloseCode(code: number): void {
  const standard = code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
  assert(standard || (code >= 3000 && code <= 4999), `close code ${code} must not be sent`);
}

export function idleTimeoutS(limits: TransportLimits): number {
  return Math.min(IDLE_TIMEOUT_MAX_S, Math.max(IDLE_TIMEOUT_MIN_S, Math.floor(limits.idleTimeoutS)));
}

function parseProtocols(header: string): string[] {
  if (header === '') return [];
  return header
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
