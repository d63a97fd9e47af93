// The transport on node:http and the `ws` package: pure JavaScript, runs wherever Node runs. It serves where
// the native one does not load, at a fifth of its speed or less, and only one thread can listen on a port.
import type { IncomingMessage } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import { assert } from '../../base/fault.ts';
import { handshakeProblem, idleTimeoutS, type Refusal, textResponse, upgradeRequest } from './handshake.ts';
import { listenError } from './port-probe.ts';
import type { ListenOptions, ServerTransport, Subprotocol, TransportHandlers, TransportLimits } from './transport.ts';
import { readHead, refuseUpgrade, WsHttp } from './ws-http.ts';
import { WsSocket } from './ws-socket.ts';

/** Time that close() gives peers to take what is buffered for them and to answer the close frame. */
const CLOSE_WAIT_MS = 2_000;
/** Time that one closed socket has for the same while the transport goes on. */
const CLOSE_ANSWER_MS = 10_000;
const POLL_MS = 10;
const HEARTBEATS_PER_IDLE_TIMEOUT = 8;

export class WsTransport implements ServerTransport {
  readonly name = 'ws';
  readonly sharesPort = false;
  private readonly handlers: TransportHandlers;
  private readonly limits: TransportLimits;
  private readonly http: WsHttp;
  private readonly upgrader: WebSocketServer;
  /** Open ones, and those that were closed but whose connection is still there. */
  private readonly connections = new Set<WsSocket>();
  private openCount = 0;
  private heartbeat: NodeJS.Timeout | undefined;
  private closed: Promise<void> | undefined;
  /** Subprotocol of the handshake in progress; a handshake is done in one go. */
  private accepting: Subprotocol | undefined;

  constructor(handlers: TransportHandlers, limits: TransportLimits) {
    this.handlers = handlers;
    this.limits = limits;
    this.http = new WsHttp(handlers, limits);
    const options = {
      noServer: true,
      clientTracking: false,
      maxPayload: limits.messageMaxBytes,
      perMessageDeflate: false,
      skipUTF8Validation: false,
      closeTimeout: CLOSE_ANSWER_MS,
      handleProtocols: (offered: Set<string>) => {
        const accepted = this.accepting;
        return accepted !== undefined && offered.has(accepted) ? accepted : false;
      },
    };
    this.upgrader = new WebSocketServer(options);
    this.http.server.on('upgrade', (message: IncomingMessage, tcp: TcpSocket, head: Buffer) => {
      this.upgrade(message, tcp, head);
    });
  }

  listen(options: ListenOptions): Promise<number> {
    const { server } = this.http;
    assert(this.heartbeat === undefined && this.closed === undefined, 'a transport listens once');
    assert(!options.shared, 'ws cannot share a port: see sharesPort');
    const everyMs = (idleTimeoutS(this.limits) * 1_000) / HEARTBEATS_PER_IDLE_TIMEOUT;
    this.heartbeat = setInterval(() => this.beat(), everyMs).unref();
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        clearInterval(this.heartbeat);
        this.heartbeat = undefined;
        reject(listenError(error, options.host, options.port));
      });
      server.listen({ host: options.host, port: options.port, exclusive: true }, () => {
        const address = server.address();
        resolve(address !== null && typeof address === 'object' ? address.port : options.port);
      });
    });
  }

  stopListening(): void {
    if (this.http.server.listening) this.http.server.close();
  }

  close(code: number, reason: string): Promise<void> {
    this.closed ??= this.closeAll(code, reason);
    return this.closed;
  }

  private async closeAll(code: number, reason: string): Promise<void> {
    this.stopListening();
    this.http.refusing = true;
    const deadline = performance.now() + CLOSE_WAIT_MS;
    for (const socket of this.connections) socket.close(code, reason);
    while ((this.connections.size > 0 || this.http.pendingCount > 0) && performance.now() < deadline) {
      await sleep(POLL_MS);
    }
    for (const socket of this.connections) socket.cut(1006);
    this.http.server.closeAllConnections();
    clearInterval(this.heartbeat);
    await turn();
  }

  private beat(): void {
    const nowMs = performance.now();
    const idleTimeoutMs = idleTimeoutS(this.limits) * 1_000;
    for (const socket of this.connections) socket.heartbeat(nowMs, idleTimeoutMs);
  }

  private upgrade(message: IncomingMessage, tcp: TcpSocket, rest: Buffer): void {
    const head = readHead(message);
    const answer = handshakeProblem(head) ?? this.overload() ?? this.handlers.upgrade(upgradeRequest(head));
    if ('refuse' in answer) {
      refuseUpgrade(tcp, textResponse(answer.refuse, answer.text));
      return;
    }
    this.accepting = answer.accept;
    this.upgrader.handleUpgrade(message, tcp, rest, (raw) => {
      this.opened(raw, tcp, answer.accept, head.remoteAddress);
    });
    this.accepting = undefined;
  }

  private overload(): Refusal | undefined {
    if (this.closed !== undefined) return { refuse: 503, text: 'shutting down' };
    if (this.openCount < this.limits.connectionsMax) return undefined;
    return { refuse: 503, text: 'too many connections' };
  }

  private opened(raw: WebSocket, tcp: TcpSocket, protocol: Subprotocol, remoteAddress: string): void {
    const ended = (gone: WsSocket, code: number) => {
      this.openCount--;
      this.handlers.close(gone, code);
    };
    const socket = new WsSocket(raw, tcp, protocol, remoteAddress, this.limits.bufferedMaxBytes, ended);
    this.connections.add(socket);
    this.openCount++;
    raw.on('message', (data: Buffer, binary: boolean) => {
      // A plain Uint8Array: slice() of a Buffer does not copy, and nobody downstream should have to know.
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
      if (socket.usable) this.handlers.message(socket, bytes, binary);
    });
    raw.on('error', (error) => socket.lost(errorCode(error)));
    raw.on('close', (code) => {
      this.connections.delete(socket);
      socket.lost(code);
    });
    tcp.on('drain', () => {
      if (socket.tryEndCongestion()) this.handlers.drain(socket);
    });
    this.handlers.open(socket);
  }
}

/** `ws` sends the close frame itself; this is the code in it, for the close handler. */
function errorCode(error: Error): number {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'WS_ERR_INVALID_UTF8':
      return 1007;
    case 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH':
      return 1009;
    case 'WS_ERR_TOO_MANY_BUFFERED_PARTS':
      return 1008;
    default:
      return code?.startsWith('WS_ERR_') ? 1002 : 1006;
  }
}
