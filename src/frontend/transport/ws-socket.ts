// One WebSocket on the `ws` package. Its send() keeps a reference to the bytes until the kernel took them, so
// every frame is copied first: the ring that it lies in may be overwritten meanwhile.
import type { Socket as TcpSocket } from 'node:net';
import type { WebSocket } from 'ws';
import { checkCloseCode, closeReason } from './handshake.ts';
import { BUFFERED, DROPPED, SENT, type SendOutcome, type Socket, type Subprotocol } from './transport.ts';

/** Corked bytes at which a system call is made all the same, as in uWebSockets. */
const CORK_MAX_BYTES = 16 * 1024;
const BINARY = { binary: true } as const;
const TEXT = { binary: false } as const;

export class WsSocket implements Socket {
  readonly protocol: Subprotocol;
  readonly remoteAddress: string;
  session: unknown = undefined;
  private readonly raw: WebSocket;
  private readonly tcp: TcpSocket;
  private readonly bufferedMaxBytes: number;
  private readonly ended: (socket: WsSocket, code: number) => void;
  private open = true;
  private congested = false;
  private corking = false;
  private heardAtMs: number;
  private pinged = false;
  private bytesRead = 0;
  private bytesTaken = 0;

  /**
   * `ended` is called once, soon after the front end or the peer ended the connection; never from inside a
   * method.
   */
  constructor(
    raw: WebSocket,
    tcp: TcpSocket,
    protocol: Subprotocol,
    remoteAddress: string,
    bufferedMaxBytes: number,
    ended: (socket: WsSocket, code: number) => void,
  ) {
    this.raw = raw;
    this.tcp = tcp;
    this.protocol = protocol;
    this.remoteAddress = remoteAddress;
    this.bufferedMaxBytes = bufferedMaxBytes;
    this.ended = ended;
    this.heardAtMs = performance.now();
  }

  send(frame: Uint8Array | string): SendOutcome {
    if (!this.open || this.raw.bufferedAmount > this.bufferedMaxBytes) return DROPPED;
    if (typeof frame === 'string') this.raw.send(frame, TEXT);
    else this.raw.send(ownedCopy(frame), BINARY);
    if (this.corking) {
      if (this.tcp.writableLength < CORK_MAX_BYTES) return SENT;
      this.tcp.uncork();
      this.tcp.cork();
    }
    if (!this.isCongested()) return SENT;
    this.congested = true;
    return BUFFERED;
  }

  bufferedBytes(): number {
    return this.open ? this.raw.bufferedAmount : 0;
  }

  cork(sends: () => void): void {
    if (!this.open) return;
    if (this.corking) {
      sends();
      return;
    }
    this.corking = true;
    this.tcp.cork();
    try {
      sends();
    } finally {
      this.corking = false;
      this.tcp.uncork();
    }
    if (this.isCongested()) this.congested = true;
  }

  close(code: number, reason: string): void {
    checkCloseCode(code);
    if (!this.open) return;
    this.raw.close(code, closeReason(reason));
    queueMicrotask(() => this.ended(this, code));
    this.open = false;
  }

  terminate(): void {
    this.cut(1006);
  }

  /** For the transport: the connection is broken or was broken off by the peer. */
  lost(code: number): void {
    if (!this.open) return;
    this.open = false;
    this.ended(this, code);
  }

  /** For the transport: ends what is left of the connection, also after close(). */
  cut(code: number): void {
    if (this.open) queueMicrotask(() => this.ended(this, code));
    this.open = false;
    this.raw.terminate();
  }

  /** For the transport: false once close() or terminate() was called. */
  get usable(): boolean {
    return this.open;
  }

  /** For the transport: everything was taken. True if the front end was told to wait and may go on now. */
  tryEndCongestion(): boolean {
    if (!this.congested || !this.open) return false;
    this.congested = false;
    return true;
  }

  /**
   * For the transport, every now and then: pings a silent peer in time, and cuts the connection when it stays
   * silent.
   */
  heartbeat(nowMs: number, idleTimeoutMs: number): void {
    if (!this.open) return;
    if (this.heardSomething()) {
      this.heardAtMs = nowMs;
      this.pinged = false;
      return;
    }
    const silentMs = nowMs - this.heardAtMs;
    if (silentMs >= idleTimeoutMs) this.cut(1006);
    else if (silentMs >= idleTimeoutMs / 2 && !this.pinged) {
      this.pinged = true;
      this.raw.ping();
    }
  }

  /** Above Node's high-water mark with bytes left over: only then is a 'drain' event to come. */
  private isCongested(): boolean {
    return this.tcp.writableNeedDrain && this.tcp.writableLength > 0;
  }

  /**
   * Bytes came in, or a slow peer took some of what waits for it. What the kernel merely buffers does not
   * count.
   */
  private heardSomething(): boolean {
    const bytesTaken = this.tcp.bytesWritten - this.tcp.writableLength;
    const heard = this.tcp.bytesRead !== this.bytesRead || (this.congested && bytesTaken !== this.bytesTaken);
    this.bytesRead = this.tcp.bytesRead;
    this.bytesTaken = bytesTaken;
    return heard;
  }
}

function ownedCopy(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  copy.set(bytes);
  return copy;
}
