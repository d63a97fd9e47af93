// One session with a broker that comes back by itself: opens the WebSocket, says hello, keeps time, matches answers
// with requests, and tries again with growing waits when the connection is lost. What the session is for is its host's
// affair.
import { CODES, type CodeName, codeName, RingmqError } from '../base/codes.ts';
import { decodeFrame, encodeFrame } from '../wire/codec.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import { isCommand } from '../wire/frame.ts';
import type { ConnectionState } from './connection.ts';
import type { Backoff } from './ws-backoff.ts';
import type { Platform, Wire, WireEnd } from './ws-platform.ts';
import { Requests } from './ws-requests.ts';

/** Version that clients say in hello; a test compares it with package.json. */
export const CLIENT_VERSION = '0.1.0';

export interface LinkOptions {
  readonly urls: readonly string[];
  readonly name: string;
  readonly token: string;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** Whom a link serves. */
export interface LinkHost {
  /** A session stands; subscribe again. */
  up(welcome: CommandOf<'welcome'>): void;
  /** The session is gone: whatever was not answered is lost. */
  lost(): void;
  /** A command that answers no request. */
  command(command: Command): void;
  /** A frame of batches, not checked yet. Throws RingmqError if it makes no sense. HOT */
  batches(bytes: Uint8Array): boolean;
  /** The socket has taken bytes. */
  drained(): void;
  changed(to: ConnectionState, code: CodeName, reason: string, retryInMs?: number): void;
  failed(error: Error): void;
}

const NORMAL = 1000;
const INVALID_PAYLOAD = 1007;
const TIMEOUT_CLOSE = CODES.idle.number;
const REFUSED_CODES: Readonly<Record<number, CodeName>> = {
  401: 'origin-refused',
  403: 'origin-refused',
  404: 'not-found',
};

export class Link {
  readonly requests: Requests;
  private readonly platform: Platform;
  private readonly options: LinkOptions;
  private readonly backoff: Backoff;
  private readonly host: LinkHost;
  private readonly forgetOnline: () => void;
  private current: ConnectionState = 'connecting';
  private wire: Wire | undefined;
  private up = false;
  private upSince = 0;
  private everUp = false;
  private attempts = 0;
  private heard = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private lastError: RingmqError | undefined;
  private readonly waiters: { resolve(): void; reject(error: Error): void }[] = [];

  constructor(platform: Platform, options: LinkOptions, backoff: Backoff, host: LinkHost) {
    this.platform = platform;
    this.options = options;
    this.backoff = backoff;
    this.host = host;
    this.requests = new Requests(options.requestTimeoutMs, {
      trySend: (bytes) => this.trySend(bytes),
      why: () => this.lastError?.message ?? `not connected to ${options.urls.join(', ')}`,
    });
    this.forgetOnline = platform.whenOnline(() => this.retryNow());
    // Listeners are set after the constructor: nothing may happen before.
    this.retry = setTimeout(() => this.open(), 0);
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** True while a session stands. HOT */
  get isUp(): boolean {
    return this.up;
  }

  get bufferedBytes(): number {
    return this.wire?.bufferedBytes ?? 0;
  }

  /** Resolves with a session; rejects when closed, and when nobody answered the first time. */
  ready(): Promise<void> {
    if (this.up) return Promise.resolve();
    if (this.current === 'closed') return Promise.reject(this.lastError ?? new RingmqError('closed'));
    if (!this.everUp && this.lastError) return Promise.reject(this.lastError);
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  /** Sends a frame of batches. The memory may be used again when this returns. HOT */
  sendBatches(bytes: Uint8Array): void {
    this.wire?.send(bytes);
  }

  /** Sends a command that wants no answer; false without a session. */
  trySay(command: Command): boolean {
    return this.up && this.trySend(encodeFrame({ correlation: 0, command }));
  }

  /** Ends the session for good. */
  close(code: CodeName = 'closed', reason = 'the connection was closed', closeCode = NORMAL): void {
    if (this.current === 'closed') return;
    const wire = this.wire;
    this.dropWire();
    wire?.close(closeCode, reason);
    this.forgetOnline();
    clearTimeout(this.retry);
    this.current = 'closed';
    const error = new RingmqError(code, reason);
    this.lastError = error;
    for (const waiter of this.waiters.splice(0)) waiter.reject(error);
    this.requests.failAll(error);
    this.host.changed('closed', code, reason);
  }

  private trySend(bytes: Uint8Array): boolean {
    if (!this.up || !this.wire) return false;
    this.wire.send(bytes);
    return true;
  }

  private open(): void {
    this.retry = undefined;
    const { urls, connectTimeoutMs } = this.options;
    const url = urls[this.attempts % urls.length];
    this.attempts++;
    let own: Wire | undefined;
    // A socket that was given up on may still report: only the current one is heard.
    const mine = (): boolean => own !== undefined && this.wire === own;
    own = this.platform.open(url, {
      opened: () => {
        if (mine()) this.hello();
      },
      frame: (bytes) => mine() && this.take(bytes),
      drained: () => {
        if (mine()) this.host.drained();
      },
      ended: (end) => {
        if (mine()) this.ended(url, end);
      },
    });
    this.wire = own;
    this.deadline = setTimeout(() => {
      const wire = this.wire;
      this.ended(url, { code: 1006, reason: '', cause: `no answer within ${connectTimeoutMs} ms`, status: 0 });
      wire?.terminate();
    }, connectTimeoutMs);
  }

  private hello(): void {
    const { name, token } = this.options;
    const client = name === '' ? this.platform.name : name;
    this.wire?.send(
      encodeFrame({ correlation: 0, command: { type: 'hello', client, version: CLIENT_VERSION, token } }),
    );
  }

  /** True if the bytes are kept. HOT */
  private take(bytes: Uint8Array): boolean {
    this.heard++;
    try {
      if (!isCommand(bytes)) {
        if (!this.up) throw new RingmqError('protocol-error', 'the broker sent messages before its welcome');
        return this.host.batches(bytes);
      }
      const { correlation, command } = decodeFrame(bytes);
      this.takeCommand(correlation, command);
      return false;
    } catch (error) {
      this.breakOff(error);
      // Some of it may have been kept before the rest turned out to be wrong.
      return true;
    }
  }

  private takeCommand(correlation: number, command: Command): void {
    if (!this.up) {
      if (command.type === 'welcome') this.welcomed(command);
      else if (command.type === 'refused') this.give(command.code, command.text || CODES[command.code].text);
      else throw new RingmqError('protocol-error', `the broker said ${command.type} before its welcome`);
    } else if (command.type === 'ping') this.trySay({ type: 'pong', time: command.time });
    else if (command.type !== 'pong' && !this.requests.answer(correlation, command)) this.host.command(command);
  }

  private welcomed(welcome: CommandOf<'welcome'>): void {
    clearTimeout(this.deadline);
    this.up = true;
    this.everUp = true;
    this.upSince = performance.now();
    this.lastError = undefined;
    this.heartbeat = startHeartbeat(welcome.heartbeatMs, () => this.beat());
    this.current = 'connected';
    this.host.changed(
      'connected',
      'ok',
      `connected to ${this.options.urls[(this.attempts - 1) % this.options.urls.length]}`,
    );
    this.host.up(welcome);
    this.requests.sendWaiting();
    for (const waiter of this.waiters.splice(0)) waiter.resolve();
  }

  /** The broker refuses this client before the session stands. */
  private give(code: CodeName, text: string): void {
    const error = new RingmqError(code, text);
    const wire = this.wire;
    if (error.retryable) this.lose(code, text);
    else this.close(code, text);
    wire?.close(NORMAL, '');
  }

  /** What came in cannot be right: damaged bytes are asked for again, anything else ends the connection. */
  private breakOff(thrown: unknown): void {
    if (!(thrown instanceof RingmqError)) throw thrown;
    this.host.failed(thrown);
    if (thrown.code === 'unknown-command') return;
    if (thrown.code === 'bad-checksum') {
      const wire = this.wire;
      this.lose('bad-checksum', thrown.message);
      wire?.close(INVALID_PAYLOAD, 'bad checksum');
    } else {
      this.close('protocol-error', `the broker broke the protocol: ${thrown.message}`, CODES['protocol-error'].number);
    }
  }

  private beat(): void {
    if (this.heard > 0) {
      this.heard = 0;
      this.trySay({ type: 'ping', time: Date.now() });
      return;
    }
    const wire = this.wire;
    this.lose('idle', 'the broker does not answer pings');
    wire?.close(TIMEOUT_CLOSE, 'no answer to ping');
    wire?.terminate();
  }

  private ended(url: string, end: WireEnd): void {
    const { code, text, final } = explain(url, end, this.up);
    if (final) this.close(code, text);
    else this.lose(code, text);
  }

  /** This session or attempt is over; another one follows if there may be one. */
  private lose(code: CodeName, text: string): void {
    const wasUp = this.up;
    this.dropWire();
    const error = new RingmqError(code, text);
    this.lastError = error;
    if (wasUp) {
      this.backoff.lasted(performance.now() - this.upSince);
      this.attempts = 0;
      this.requests.lost();
      this.host.lost();
    }
    const roundOver = wasUp || this.attempts % this.options.urls.length === 0;
    const wait = roundOver ? this.backoff.next() : 0;
    if (wait === undefined) {
      this.close(code, text);
      return;
    }
    if (roundOver && !this.everUp) for (const waiter of this.waiters.splice(0)) waiter.reject(error);
    this.current = this.everUp ? 'reconnecting' : 'connecting';
    this.retry = setTimeout(() => this.open(), wait);
    this.host.changed(this.current, code, text, wait);
  }

  private retryNow(): void {
    if (this.retry === undefined) return;
    clearTimeout(this.retry);
    this.open();
  }

  private dropWire(): void {
    this.wire = undefined;
    this.up = false;
    this.heard = 1;
    clearTimeout(this.deadline);
    clearInterval(this.heartbeat);
  }
}

function startHeartbeat(everyMs: number, beat: () => void): ReturnType<typeof setInterval> | undefined {
  return everyMs > 0 ? setInterval(beat, everyMs) : undefined;
}

/** Why a WebSocket ended, and whether there is any use in coming back. */
function explain(url: string, end: WireEnd, wasUp: boolean): { code: CodeName; text: string; final: boolean } {
  const { code, reason, cause, status } = end;
  if (status > 0) {
    const name = REFUSED_CODES[status] ?? (status < 500 ? 'protocol-error' : 'connection-lost');
    const text = `${url} refused the connection: HTTP ${status}${reason === '' ? '' : ` (${reason})`}`;
    return { code: name, text, final: status >= 400 && status < 500 };
  }
  if (code >= 4000) {
    const name = codeName(code);
    const why = reason || (name === 'internal' ? `code ${code}` : CODES[name].text);
    // This client does say hello: the line or one of the two machines stood still, or a clock was set.
    const final = code >= 4500 && name !== 'hello-timeout';
    return { code: name, text: `the broker closed the connection: ${why}`, final };
  }
  if (wasUp) {
    const why = cause || reason || (code === 1006 ? '' : `code ${code}`);
    return { code: 'connection-lost', text: `the connection to ${url} was lost${why && ` (${why})`}`, final: false };
  }
  const why = cause === '' ? '' : ` (${cause})`;
  return {
    code: 'connection-lost',
    text: `no broker at ${url}${why}: start one with \`npx ringmq serve\``,
    final: false,
  };
}
