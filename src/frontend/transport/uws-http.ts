// Plain HTTP on uWebSockets.js. The traps it stays clear of: a request object lives in the C++ stack and is
// gone when the handler returns; a response is gone once it was ended or aborted, and touching it then
// throws; a chunk of body is valid during its callback only; and returning without an answer and without
// onAborted() ends the process.
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
import type { UwsNativeRequest, UwsNativeResponse } from './uws-binding.ts';

export class UwsHttp {
  private readonly handlers: TransportHandlers;
  private readonly limits: TransportLimits;
  private pending = 0;
  /** From here on every request is answered with 503. */
  refusing = false;

  constructor(handlers: TransportHandlers, limits: TransportLimits) {
    this.handlers = handlers;
    this.limits = limits;
  }

  /** Requests that have no answer yet. */
  get pendingCount(): number {
    return this.pending;
  }

  /** The native handler for every method and path. */
  handle(response: UwsNativeResponse, request: UwsNativeRequest): void {
    const head = readHead(response, request);
    if (this.refusing) {
      writeResponse(response, head.method, textResponse(503, 'shutting down'), true);
      return;
    }
    const exchange = new Exchange(response, head, this.limits.bodyMaxBytes, (ended) => {
      if (ended === 'body') this.ask(exchange);
      else this.pending--;
    });
    this.pending++;
    exchange.start(declaredLength(head));
  }

  private ask(exchange: Exchange): void {
    const answer = this.handlers.request(exchange.request);
    if (answer instanceof Promise) void answer.then((response) => exchange.answer(response));
    else exchange.answer(answer);
  }
}

/**
 * One request and its answer. `notify` gets 'body' when the body is complete, and 'done' once, answered or
 * aborted.
 */
class Exchange {
  readonly request: IncomingHttp;
  private readonly response: UwsNativeResponse;
  private readonly bodyMaxBytes: number;
  private readonly notify: (event: 'body' | 'done') => void;
  private chunks: Uint8Array[] = [];
  private lengthBytes = 0;
  private over = false;

  constructor(
    response: UwsNativeResponse,
    head: RequestHead,
    bodyMaxBytes: number,
    notify: (event: 'body' | 'done') => void,
  ) {
    this.response = response;
    this.request = new IncomingHttp(head);
    this.bodyMaxBytes = bodyMaxBytes;
    this.notify = notify;
  }

  start(declaredBytes: number): void {
    this.response.onAborted(() => this.end(() => this.request.abort()));
    if (declaredBytes > this.bodyMaxBytes) this.refuseBody();
    else this.response.onData((chunk, isLast) => this.take(chunk, isLast));
  }

  answer(answer: HttpResponse): void {
    this.end(() => writeResponse(this.response, this.request.method, answer, false));
  }

  private take(chunk: ArrayBuffer, isLast: boolean): void {
    // After 413 the rest of the body still arrives. It is thrown away: to cut the connection instead would
    // destroy the answer on its way to a client that is busy sending.
    if (this.over) return;
    this.lengthBytes += chunk.byteLength;
    if (this.lengthBytes > this.bodyMaxBytes) {
      this.refuseBody();
      return;
    }
    if (chunk.byteLength > 0) this.chunks.push(new Uint8Array(chunk.slice(0)));
    if (!isLast) return;
    this.request.body = joinChunks(this.chunks, this.lengthBytes);
    this.chunks = [];
    this.notify('body');
  }

  private refuseBody(): void {
    this.chunks = [];
    this.answer(textResponse(413, `the body is larger than ${this.bodyMaxBytes} bytes`));
  }

  /** Runs `last` if this is the end; the response is not valid afterwards. */
  private end(last: () => void): void {
    if (this.over) return;
    this.over = true;
    last();
    this.notify('done');
  }
}

/** Everything of the request, copied. */
export function readHead(response: UwsNativeResponse, request: UwsNativeRequest): RequestHead {
  const headers = new Map<string, string>();
  request.forEach((name, value) => {
    if (!headers.has(name)) headers.set(name, value);
  });
  return {
    method: request.getMethod().toUpperCase(),
    path: request.getUrl(),
    query: request.getQuery() ?? '',
    remoteAddress: addressText(new Uint8Array(response.getRemoteAddress())),
    headers,
  };
}

/** Ends the response. It must not be touched afterwards. */
export function writeResponse(native: UwsNativeResponse, method: string, answer: HttpResponse, close: boolean): void {
  const { status, headers, body } = answer;
  native.cork(() => {
    native.writeStatus(statusLine(status));
    for (const name of Object.keys(headers)) {
      checkHeader(name, headers[name]);
      if (!isFramingHeader(name)) native.writeHeader(name, headers[name]);
    }
    if (!hasNoBody(method, status)) {
      native.end(body, close);
      return;
    }
    // The length is written by hand: endWithoutBody(length) leaves the request pending for ever in this
    // version.
    if (method === 'HEAD') native.writeHeader('Content-Length', String(Buffer.byteLength(body)));
    native.endWithoutBody();
  });
}

/** Text of an address of 4 or 16 bytes, in the form that node:net uses, IPv4 inside IPv6 unwrapped. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const mapped = bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff));
  if (mapped) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] << 8) | bytes[at + 1]).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
