// The client for browsers (and Deno, Bun, Workers): connect() over the global WebSocket. Bundled to
// dist/browser/ringmq.js without dependencies outside it.
import { type ConnectOptions, WsConnection } from './ws-connection.ts';
import { CLIENT_VERSION } from './ws-link.ts';
import { type Platform, SUBPROTOCOL, type Wire, type WireEvents } from './ws-platform.ts';

export { type CodeName, RingmqError } from '../base/codes.ts';
export { type ExponentialDelays, exponentialDelays } from '../group/retry-ladder.ts';
export { type MessagePlace, messageId, parseMessageId } from '../record/message-id.ts';
export type { PartitionPosition, QueryMatch, StartFrom, TopicRoute } from '../wire/commands.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from './codec.ts';
export type * from './connection.ts';
export { Batch, Message } from './message.ts';
export type * from './messaging.ts';
export { DeadLetter, RetryLater } from './messaging.ts';
export type { ConnectOptions } from './ws-connection.ts';
export { WsConnection } from './ws-connection.ts';

/** Browsers do not tell when a socket has taken bytes: look this often while it holds some. */
const DRAIN_POLL_MS = 4;
const REASON_MAX_LENGTH = 120;

/**
 * Connects to a broker, in the background: await ready() to know. Several addresses are tried in turn.
 * Throws `illegal-argument` for an address or option that makes no sense.
 */
export function connect(url: string | URL | readonly (string | URL)[], options: ConnectOptions = {}): WsConnection {
  return new WsConnection(BROWSER, url, options);
}

/** What a browser offers; for those who put something between the client and its sockets. */
export const BROWSER: Platform = {
  name: `ringmq-browser/${CLIENT_VERSION}`,
  // TCP and TLS have checked the bytes, and without a native CRC-32 it costs as much as everything else together.
  verifyChecksums: false,
  open: (url, events) => new BrowserWire(url, events),
  soon: makeSoon(),
  whenOnline: (listener) => {
    if (typeof addEventListener !== 'function') return () => {};
    addEventListener('online', listener);
    return () => removeEventListener('online', listener);
  },
};

class BrowserWire implements Wire {
  private readonly socket: WebSocket;
  private readonly events: WireEvents;
  private polling = false;
  private isOver = false;

  constructor(url: string, events: WireEvents) {
    this.events = events;
    const socket = new WebSocket(url, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onopen = () => events.opened();
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) events.frame(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.ended(code, reason);
    // The standard says that a close event follows; some runtimes forget it when the connection never stood.
    socket.onerror = () => setTimeout(() => this.ended(1006, ''), 0);
  }

  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** The browser copies. HOT */
  send(bytes: Uint8Array): void {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(bytes as Uint8Array<ArrayBuffer>);
    if (this.polling || this.socket.bufferedAmount === 0) return;
    this.polling = true;
    setTimeout(this.poll, DRAIN_POLL_MS);
  }

  close(code: number, reason: string): void {
    // Scripts may not send the codes below 3000 besides 1000.
    this.socket.close(code === 1000 || code >= 3000 ? code : 4000, reason.slice(0, REASON_MAX_LENGTH));
  }

  /** Browsers cannot cut a connection. */
  terminate(): void {
    this.socket.close();
  }

  private ended(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events.ended({ code, reason, cause: '', status: 0 });
  }

  private readonly poll = (): void => {
    this.polling = this.socket.readyState === WebSocket.OPEN && this.socket.bufferedAmount > 0;
    if (this.polling) setTimeout(this.poll, DRAIN_POLL_MS);
    this.events.drained();
  };
}

/** A task of its own, at once and not throttled in background tabs as timers are. */
function makeSoon(): (task: () => void) => void {
  const tasks: (() => void)[] = [];
  let channel: MessageChannel | undefined;
  return (task) => {
    tasks.push(task);
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => tasks.shift()?.();
    }
    channel.port2.postMessage(0);
  };
}
