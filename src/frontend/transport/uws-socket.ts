// One WebSocket on uWebSockets.js. What it hides: native sockets throw when used after close, call the close
// handler from inside close(), never send their FIN when ended inside a cork, and lose bytes of large frames
// (see send()).
import { checkCloseCode, closeReason } from './handshake.ts';
import {
  BUFFERED,
  DROPPED,
  SENT,
  type SendOutcome,
  type Socket,
  type Subprotocol,
  type TransportLimits,
} from './transport.ts';
import type { UwsNativeSocket } from './uws-binding.ts';

/** Below this many buffered bytes a congested socket may be sent to again (less if the limit is small). */
const LOW_WATER_MAX_BYTES = 64 * 1024;
const NATIVE_SENT = 1;
const NATIVE_BUFFERED = 0;

export type UwsLink = UwsNativeSocket<UwsSocket>;

export class UwsSocket implements Socket {
  readonly protocol: Subprotocol;
  readonly remoteAddress: string;
  session: unknown = undefined;
  private native: UwsLink | undefined;
  private readonly bufferedMaxBytes: number;
  private readonly lowWaterBytes: number;
  /**
   * True from the first send that was not taken whole until drain. Only then are buffered bytes worth asking
   * for.
   */
  private congested = false;
  private corking = false;
  /** What a close() or terminate() inside cork() puts off. */
  private ending: (() => void) | undefined;
  /**
   * A call of ours into end() or close() is running: they call the native close handler before they return.
   */
  private endingNow = false;

  constructor(protocol: Subprotocol, remoteAddress: string, limits: TransportLimits) {
    this.protocol = protocol;
    this.remoteAddress = remoteAddress;
    this.bufferedMaxBytes = limits.bufferedMaxBytes;
    this.lowWaterBytes = Math.min(LOW_WATER_MAX_BYTES, Math.floor(limits.bufferedMaxBytes / 2));
  }

  /**
   * The third argument asks for compression, which is off: the native code then takes the frame into its
   * buffer. Its other path (frames of 16 KiB and more, no copy) loses bytes when the kernel takes only a part
   * of the frame (uWebSockets before 20.47, measured with 300 KB frames). The copy runs at 2.5 to 3.4 GB/s;
   * the catch is that a socket keeps a buffer as large as its largest frame until it closes.
   */
  send(frame: Uint8Array | string): SendOutcome {
    const native = this.native;
    if (native === undefined) return DROPPED;
    if (this.congested && native.getBufferedAmount() > this.bufferedMaxBytes) return DROPPED;
    const status = native.send(frame, typeof frame !== 'string', true);
    if (status === NATIVE_SENT) return SENT;
    this.congested = true;
    return status === NATIVE_BUFFERED ? BUFFERED : DROPPED;
  }

  bufferedBytes(): number {
    return this.native === undefined ? 0 : this.native.getBufferedAmount();
  }

  cork(sends: () => void): void {
    const native = this.native;
    if (native === undefined) return;
    if (this.corking) {
      sends();
      return;
    }
    this.corking = true;
    try {
      native.cork(sends);
    } finally {
      this.corking = false;
    }
    const ending = this.ending;
    this.ending = undefined;
    if (ending !== undefined) ending();
    // What was corked counted as sent; only now is it known whether the kernel took it.
    else if (this.bufferedBytes() > 0) this.congested = true;
  }

  close(code: number, reason: string): void {
    checkCloseCode(code);
    this.finish((native) => native.end(code, closeReason(reason)));
  }

  terminate(): void {
    this.finish((native) => native.close());
  }

  private finish(end: (native: UwsLink) => void): void {
    const native = this.native;
    if (native === undefined) return;
    this.native = undefined;
    const ending = () => {
      this.endingNow = true;
      end(native);
      this.endingNow = false;
    };
    if (this.corking) this.ending = ending;
    else ending();
  }

  /** For the transport: the handshake is done. */
  attach(native: UwsLink): void {
    this.native = native;
  }

  /** For the transport: false once close() or terminate() was called. */
  get usable(): boolean {
    return this.native !== undefined;
  }

  /**
   * For the transport: the native socket is gone. True if that is due to a call of ours that is still
   * running.
   */
  detach(): boolean {
    this.native = undefined;
    this.ending = undefined;
    return this.endingNow;
  }

  /** For the transport: bytes went out. True if the front end was told to wait and may go on now. */
  tryEndCongestion(): boolean {
    if (!this.congested || this.native === undefined) return false;
    if (this.native.getBufferedAmount() > this.lowWaterBytes) return false;
    this.congested = false;
    return true;
  }
}
