// A TCP proxy that tests put between a client and a broker: it can cut connections, stall them, damage bytes on the way
// and refuse to let anybody in.
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

export class TcpProxy {
  readonly port: number;
  /** Connections so far. */
  count = 0;
  /** Bytes that came from the server. */
  bytesDown = 0;
  /** New connections are cut at once while true. */
  closedForAll = false;
  /** Looks at bytes from the server before they go on, and may change them. */
  onDown: (chunk: Buffer) => void = () => {};
  /** The same for bytes from the client. */
  onUp: (chunk: Buffer) => void = () => {};
  private readonly server: net.Server;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private stalled = false;

  private constructor(server: net.Server, targetPort: number) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.connect(client, targetPort));
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, targetPort);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.pairs.size;
  }

  /** Breaks every connection, as a network that goes away does. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Nothing goes through in either direction until resume(). */
  stall(): void {
    this.stalled = true;
    for (const pair of this.pairs) for (const socket of pair) socket.pause();
  }

  resume(): void {
    this.stalled = false;
    for (const pair of this.pairs) for (const socket of pair) socket.resume();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
  }

  private connect(client: Socket, targetPort: number): void {
    this.count++;
    if (this.closedForAll) {
      client.resetAndDestroy();
      return;
    }
    const server = net.connect(targetPort, '127.0.0.1');
    const pair = [client, server] as const;
    this.pairs.add(pair);
    client.on('data', (chunk: Buffer) => {
      this.onUp(chunk);
      if (!server.write(chunk)) client.pause();
    });
    server.on('data', (chunk: Buffer) => {
      this.bytesDown += chunk.length;
      this.onDown(chunk);
      if (!client.write(chunk)) server.pause();
    });
    client.on('drain', () => this.stalled || server.resume());
    server.on('drain', () => this.stalled || client.resume());
    for (const socket of pair) {
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => {
        this.pairs.delete(pair);
        for (const one of pair) one.destroy();
      });
      if (this.stalled) socket.pause();
    }
  }
}
