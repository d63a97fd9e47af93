// One WebSocket connection: what both protocols share. Whether its socket takes more, how much credit it has, what it
// is subscribed to, and how it ends.
import { CODES, type CodeName } from '../base/codes.ts';
import { COUNTER, type Counters } from '../memory/counters.ts';
import type { CommandOf, PartitionStart } from '../wire/commands.ts';
import type { Calling, Member } from './calls.ts';
import type { Cursor } from './cursor.ts';
import { HeldBatches } from './held-batches.ts';
import type { Publisher } from './publish-desk.ts';
import type { Span } from './span.ts';
import type { Subscription } from './subscription.ts';
import { BUFFERED, SENT, type SendOutcome, type Socket } from './transport/transport.ts';

/** What a session needs of its front end. */
export interface SessionHost {
  readonly counters: Counters;
  /** The session has acknowledgements to send: sendAcks() is called once, at the end of this turn. */
  acksDue(session: Session): void;
  /** The session takes nothing more for now. */
  congested(session: Session): void;
  /** The cursor may go on catching up. */
  runnable(cursor: Cursor): void;
}

export abstract class Session implements Publisher, Calling {
  readonly socket: Socket;
  readonly id: string;
  readonly held = new HeldBatches();
  /** By topic: there is at most one for each. */
  readonly subscriptions = new Map<string, Subscription>();
  /** Reply topics that it made: they end with it. */
  readonly replyTopics = new Set<string>();
  /** Topics whose changes of route are passed on. */
  readonly watched = new Set<string>();
  /** Pulls that wait. */
  pulls = 0;
  /** Requests that wait for an answer of the NameServer. */
  asking = 0;
  /** Calls to the coordinator without an answer, and those of them that are held. */
  calling = 0;
  holding = 0;
  /** Members of groups that it has synced as. */
  readonly members = new Map<string, Member>();
  /** It is over: nothing is sent any more. */
  closed = false;
  /** The socket said BUFFERED and has not drained since. */
  congested = false;
  /** Bytes delivered in all. */
  deliveredBytes = 0;
  protected readonly host: SessionHost;
  /** Bytes delivered and not given back; with windowBytes > 0 at most that many, or one frame. */
  private outstandingBytes = 0;
  private windowBytes = 0;
  // What isStalled() saw.
  private lookedAt = 0;
  private progressAt = 0;
  private bufferedSeen = 0;
  private deliveredSeen = 0;

  constructor(host: SessionHost, socket: Socket, id: string) {
    this.host = host;
    this.socket = socket;
    this.id = id;
  }

  /** A frame came in. `data` is valid during the call only. */
  abstract message(data: Uint8Array, binary: boolean): void;
  abstract answered(request: number, status: number, partition: number, count: number, baseOffset: number): void;
  /** Sends the acknowledgements that answered() has collected. */
  abstract sendAcks(): void;
  /** Sends a span. False if only a part of it was sent (cursor.start says which) or nothing. */
  abstract deliver(span: Span, cursor: Cursor): boolean;
  abstract sayGap(gap: CommandOf<'gap'>): void;
  abstract saySubscribed(correlation: number, subscription: Subscription, starts: readonly PartitionStart[]): void;
  abstract sayRouteChanged(news: CommandOf<'route-changed'>): void;
  /** A request cannot be served. */
  abstract refuse(correlation: number, code: CodeName, text: string): void;

  /** Bytes that may be delivered now. 0 or less: none. */
  get room(): number {
    if (this.congested || this.closed) return 0;
    return this.windowBytes === 0 ? Number.MAX_SAFE_INTEGER : this.windowBytes - this.outstandingBytes;
  }

  /** True if a frame of this length may be delivered now. HOT */
  roomFor(lengthBytes: number): boolean {
    if (this.congested || this.closed) return false;
    return this.windowBytes === 0 || this.outstandingBytes + lengthBytes <= this.windowBytes;
  }

  /** The same for a frame that cannot be cut any smaller: it may exceed the window if nothing else is outstanding. */
  roomForLeast(lengthBytes: number): boolean {
    return this.roomFor(lengthBytes) || (this.outstandingBytes === 0 && !this.congested && !this.closed);
  }

  /** Turns credit on: from now on delivered bytes must be given back. */
  openWindow(lengthBytes: number): void {
    if (lengthBytes > 0) this.windowBytes = lengthBytes;
  }

  /** The client has consumed this many delivered bytes. */
  credit(lengthBytes: number): void {
    this.outstandingBytes = Math.max(0, this.outstandingBytes - lengthBytes);
    this.goOn();
  }

  /** The socket has drained. */
  drained(): void {
    if (!this.congested) return;
    this.congested = false;
    this.goOn();
  }

  /** A cursor of this session has fallen behind: without congestion it goes on by itself. */
  fellBehind(cursor: Cursor): void {
    if (this.room > 0) this.host.runnable(cursor);
  }

  /**
   * True if the peer has taken nothing for `stallMs`. To be asked every now and then while somebody waits for it;
   * after a pause (`pauseMs`) it starts anew.
   */
  isStalled(nowMs: number, stallMs: number, pauseMs: number): boolean {
    const buffered = this.socket.bufferedBytes();
    const took = buffered < this.bufferedSeen || this.deliveredBytes !== this.deliveredSeen;
    if (took || nowMs - this.lookedAt > pauseMs) this.progressAt = nowMs;
    this.lookedAt = nowMs;
    this.bufferedSeen = buffered;
    this.deliveredSeen = this.deliveredBytes;
    return nowMs - this.progressAt >= stallMs;
  }

  /** The safety net for a drain that the transport did not tell. */
  lookForDrain(): void {
    if (this.congested && this.socket.bufferedBytes() === 0) this.drained();
  }

  /** Ends the session with a code of the closing range. */
  close(code: CodeName, text: string = CODES[code].text): void {
    if (this.closed) return;
    this.closed = true;
    if (code === 'too-slow') this.host.counters.add(COUNTER.slowClosed, 1);
    if (code === 'protocol-error' || code === 'hello-timeout') this.host.counters.add(COUNTER.protocolErrors, 1);
    this.socket.close(CODES[code].number, text);
  }

  /** Sends a frame that must not be lost. False if the session is over. */
  protected send(frame: Uint8Array | string): boolean {
    if (this.closed) return false;
    return this.note(this.socket.send(frame));
  }

  /** The same for a frame with delivered bytes. HOT */
  protected sendDelivery(frame: Uint8Array): boolean {
    this.outstandingBytes += frame.length;
    this.deliveredBytes += frame.length;
    return this.note(this.socket.send(frame));
  }

  /** What a send said. */
  protected note(outcome: SendOutcome): boolean {
    if (outcome === SENT) return true;
    if (outcome === BUFFERED) {
      this.beCongested();
      return true;
    }
    this.close('too-slow', 'the client does not take what is sent to it');
    return false;
  }

  protected beCongested(): void {
    if (this.congested) return;
    this.congested = true;
    this.host.congested(this);
  }

  private goOn(): void {
    if (this.room <= 0) return;
    for (const subscription of this.subscriptions.values()) {
      for (const cursor of subscription.cursors.values()) if (!cursor.live) this.host.runnable(cursor);
    }
  }
}
