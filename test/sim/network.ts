// WebSockets between simulated machines: frames arrive late and in order, connections break at any moment.
//
// The client's end is what WsConnection gets from its Platform, the server's end is what a front end gets from its
// transport. Memory that is only lent is overwritten as soon as its time is over.
import type { Platform, Wire, WireEnd, WireEvents } from '../../src/client/ws-platform.ts';
import type { FrontEnd } from '../../src/frontend/front-end.ts';
import {
  BUFFERED,
  DROPPED,
  type HttpRequest,
  type HttpResponse,
  SENT,
  type SendOutcome,
  type Socket,
  SUBPROTOCOLS,
  type Subprotocol,
} from '../../src/frontend/transport/transport.ts';
import type { EventLoop, World } from './world.ts';

const DELAY_MAX_MS = 6;
/** Bytes under way to a client at which its socket is congested, and at which frames are dropped. */
const CONGESTED_BYTES = 48 * 1024;
const BUFFER_MAX_BYTES = 8 * 1024 * 1024;
const BROKEN = { code: 1006, reason: '', cause: 'ECONNRESET', status: 0 };

/** Who accepts connections at present. */
export interface Listener {
  readonly frontEnd: FrontEnd;
  readonly loop: EventLoop;
  /** What comes over plain HTTP, once it is parsed. */
  readonly http: (request: HttpRequest) => Promise<HttpResponse>;
}

/** A WebSocket of the readable protocol, as a page has it. */
export interface TextWire {
  send(text: string): void;
}

type Protocol = Subprotocol | 'http';

export interface TextEvents {
  opened(): void;
  text(text: string): void;
  ended(): void;
}

export class Network {
  listener: Listener | undefined;
  private readonly world: World;
  private readonly connections = new Set<SimConnection>();

  constructor(world: World) {
    this.world = world;
  }

  get openCount(): number {
    return this.connections.size;
  }

  /** What a client on that thread is given. */
  platformOf(loop: EventLoop): Platform {
    return {
      name: 'sim',
      verifyChecksums: true,
      open: (_url, events) => this.open(loop, events),
      soon: (task) => void setImmediate(task),
      whenOnline: () => () => {},
    };
  }

  /** Cuts one connection, as a bad line does: both ends hear of it in their own time. */
  cutOne(): void {
    const all = [...this.connections];
    if (all.length === 0) return;
    const one = all[this.world.random(all.length)];
    this.world.trace.add(`network cuts ${one.client.name}`);
    one.cut(BROKEN, 1006);
  }

  /** The front end closes all of them, in order. */
  closeAll(code: number, reason: string): void {
    this.listener = undefined;
    for (const one of [...this.connections]) one.closeServer(code, reason);
  }

  /** The front end is no more: its clients hear of it, nobody else does. */
  serverGone(): void {
    this.listener = undefined;
    for (const one of [...this.connections]) one.serverGone();
  }

  /** A bare WebSocket, for whose turn it is. */
  openText(events: TextEvents): TextWire {
    const bytes = (frame: Uint8Array): boolean => {
      events.text(new TextDecoder().decode(frame));
      return false;
    };
    const { opened, ended } = events;
    const wire = { opened, ended, frame: bytes, drained: () => {} };
    const connection = this.make(this.world.thread, wire, SUBPROTOCOLS.json);
    return { send: (text) => connection.wire.send(new TextEncoder().encode(text)) };
  }

  /**
   * An HTTP request of whose turn it is; rejects if there is nobody, or the server ends before its answer.
   * `gone`: aborted where the server hears that the client has gone.
   */
  request(request: HttpRequest, gone?: AbortController): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const opened = (): void => connection.ask(request, resolve, gone);
      const ended = (end: WireEnd): void => reject(new Error(end.cause));
      const events = { opened, ended, frame: () => false, drained: () => {} };
      const connection = this.make(this.world.thread, events, 'http');
    });
  }

  forget(connection: SimConnection): void {
    this.connections.delete(connection);
  }

  private open(client: EventLoop, events: WireEvents): Wire {
    return this.make(client, events).wire;
  }

  private make(client: EventLoop, events: WireEvents, protocol?: Protocol): SimConnection {
    const connection = new SimConnection(this, this.world, client, events, protocol);
    this.connections.add(connection);
    connection.connect();
    return connection;
  }
}

class SimConnection {
  readonly client: EventLoop;
  readonly wire: Wire;
  private readonly network: Network;
  private readonly world: World;
  private readonly events: WireEvents;
  private readonly protocol: Protocol;
  private server: { readonly listener: Listener; readonly socket: SimSocket } | undefined;
  private toClientAt = 0;
  private toServerAt = 0;
  /** Bytes under way. */
  private toClient = 0;
  private toServer = 0;
  private congested = false;
  private accepted = false;
  private lost = false;
  private clientOver = false;
  private serverOver = false;
  private gone: AbortController | undefined;

  constructor(
    network: Network,
    world: World,
    client: EventLoop,
    events: WireEvents,
    protocol: Protocol = SUBPROTOCOLS.binary,
  ) {
    this.network = network;
    this.protocol = protocol;
    this.world = world;
    this.client = client;
    this.events = events;
    this.wire = this.makeWire();
  }

  connect(): void {
    this.world.later(this.client, this.world.random(DELAY_MAX_MS + 1), () => {
      const { listener } = this.network;
      if (this.clientOver) return;
      if (!listener) {
        this.endClient({ code: 1006, reason: '', cause: 'ECONNREFUSED', status: 0 });
        return;
      }
      const { protocol } = this;
      const socket = new SimSocket(this, protocol === 'http' ? SUBPROTOCOLS.json : protocol);
      this.server = { listener, socket };
      this.atServer(0, () => {
        this.accepted = protocol !== 'http';
        if (this.accepted) listener.frontEnd.opened(socket);
        this.atClient(0, () => this.events.opened());
      });
    });
  }

  /** Both ends lose it. */
  cut(end: WireEnd, code: number): void {
    this.atServer(0, () => this.endServer(code));
    this.atClient(0, () => this.endClient(end));
  }

  /** What was under way to the client is lost: an answer that comes after its broker's end would confuse the books. */
  serverGone(): void {
    this.serverOver = true;
    this.lost = true;
    this.network.forget(this);
    this.world.later(this.client, this.world.random(DELAY_MAX_MS), () => this.endClient(BROKEN));
  }

  /** A request instead of frames: it is answered, and the connection ends. */
  ask(request: HttpRequest, answered: (response: HttpResponse) => void, gone?: AbortController): void {
    const { server } = this;
    if (this.clientOver || !server) return;
    this.gone = gone;
    this.atServer(request.body.length, () => {
      void server.listener.http(request).then((response) => {
        if (this.serverOver) return;
        this.atClient(response.body.length, () => {
          answered(response);
          this.clientOver = true;
        });
        this.serverOver = true;
        this.network.forget(this);
      });
    });
  }

  send(frame: Uint8Array | string): SendOutcome {
    if (this.serverOver || this.toClient > BUFFER_MAX_BYTES) return DROPPED;
    const bytes = typeof frame === 'string' ? new TextEncoder().encode(frame) : new Uint8Array(frame);
    this.toClient += bytes.length;
    this.atClient(bytes.length, () => {
      this.toClient -= bytes.length;
      // Memory that is not kept is used again.
      if (!this.events.frame(bytes)) bytes.fill(0xee);
    });
    if (this.toClient < CONGESTED_BYTES) return SENT;
    if (!this.congested) this.awaitDrain();
    this.congested = true;
    return BUFFERED;
  }

  get bufferedBytes(): number {
    return this.serverOver || !this.congested ? 0 : this.toClient;
  }

  closeServer(code: number, reason: string): void {
    if (this.serverOver) return;
    queueMicrotask(() => this.endServer(code));
    this.atClient(0, () => this.endClient({ code, reason, cause: '', status: 0 }));
  }

  /** Things happen in order in each direction. */
  private atClient(bytes: number, run: () => void): void {
    this.toClientAt = this.arrival(this.toClientAt, bytes);
    this.world.later(this.client, this.toClientAt - this.world.nowMs, () => {
      if (!this.clientOver && !this.lost) run();
    });
  }

  private atServer(bytes: number, run: () => void): void {
    const { server } = this;
    if (!server) return;
    this.toServerAt = this.arrival(this.toServerAt, bytes);
    this.world.later(server.listener.loop, this.toServerAt - this.world.nowMs, () => {
      if (!this.serverOver) run();
    });
  }

  private arrival(lastAt: number, bytes: number): number {
    const transferMs = bytes >> 15;
    return Math.max(lastAt, this.world.nowMs + this.world.random(DELAY_MAX_MS + 1)) + transferMs;
  }

  private awaitDrain(): void {
    const { server } = this;
    if (!server) return;
    this.world.later(server.listener.loop, 1, () => {
      if (this.serverOver) return;
      if (this.toClient >= CONGESTED_BYTES >> 1) {
        this.awaitDrain();
        return;
      }
      this.congested = false;
      server.listener.frontEnd.drained(server.socket);
    });
  }

  private endServer(code: number): void {
    if (this.serverOver || !this.server) return;
    this.serverOver = true;
    this.network.forget(this);
    this.gone?.abort();
    if (this.accepted) this.server.listener.frontEnd.closed(this.server.socket, code);
  }

  private endClient(end: WireEnd): void {
    if (this.clientOver) return;
    this.clientOver = true;
    if (!this.server) this.network.forget(this);
    this.events.ended(end);
  }

  private makeWire(): Wire {
    const bufferedBytes = (): number => this.toServer;
    return {
      get bufferedBytes() {
        return bufferedBytes();
      },
      send: (bytes) => this.sendToServer(bytes),
      close: (code, reason) => {
        this.atServer(0, () => this.endServer(code));
        if (!this.clientOver) queueMicrotask(() => this.endClient({ code, reason, cause: '', status: 0 }));
      },
      terminate: () => this.cut(BROKEN, 1006),
    };
  }

  private sendToServer(bytes: Uint8Array): void {
    const { server } = this;
    if (this.clientOver || !server) return;
    const copy = new Uint8Array(bytes);
    this.toServer += copy.length;
    this.atServer(copy.length, () => {
      this.toServer -= copy.length;
      server.listener.frontEnd.message(server.socket, copy, this.protocol === SUBPROTOCOLS.binary);
      copy.fill(0xee);
    });
  }
}

class SimSocket implements Socket {
  readonly protocol: Subprotocol;
  readonly remoteAddress = 'sim';
  session: unknown = undefined;
  private readonly connection: SimConnection;

  constructor(connection: SimConnection, protocol: Subprotocol) {
    this.connection = connection;
    this.protocol = protocol;
  }

  send(frame: Uint8Array | string): SendOutcome {
    return this.connection.send(frame);
  }

  bufferedBytes(): number {
    return this.connection.bufferedBytes;
  }

  cork(sends: () => void): void {
    sends();
  }

  close(code: number, reason: string): void {
    this.connection.closeServer(code, reason);
  }

  terminate(): void {
    this.connection.cut(BROKEN, 1006);
  }
}
