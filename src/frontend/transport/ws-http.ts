// Plain HTTP on node:http, for the transport on `ws`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  checkHeader,
  declaredLength,
  hasNoBody,
  IncomingHttp,
  isFramingHeader,
  joinChunks,
  type RequestHead,
  statusLine,
  textResponse,
} from './handshake.ts';
import type { HttpResponse, TransportHandlers, TransportLimits } from './transport.ts';

/** Time a client has for the headers of a request, and for the whole of it with its body. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 10_000;
const TIMEOUT_CHECK_MS = 5_000;

/** The HTTP server; WebSocket upgrades are for whoever listens to its 'upgrade' event. */
export class WsHttp {
  readonly server: Server;
  private readonly handlers: TransportHandlers;
  private readonly limits: TransportLimits;
  private pending = 0;
  /** From here on every request is answered with 503. */
  refusing = false;

  constructor(handlers: TransportHandlers, limits: TransportLimits) {
    this.handlers = handlers;
    this.limits = limits;
    const times = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    };
    this.server = createServer(times, (message, response) => this.handle(message, response));
  }

  /** Requests that have no answer yet. */
  get pendingCount(): number {
    return this.pending;
  }

  private handle(message: IncomingMessage, response: ServerResponse): void {
    const head = readHead(message);
    if (this.refusing || !head.path.startsWith('/')) {
      const answer = this.refusing ? textResponse(503, 'shutting down') : textResponse(400, 'bad request target');
      response.shouldKeepAlive = false;
      message.resume();
      writeResponse(response, head.method, answer);
      return;
    }
    const request = new IncomingHttp(head);
    this.pending++;
    // Emitted once, after the answer went out or when the client is gone.
    response.once('close', () => {
      this.pending--;
      if (!response.writableFinished) request.abort();
    });
    collectBody(message, declaredLength(head), this.limits.bodyMaxBytes, (body) => {
      if (body === undefined) {
        const answer = textResponse(413, `the body is larger than ${this.limits.bodyMaxBytes} bytes`);
        writeResponse(response, head.method, answer);
        return;
      }
      request.body = body;
      this.ask(request, response);
    });
  }

  private ask(request: IncomingHttp, response: ServerResponse): void {
    const answer = this.handlers.request(request);
    if (answer instanceof Promise) void answer.then((late) => writeResponse(response, request.method, late));
    else writeResponse(response, request.method, answer);
  }
}

export function readHead(message: IncomingMessage): RequestHead {
  const url = message.url ?? '/';
  const mark = url.indexOf('?');
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers.set(name, typeof value === 'string' ? value : value.join(', '));
  }
  return {
    method: message.method ?? 'GET',
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? '' : url.slice(mark + 1),
    remoteAddress: (message.socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, ''),
    headers,
  };
}

/** Answers on a connection that was handed over for an upgrade, and ends it. */
export function refuseUpgrade(connection: Duplex, answer: HttpResponse): void {
  const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = Buffer.byteLength(answer.body);
  const head = `HTTP/1.1 ${statusLine(answer.status)}\r\n${lines.join('')}content-length: ${length}\r\n`;
  connection.on('error', () => connection.destroy());
  connection.once('finish', () => connection.destroy());
  connection.write(`${head}connection: close\r\n\r\n`);
  connection.end(answer.body);
}

/**
 * Calls `done` once with the body, or with undefined as soon as it is too large; not at all if the client
 * goes away.
 */
function collectBody(
  message: IncomingMessage,
  declaredBytes: number,
  maxBytes: number,
  done: (body: Uint8Array | undefined) => void,
): void {
  let chunks: Uint8Array[] = [];
  let lengthBytes = 0;
  let over = declaredBytes > maxBytes;
  if (over) done(undefined);
  message.on('error', () => {
    chunks = [];
  });
  // After 413 the rest is read and thrown away: a client that is busy sending would not see the answer
  // otherwise.
  message.on('data', (chunk: Buffer) => {
    if (over) return;
    lengthBytes += chunk.length;
    over = lengthBytes > maxBytes;
    if (over) {
      chunks = [];
      done(undefined);
    } else chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
  });
  message.on('end', () => {
    if (!over) done(joinChunks(chunks, lengthBytes));
  });
}

function writeResponse(response: ServerResponse, method: string, answer: HttpResponse): void {
  if (response.destroyed || response.writableEnded) return;
  const { status, headers, body } = answer;
  response.statusCode = status;
  for (const name of Object.keys(headers)) {
    checkHeader(name, headers[name]);
    if (!isFramingHeader(name)) response.setHeader(name, headers[name]);
  }
  if (status !== 204 && status !== 304) response.setHeader('content-length', Buffer.byteLength(body));
  if (hasNoBody(method, status)) response.end();
  else response.end(typeof body === 'string' ? body : Buffer.from(body));
}
