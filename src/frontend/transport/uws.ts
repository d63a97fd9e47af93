// The transport on uWebSockets.js (native). It never closes a socket that is slow and never drops a frame by
// itself: limits are checked here, below the native ones.
//
// Ending a worker while native sockets are open aborts the whole process (`uv_loop_close() while having open
// handles`).
// I1  close() leaves no native handle behind and lets the loop turn before it resolves.
// I2  A thread that exits for any other reason (process.exit, uncaught error) cuts everything in its 'exit'
//     event.
// Worker.terminate(), and process.exit() of the main thread, run no JavaScript of the worker any more:
// nothing here can save the process then. Ask the thread to close() first.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { assert } from '../../base/fault.ts';
import { handshakeProblem, idleTimeoutS, type Refusal, textResponse, upgradeRequest } from './handshake.ts';
import { probePort } from './port-probe.ts';
import {
  type ListenOptions,
  type ServerTransport,
  TransportError,
  type TransportHandlers,
  type TransportLimits,
} from './transport.ts';
import type { UwsBinding, UwsListenToken, UwsNativeApp, UwsNativeRequest, UwsNativeResponse } from './uws-binding.ts';
import { readHead, UwsHttp, writeResponse } from './uws-http.ts';
import { type UwsLink, UwsSocket } from './uws-socket.ts';

/** Time that close() gives peers to take what is buffered for them, and requests to be answered. */
const CLOSE_WAIT_MS = 2_000;
/**
 * Time between our FIN and cutting the connection: a peer that is sending would otherwise lose the close
 * frame.
 */
const LINGER_MS = 150;
const POLL_MS = 10;
/** Turns of the loop that free native handles: one closes them, one runs their callbacks, one to be sure. */
const DRAIN_TURNS = 3;
/** Kept free above the limit on buffered bytes, for pongs and the close frame. */
const CONTROL_RESERVE_BYTES = 64 * 1024;
const UINT32_MAX = 0xffff_ffff;

export class UwsTransport implements ServerTransport {
  readonly name = 'uWebSockets.js';
  readonly sharesPort = true;
  private readonly binding: UwsBinding;
  private readonly handlers: TransportHandlers;
  private readonly limits: TransportLimits;
  private readonly app: UwsNativeApp;
  private readonly http: UwsHttp;
  private readonly sockets = new Set<UwsSocket>();
  private token: UwsListenToken | undefined;
  private closed: Promise<void> | undefined;
  private dead = false;
  private readonly onExit = () => this.cutAtExit();

  constructor(binding: UwsBinding, handlers: TransportHandlers, limits: TransportLimits) {
    this.binding = binding;
    this.handlers = handlers;
    this.limits = limits;
    this.http = new UwsHttp(handlers, limits);
    this.app = this.createApp();
    process.on('exit', this.onExit);
  }

  async listen(options: ListenOptions): Promise<number> {
    assert(this.token === undefined && this.closed === undefined, 'a transport listens once');
    const { host, shared } = options;
    // The native code shares only ports that were named: for "any" one must be chosen first.
    const port = shared && options.port === 0 ? await probePort(host, 0) : options.port;
    const flags = shared ? 0 : this.binding.LIBUS_LISTEN_EXCLUSIVE_PORT;
    this.app.listen(host, port, flags, (token) => {
      if (token !== false) this.token = token;
    });
    if (this.token !== undefined) return this.binding.us_socket_local_port(this.token);
    // It does not say why. An ordinary listener meets the same error and does.
    await probePort(host, port);
    throw new TransportError('EADDRINUSE', `cannot listen on ${host}:${port}: uWebSockets.js refused; try again`);
  }

  stopListening(): void {
    if (this.token === undefined) return;
    this.binding.us_listen_socket_close(this.token);
    this.token = undefined;
  }

  close(code: number, reason: string): Promise<void> {
    this.closed ??= this.closeAll(code, reason);
    return this.closed;
  }

  private async closeAll(code: number, reason: string): Promise<void> {
    this.stopListening();
    this.http.refusing = true;
    const hadSockets = this.sockets.size > 0;
    const deadline = performance.now() + CLOSE_WAIT_MS;
    this.closeDrained(code, reason);
    while ((this.sockets.size > 0 || this.http.pendingCount > 0) && performance.now() < deadline) {
      await sleep(POLL_MS);
      this.closeDrained(code, reason);
    }
    for (const socket of this.sockets) socket.terminate();
    if (hadSockets) await sleep(LINGER_MS);
    this.app.close();
    process.off('exit', this.onExit);
    for (let turns = 0; turns < DRAIN_TURNS; turns++) await turn();
  }

  /**
   * Ends the sockets that have taken everything. The others would lose what is buffered when the time is up.
   */
  private closeDrained(code: number, reason: string): void {
    for (const socket of this.sockets) if (socket.bufferedBytes() === 0) socket.close(code, reason);
  }

  private cutAtExit(): void {
    this.dead = true;
    this.app.close();
  }

  private createApp(): UwsNativeApp {
    const { bufferedMaxBytes, messageMaxBytes } = this.limits;
    return this.binding
      .App()
      .ws<UwsSocket>('/*', {
        // Twice the limit: a message somewhat too large gets a close frame that says so (see message()); the
        // native code only cuts the connection.
        maxPayloadLength: Math.min(2 * messageMaxBytes, 0x7fff_ffff),
        maxBackpressure: Math.min(bufferedMaxBytes + messageMaxBytes + CONTROL_RESERVE_BYTES, UINT32_MAX),
        closeOnBackpressureLimit: false,
        idleTimeout: idleTimeoutS(this.limits),
        maxLifetime: 0,
        sendPingsAutomatically: true,
        compression: this.binding.DISABLED,
        upgrade: (response, request, context) => this.upgrade(response, request, context),
        open: (native) => this.open(native),
        message: (native, data, binary) => this.message(native, data, binary),
        drain: (native) => {
          if (native.link.tryEndCongestion()) this.handlers.drain(native.link);
        },
        close: (native, code, reason) => this.socketClosed(native.link, code, reason),
      })
      .any('/*', (response, request) => this.http.handle(response, request));
  }

  private upgrade(response: UwsNativeResponse, request: UwsNativeRequest, context: object): void {
    const head = readHead(response, request);
    const asked = upgradeRequest(head);
    const answer = handshakeProblem(head) ?? this.overload() ?? this.handlers.upgrade(asked);
    if ('refuse' in answer) {
      writeResponse(response, head.method, textResponse(answer.refuse, answer.text), true);
      return;
    }
    const socket = new UwsSocket(answer.accept, head.remoteAddress, this.limits);
    const echoed = asked.protocols.includes(answer.accept) ? answer.accept : '';
    response.upgrade({ link: socket }, asked.header('sec-websocket-key'), echoed, '', context);
  }

  private overload(): Refusal | undefined {
    if (this.closed !== undefined) return { refuse: 503, text: 'shutting down' };
    if (this.sockets.size < this.limits.connectionsMax) return undefined;
    return { refuse: 503, text: 'too many connections' };
  }

  private open(native: UwsLink): void {
    const socket = native.link;
    socket.attach(native);
    this.sockets.add(socket);
    this.handlers.open(socket);
  }

  private message(native: UwsLink, data: ArrayBuffer, binary: boolean): void {
    const socket = native.link;
    if (!socket.usable) return;
    const max = this.limits.messageMaxBytes;
    if (data.byteLength > max) socket.close(1009, `a message may have ${max} bytes at most`);
    else this.handlers.message(socket, new Uint8Array(data), binary);
  }

  private socketClosed(socket: UwsSocket, nativeCode: number, reason: ArrayBuffer): void {
    const code = closeCode(nativeCode, reason);
    const ours = socket.detach();
    this.sockets.delete(socket);
    if (this.dead) return;
    // A close handler that runs inside close() would surprise whoever is going through a list of sockets.
    if (ours) queueMicrotask(() => this.handlers.close(socket, code));
    else this.handlers.close(socket, code);
  }
}

/** The native code says 1006 and a text where it cut the connection because of what the peer sent. */
function closeCode(code: number, reason: ArrayBuffer): number {
  if (code !== 1006 || reason.byteLength === 0) return code;
  const text = new TextDecoder().decode(reason);
  if (text.includes('too big')) return 1009;
  return text.includes('invalid UTF-8') ? 1007 : 1006;
}
