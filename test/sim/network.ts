// WebSockets between simulated machines: frames arrive late and in order, connections break at any moment.
//
// The client's end is what WsConnection gets from its Platform, the server's end is what a front end gets from its
// transport. Memory that is only lent is overwritten as soon as its time is over.
import type { Platform, Wire, WireEnd, WireEvents } from '../../src/client/ws-platform.ts';
import type { FrontEnd } from '../../src/frontend/front-end.ts';
import {
  BUFFERED,
  DROPPED,
  SENT,
  type SendOutcome,
  type Socket,
  SUBPROTOCOLS,
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

  forget(connection: SimConnection): void {
    this.connections.delete(connection);
  }

  private open(client: EventLoop, events: WireEvents): Wire {
    const connection = new SimConnection(this, this.world, client, events);
    this.connections.add(connection);
    connection.connect();
    return connection.wire;
  }
}

class SimConnection {
  readonly client: EventLoop;
  readonly wire: Wire;
  private readonly network: Network;
  private readonly world: World;
  private readonly events: WireEvents;
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

  constructor(network: Network, world: World, client: EventLoop, events: WireEvents) {
    this.network = network;
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
      const socket = new SimSocket(this);
      this.server = { listener, socket };
      this.atServer(0, () => {
        this.accepted = true;
        listener.frontEnd.opened(socket);
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
      server.listener.frontEnd.message(server.socket, copy, true);
      copy.fill(0xee);
    });
  }
}

class SimSocket implements Socket {
  readonly protocol = SUBPROTOCOLS.binary;
  readonly remoteAddress = 'sim';
  session: unknown = undefined;
  private readonly connection: SimConnection;

  constructor(connection: SimConnection) {
    this.connection = connection;
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
