// What a front end needs from a WebSocket and HTTP server. Two implementations: uws.ts (uWebSockets.js,
// native) and ws.ts (the `ws` package, pure JavaScript). Both pass one contract suite; nothing else in the
// project knows either.

/** Subprotocols, in the server's order of preference. */
export const SUBPROTOCOLS = { binary: 'ringmq.bin.v1', json: 'ringmq.json.v1' } as const;
export type Subprotocol = (typeof SUBPROTOCOLS)[keyof typeof SUBPROTOCOLS];

/** What send() answers. */
export const SENT = 1;
/** Accepted, but the socket is congested: send nothing more before drain(). */
export const BUFFERED = 0;
/**
 * Not accepted: the limit on buffered bytes was passed, or the socket is closed. Nothing of the frame was
 * sent.
 */
export const DROPPED = 2;
export type SendOutcome = typeof SENT | typeof BUFFERED | typeof DROPPED;

/** One WebSocket connection. */
export interface Socket {
  /** Subprotocol agreed on in the handshake. */
  readonly protocol: Subprotocol;
  /** Peer address as text. */
  readonly remoteAddress: string;
  /** For the front end's own use; undefined at open(). */
  session: unknown;
  /**
   * Sends one frame. A Uint8Array goes out as a binary frame, a string as a text frame. Bytes may lie in
   * shared memory: they are copied or handed to the kernel before this returns, never kept. Never throws,
   * also not after close.
   */
  send(frame: Uint8Array | string): SendOutcome;
  /** Bytes accepted and not yet given to the kernel. 0 after close. */
  bufferedBytes(): number;
  /**
   * Runs `sends` at once, so that small frames sent in it leave in one system call. What SENT says inside is
   * only known afterwards: bufferedBytes() above 0 then means what BUFFERED means, and drain() will come.
   */
  cork(sends: () => void): void;
  /**
   * Sends a close frame behind what was accepted and ends the connection. The handler close() runs soon
   * after, never inside this call; no message arrives in between. No-op after close.
   */
  close(code: number, reason: string): void;
  /** Ends the connection at once. No-op after close. */
  terminate(): void;
}

/** The HTTP request that asks for a WebSocket. Header names are lower case; a missing header is ''. */
export interface UpgradeRequest {
  readonly path: string;
  readonly query: string;
  readonly origin: string;
  /** Subprotocols that the client offers, in its order. Empty if it offers none. */
  readonly protocols: readonly string[];
  readonly remoteAddress: string;
  header(name: string): string;
}

/** Accept with a subprotocol (echoed only if the client offered it), or refuse with an HTTP status. */
export type UpgradeAnswer = { readonly accept: Subprotocol } | { readonly refuse: number; readonly text: string };

/** A plain HTTP request with its whole body. Header names are lower case; a missing header is ''. */
export interface HttpRequest {
  readonly method: string;
  /** Path without query, still percent-encoded. */
  readonly path: string;
  /** Query without '?', still percent-encoded. */
  readonly query: string;
  readonly remoteAddress: string;
  header(name: string): string;
  /** At most `bodyMaxBytes`; a larger one was already answered with 413. An owned copy. */
  readonly body: Uint8Array;
  /** Aborted when the client goes away before the answer. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** What a front end does with connections. Called on the transport's thread; must not throw. */
export interface TransportHandlers {
  upgrade(request: UpgradeRequest): UpgradeAnswer;
  open(socket: Socket): void;
  /**
   * `data` is valid during the call only. Text frames arrive as their UTF-8 bytes (validated) with `binary`
   * false.
   */
  message(socket: Socket, data: Uint8Array, binary: boolean): void;
  /** Congestion went down: sends may go on. Called once after any number of BUFFERED and DROPPED. */
  drain(socket: Socket): void;
  /**
   * Called exactly once per opened socket; its methods do nothing any more. `code`: of the close frame, ours
   * or the peer's; 1005 without one; 1006 for a connection that broke or was cut; 1007 and 1009 for text that
   * is not UTF-8 and a message too large, where the native transport may cut the connection without a frame
   * (the peer then sees 1006).
   */
  close(socket: Socket, code: number): void;
  request(request: HttpRequest): Promise<HttpResponse> | HttpResponse;
}

/** Limits that hold before anything is allocated for them. */
export interface TransportLimits {
  /** Largest WebSocket message in bytes; a larger one closes the socket with 1009. */
  readonly messageMaxBytes: number;
  /** Largest HTTP body in bytes; a larger one is answered with 413. */
  readonly bodyMaxBytes: number;
  /** Bytes buffered for one socket past which send() answers DROPPED. */
  readonly bufferedMaxBytes: number;
  /** Most open sockets; one more is answered with 503. */
  readonly connectionsMax: number;
  /**
   * Seconds of silence (no frame, no pong) after which a socket is closed. 8 to 960; pings are sent in time.
   */
  readonly idleTimeoutS: number;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Several threads listen on the same port (SO_REUSEPORT). Only where `sharesPort`. */
  readonly shared: boolean;
}

/** A listening server. */
export interface ServerTransport {
  /** Package that does the work: 'uWebSockets.js' or 'ws'. */
  readonly name: string;
  /** True if several threads can listen on one port. */
  readonly sharesPort: boolean;
  /** Port in use once listening; rejects with a TransportError ('EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL'). */
  listen(options: ListenOptions): Promise<number>;
  /** Stops accepting new connections; open ones go on. */
  stopListening(): void;
  /**
   * Closes everything: sockets with `code`, then waits (about 2 s at most) until each close() was called and
   * the loop has drained. To be awaited before the thread ends: a worker that is terminated with native
   * sockets open ends the process.
   */
  close(code: number, reason: string): Promise<void>;
}

/** A server could not start or had to stop. `code` is the system's error code. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
