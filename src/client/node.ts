// The client for Node: connect() over the `ws` package.
import { randomFillSync } from 'node:crypto';
import { WebSocket } from 'ws';
import { type ConnectOptions, WsConnection } from './ws-connection.ts';
import { CLIENT_VERSION } from './ws-link.ts';
import { type Platform, SUBPROTOCOL, type Wire, type WireEvents } from './ws-platform.ts';

export { type CodeName, RingmqError } from '../base/codes.ts';
export type { PartitionPosition, StartFrom, TopicRoute } from '../wire/commands.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from './codec.ts';
export type * from './connection.ts';
export { Batch, Message } from './message.ts';
export type { ConnectOptions } from './ws-connection.ts';
export { WsConnection } from './ws-connection.ts';

/** Largest frame that is taken from a broker. */
const FRAME_MAX_BYTES = 64 * 1024 * 1024;
const SEND = { binary: true, compress: false, mask: true, fin: true } as const;
const MASKS_BYTES = 8 * 1024;
const REASON_MAX_LENGTH = 120;

/**
 * Connects to a broker, in the background: await ready() to know. Several addresses are tried in turn.
 * Throws `illegal-argument` for an address or option that makes no sense.
 */
export function connect(url: string | URL | readonly (string | URL)[], options: ConnectOptions = {}): WsConnection {
  return new WsConnection(NODE, url, options);
}

const NODE: Platform = {
  name: `ringmq-node/${CLIENT_VERSION}`,
  verifyChecksums: true,
  open: (url, events) => new NodeWire(url, events),
  soon: (task) => void setImmediate(task),
  whenOnline: () => () => {},
};

class NodeWire implements Wire {
  private readonly socket: WebSocket;
  private readonly events: WireEvents;
  private cause = '';
  private status = 0;
  private statusText = '';
  private isOver = false;

  constructor(url: string, events: WireEvents) {
    this.events = events;
    const socket = new WebSocket(url, SUBPROTOCOL, {
      perMessageDeflate: false,
      maxPayload: FRAME_MAX_BYTES,
      skipUTF8Validation: true,
      followRedirects: false,
      generateMask: nextMask,
    });
    this.socket = socket;
    socket.on('open', () => events.opened());
    socket.on('message', (data, isBinary) => {
      if (isBinary) events.frame(data as Buffer);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.cause ||= error.code ?? error.message;
    });
    socket.on('unexpected-response', (request, response) => {
      this.status = response.statusCode ?? 0;
      let text = '';
      response.on('data', (chunk: Buffer) => {
        if (text.length < REASON_MAX_LENGTH) text += chunk.toString();
      });
      const done = (): void => {
        this.statusText = text.trim().slice(0, REASON_MAX_LENGTH);
        request.destroy();
        this.ended(1006, '');
      };
      response.on('end', done);
      response.on('error', done);
    });
    socket.on('close', (code, reason) => this.ended(code, reason.toString()));
  }

  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** ws masks into memory of its own, in the call, as long as the mask is not zero: see nextMask(). HOT */
  send(bytes: Uint8Array): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes, SEND, this.sent);
  }

  close(code: number, reason: string): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close(code, reason.slice(0, REASON_MAX_LENGTH));
    else this.socket.terminate();
  }

  terminate(): void {
    this.socket.terminate();
  }

  private readonly sent = (error?: Error | null): void => {
    if (!error) this.events.drained();
  };

  private ended(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events.ended({ code, reason: reason || this.statusText, cause: this.cause, status: this.status });
  }
}

const masks = Buffer.alloc(MASKS_BYTES);
let maskAt = MASKS_BYTES;

/**
 * Fresh random masking keys, as RFC 6455 asks for. Never zero: with a zero key ws would hand our memory to the kernel as
 * it is instead of a masked copy, and we use that memory again at once.
 */
function nextMask(mask: Buffer): void {
  do {
    if (maskAt === MASKS_BYTES) {
      randomFillSync(masks);
      maskAt = 0;
    }
    mask.set(masks.subarray(maskAt, maskAt + 4));
    maskAt += 4;
  } while ((mask[0] | mask[1] | mask[2] | mask[3]) === 0);
}
