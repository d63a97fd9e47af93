// What the transport tests share: both transports started alike with everything recorded, a WebSocket client
// that keeps what it got, raw TCP for what no client would send, and conditions awaited with a deadline.
import { once } from 'node:events';
import { connect as connectTcp, type Socket as TcpSocket } from 'node:net';
import { WebSocket } from 'ws';
import { openTransport } from '../../../src/frontend/transport/open-transport.ts';
import {
  type ServerTransport,
  type Socket,
  SUBPROTOCOLS,
  type TransportHandlers,
  type TransportLimits,
  type UpgradeRequest,
} from '../../../src/frontend/transport/transport.ts';
import { loadUwsBinding } from '../../../src/frontend/transport/uws-binding.ts';
import { until } from '../../support/until.ts';

export type Kind = 'uws' | 'ws';

const native = loadUwsBinding();
/** The native transport is optional: where it does not load, the other one is tested alone. */
export const NATIVE: readonly Kind[] = native.ok ? ['uws'] : [];
export const KINDS: readonly Kind[] = [...NATIVE, 'ws'];
if (!native.ok) process.stderr.write(`uWebSockets.js is not tested: ${native.reason}\n`);

export const HOST = '127.0.0.1';
export const LIMITS: TransportLimits = {
  messageMaxBytes: 8 * 1024 * 1024,
  bodyMaxBytes: 64 * 1024,
  bufferedMaxBytes: 1024 * 1024,
  connectionsMax: 100,
  idleTimeoutS: 60,
};

export interface Message {
  readonly socket: Socket;
  readonly data: Buffer;
  readonly binary: boolean;
}

/** A running transport and all that happened on it. */
export interface Running {
  readonly transport: ServerTransport;
  readonly reason: string;
  readonly port: number;
  readonly upgrades: UpgradeRequest[];
  readonly opened: Socket[];
  readonly messages: Message[];
  readonly drained: Socket[];
  readonly closes: { socket: Socket; code: number }[];
}

const running: Running[] = [];
const clients: Client[] = [];
const tcpSockets: TcpSocket[] = [];

export async function start(
  kind: Kind,
  handlers: Partial<TransportHandlers> = {},
  limits: Partial<TransportLimits> = {},
): Promise<Running> {
  const log: Omit<Running, 'transport' | 'port' | 'reason'> = {
    upgrades: [],
    opened: [],
    messages: [],
    drained: [],
    closes: [],
  };
  const recorded = recording(log, handlers);
  const { transport, reason } = await openTransport(recorded, { ...LIMITS, ...limits }, kind);
  const port = await transport.listen({ host: HOST, port: 0, shared: false });
  const started = { ...log, transport, reason, port };
  running.push(started);
  return started;
}

/** Closes all that a test started. */
export async function stopAll(): Promise<void> {
  for (const client of clients.splice(0)) client.raw.terminate();
  for (const socket of tcpSockets.splice(0)) socket.destroy();
  for (const { transport, opened, closes } of running.splice(0)) {
    // A transport without open sockets closes at once: this makes the whole suite a third shorter.
    await until(() => closes.length === opened.length, 'the clients are gone', 500).catch(() => {});
    await transport.close(1001, 'end of test');
  }
}

function recording(log: Omit<Running, 'transport' | 'port' | 'reason'>, own: Partial<TransportHandlers>) {
  const handlers: TransportHandlers = {
    upgrade: (request) => {
      log.upgrades.push(request);
      return own.upgrade === undefined ? chooseProtocol(request) : own.upgrade(request);
    },
    open: (socket) => {
      log.opened.push(socket);
      own.open?.(socket);
    },
    message: (socket, data, binary) => {
      log.messages.push({ socket, data: Buffer.from(data.slice()), binary });
      own.message?.(socket, data, binary);
    },
    drain: (socket) => {
      log.drained.push(socket);
      own.drain?.(socket);
    },
    close: (socket, code) => {
      log.closes.push({ socket, code });
      own.close?.(socket, code);
    },
    request: own.request ?? (() => ({ status: 404, headers: {}, body: 'not found' })),
  };
  return handlers;
}

function chooseProtocol(request: UpgradeRequest) {
  const known = Object.values(SUBPROTOCOLS).find((name) => request.protocols.includes(name));
  if (known !== undefined) return { accept: known };
  if (request.protocols.length === 0) return { accept: SUBPROTOCOLS.json };
  return { refuse: 400, text: `unknown subprotocols ${request.protocols.join(' ')}` };
}

/** A WebSocket client and all that it got. */
export class Client {
  readonly raw: WebSocket;
  readonly frames: { readonly data: Buffer; readonly binary: boolean }[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;

  constructor(raw: WebSocket) {
    this.raw = raw;
    raw.on('error', () => {});
    raw.on('message', (data: Buffer, binary) => this.frames.push({ data, binary }));
    raw.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    clients.push(this);
  }

  /** Stops reading: what the server sends piles up. */
  pause(): void {
    this.raw.pause();
  }

  resume(): void {
    this.raw.resume();
  }

  async frame(index: number): Promise<Buffer> {
    await until(() => this.frames.length > index, `frame ${index} arrives`);
    return this.frames[index].data;
  }

  async end(): Promise<{ code: number; reason: string }> {
    await until(() => this.closed !== undefined, 'the client is closed');
    return this.closed as { code: number; reason: string };
  }
}

/** Rejects with `status N` if the server refuses. */
export async function connect(
  port: number,
  protocols: string[] = [SUBPROTOCOLS.binary],
  options: { path?: string; headers?: Record<string, string>; autoPong?: boolean } = {},
): Promise<Client> {
  const { path = '/', ...rest } = options;
  const raw = new WebSocket(`ws://${HOST}:${port}${path}`, protocols, { perMessageDeflate: false, ...rest });
  const client = new Client(raw);
  await new Promise<void>((resolve, reject) => {
    raw.once('open', resolve);
    raw.once('error', reject);
    raw.once('unexpected-response', (_request, response) => reject(new Error(`status ${response.statusCode}`)));
  });
  return client;
}

/** A TCP connection that collects what it is sent. */
export async function connectRaw(
  port: number,
): Promise<{ socket: TcpSocket; text: () => string; ended: () => boolean }> {
  const socket = connectTcp(port, HOST);
  tcpSockets.push(socket);
  let text = '';
  let ended = false;
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('close', () => {
    ended = true;
  });
  await once(socket, 'connect');
  return { socket, text: () => text, ended: () => ended };
}

/** Bytes of a WebSocket upgrade request. */
export function upgradeText(headers: Record<string, string> = {}): string {
  const all = {
    Host: HOST,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET / HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/**
 * A frame as a client sends it: masked with zeros, so that the payload stays readable. `first` is FIN and
 * opcode.
 */
export function clientFrame(first: number, payload: Uint8Array): Buffer {
  if (payload.length > 125) throw new Error('short frames only');
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
