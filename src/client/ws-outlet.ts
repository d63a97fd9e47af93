// The way out for producers over a WebSocket. Batches go out as they are closed: large ones as a frame each, straight
// from the memory they were filled in; small ones of one turn together in one frame. Bytes without an acknowledgement
// stay within the publish window that the broker grants.
import { REQUEST_ACK, REQUEST_ID } from '../../native-layout/batch.ts';
import { CODES } from '../base/codes.ts';
import type { AckEntry, CommandOf, TopicRoute } from '../wire/commands.ts';
import { BatchPool } from './batch-pool.ts';
import type { Expecting, Outlet } from './outlet.ts';
import type { Link } from './ws-link.ts';

/** A batch at least this long travels alone: copying it costs more than a frame of its own. */
const ALONE_BYTES = 16 * 1024;
/** Most bytes of small batches in one frame. */
const TOGETHER_BYTES = 64 * 1024;
/** Bytes that the socket may hold before batches without acknowledgement have to wait. */
const BUFFERED_MAX_BYTES = 1024 * 1024;

interface InFlight {
  /** Undefined once nobody waits for the answer any more. */
  expecting: Expecting | undefined;
  /** 0 until it was handed to the socket. */
  lengthBytes: number;
}

export interface WsOutletHost {
  route(topic: string, create: boolean): Promise<TopicRoute>;
  soon(task: () => void): void;
  /** There is room after tryPut() had refused. */
  room(): void;
}

export class WsOutlet implements Outlet {
  readonly pool = new BatchPool();
  readonly waits = false;
  readonly leavesMemory = true;
  readonly now = (): number => performance.now();
  private readonly link: Link;
  private readonly host: WsOutletHost;
  private readonly inFlight = new Map<number, InFlight>();
  private readonly together = new Uint8Array(TOGETHER_BYTES);
  private togetherLength = 0;
  private pushing = false;
  private request = 0;
  private inFlightBytes = 0;
  private windowBytes = 0;
  private frameMaxBytes = 0;
  private refused = false;

  constructor(link: Link, host: WsOutletHost) {
    this.link = link;
    this.host = host;
  }

  /** Bytes sent and not acknowledged. */
  get pendingBytes(): number {
    return this.inFlightBytes;
  }

  route(topic: string, create: boolean): Promise<TopicRoute> {
    return this.host.route(topic, create);
  }

  soon(task: () => void): void {
    this.host.soon(task);
  }

  expect(expecting: Expecting): number {
    this.request = (this.request + 1) | 0;
    this.inFlight.set(this.request, { expecting, lengthBytes: 0 });
    return this.request;
  }

  forget(request: number): void {
    const entry = this.inFlight.get(request);
    if (!entry) return;
    // What was sent takes room in the window until it is answered, whoever listens.
    if (entry.lengthBytes === 0) this.inFlight.delete(request);
    else entry.expecting = undefined;
  }

  /** HOT */
  tryPut(_owner: number, bytes: Uint8Array, lengthBytes: number): boolean {
    if (!this.fits(bytes[REQUEST_ACK] === 0, lengthBytes)) {
      this.refused = true;
      return false;
    }
    if (lengthBytes > this.frameMaxBytes) this.refuseLater(requestOf(bytes));
    else {
      if (bytes[REQUEST_ACK] !== 0) this.count(requestOf(bytes), lengthBytes);
      this.put(bytes, lengthBytes);
    }
    return true;
  }

  /** The window counts the bytes of closed batches: whether one has room is seen when it is closed. */
  hasRoom(): boolean {
    return true;
  }

  /** Several pushes of one turn make one frame. */
  push(_owner: number): void {
    if (this.pushing || this.togetherLength === 0) return;
    this.pushing = true;
    queueMicrotask(this.sendTogether);
  }

  /** A session stands. */
  up(welcome: CommandOf<'welcome'>): void {
    this.windowBytes = welcome.publishWindowBytes;
    this.frameMaxBytes = welcome.frameMaxBytes;
    this.room();
  }

  /** The session is gone: batches that were kept will be sent again. */
  lost(): void {
    this.togetherLength = 0;
    this.inFlightBytes = 0;
    const entries = [...this.inFlight.entries()];
    for (const [request, entry] of entries) if (entry.lengthBytes > 0) this.inFlight.delete(request);
    for (const [, entry] of entries) if (entry.lengthBytes > 0) entry.expecting?.lost();
  }

  /** HOT once per acknowledgement frame */
  acknowledged(entries: readonly AckEntry[]): void {
    for (const { request, status, baseOffset } of entries) this.settle(request, status, baseOffset);
    this.room();
  }

  drained(): void {
    if (this.refused && this.link.bufferedBytes < BUFFERED_MAX_BYTES) this.room();
  }

  private room(): void {
    if (!this.refused) return;
    this.refused = false;
    this.host.room();
  }

  private fits(unacknowledged: boolean, lengthBytes: number): boolean {
    if (!this.link.isUp) return false;
    if (unacknowledged) return this.link.bufferedBytes < BUFFERED_MAX_BYTES;
    // A batch larger than the window goes when it goes alone.
    return this.inFlightBytes === 0 || this.inFlightBytes + lengthBytes <= this.windowBytes;
  }

  private put(bytes: Uint8Array, lengthBytes: number): void {
    if (this.togetherLength + lengthBytes > TOGETHER_BYTES || lengthBytes >= ALONE_BYTES) this.sendTogether();
    if (lengthBytes >= ALONE_BYTES) {
      this.link.sendBatches(bytes.length === lengthBytes ? bytes : bytes.subarray(0, lengthBytes));
      return;
    }
    this.together.set(bytes.length === lengthBytes ? bytes : bytes.subarray(0, lengthBytes), this.togetherLength);
    this.togetherLength += lengthBytes;
  }

  private readonly sendTogether = (): void => {
    this.pushing = false;
    const length = this.togetherLength;
    this.togetherLength = 0;
    if (length > 0) this.link.sendBatches(this.together.subarray(0, length));
  };

  private count(request: number, lengthBytes: number): void {
    const entry = this.inFlight.get(request);
    if (entry) entry.lengthBytes = lengthBytes;
    this.inFlightBytes += lengthBytes;
  }

  private settle(request: number, status: number, baseOffset: number): void {
    const entry = this.inFlight.get(request);
    if (!entry) return;
    this.inFlight.delete(request);
    this.inFlightBytes -= entry.lengthBytes;
    entry.expecting?.answered(status, baseOffset);
  }

  /** No frame can carry it. The pipe does not expect an answer before tryPut() has returned. */
  private refuseLater(request: number): void {
    queueMicrotask(() => this.settle(request, CODES['frame-too-large'].number, -1));
  }
}

function requestOf(bytes: Uint8Array): number {
  const at = REQUEST_ID;
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
