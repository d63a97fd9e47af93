// One WebSocket in Node: the `ws` package does the handshake, receives, and answers pings; data goes out through
// MaskedFrames.
import net, { type NetConnectOpts, type Socket } from 'node:net';
import tls, { type ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import { MaskedFrames } from './ws-masked-frames.ts';
import { PlainFrames } from './ws-plain-frames.ts';
import { SUBPROTOCOL, type Wire, type WireEvents } from './ws-platform.ts';

/** Largest frame that is taken from a broker. */
const FRAME_MAX_BYTES = 64 * 1024 * 1024;
/** Read from the socket at a time. */
const READ_BYTES = 256 * 1024;
/** A close frame has room for 123 bytes of reason. */
const REASON_MAX_LENGTH = 120;

export class NodeWire implements Wire {
  private readonly socket: WebSocket;
  private readonly events: WireEvents;
  private frames: MaskedFrames | undefined;
  private cause = '';
  private status = 0;
  private statusText = '';
  private isOver = false;
  private raw: Socket | undefined;
  /** Frames are taken here, not by ws. */
  private reading = false;

  constructor(url: string, events: WireEvents) {
    this.events = events;
    const isSecure = url.startsWith('wss:');
    const socket = new WebSocket(url, SUBPROTOCOL, {
      perMessageDeflate: false,
      maxPayload: FRAME_MAX_BYTES,
      skipUTF8Validation: true,
      followRedirects: false,
      createConnection: ((options: NetConnectOpts & ConnectionOptions) => {
        const raw = isSecure ? openTls(options) : this.openPlain(options);
        this.frames = new MaskedFrames(raw, () => events.drained());
        return raw;
      }) as typeof net.createConnection,
    });
    this.socket = socket;
    socket.on('open', () => {
      // Bytes that came with the handshake are with ws already: then it keeps on reading.
      this.reading = this.raw?.readableLength === 0;
      events.opened();
    });
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

  /** HOT */
  send(bytes: Uint8Array): void {
    if (this.socket.readyState === WebSocket.OPEN) this.frames?.send(bytes);
  }

  close(code: number, reason: string): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.close(code, reason.slice(0, REASON_MAX_LENGTH));
    else this.socket.terminate();
  }

  terminate(): void {
    this.socket.terminate();
  }

  /** A socket that reads into one buffer for ever; what is not ours goes on as if the socket had read it itself. */
  private openPlain(options: NetConnectOpts): Socket {
    const pass = (bytes: Buffer): void => void raw.emit('data', bytes);
    const frames = new PlainFrames(FRAME_MAX_BYTES, (bytes) => this.events.frame(bytes), pass);
    const callback = (length: number, buffer: Uint8Array): boolean => {
      const read = buffer.subarray(0, length);
      if (this.reading) frames.take(read);
      else pass(Buffer.from(read));
      return true;
    };
    const onread = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback };
    const raw: Socket = net.connect({ ...options, path: undefined, onread } as NetConnectOpts);
    this.raw = raw;
    return raw;
  }

  private ended(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events.ended({ code, reason: reason || this.statusText, cause: this.cause, status: this.status });
  }
}

/** As ws itself does: the name of the host goes along, an address does not. */
function openTls(options: ConnectionOptions): Socket {
  const { host = '' } = options;
  const servername = options.servername || (net.isIP(host) ? '' : host);
  return tls.connect({ ...options, path: undefined, servername } as ConnectionOptions);
}
