// Is a port free? uWebSockets.js listens with SO_REUSEPORT so that several threads can share one. The price:
// a second program on the same port starts without an error and takes half of the connections. An ordinary
// listener does not share, so the kernel tells it the truth.
import { createServer } from 'node:net';
import { TransportError } from './transport.ts';

/**
 * Listens on the port for a moment, without sharing it, and returns the port: for port 0 the one that the
 * kernel chose. Rejects with a TransportError: 'EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', or the system's code
 * for anything else.
 */
export function probePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => reject(listenError(error, host, port)));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const found = address !== null && typeof address === 'object' ? address.port : port;
      server.close(() => resolve(found));
    });
  });
}

/** Puts a listen error into words: where, why, and what to do. */
export function listenError(error: Error, host: string, port: number): TransportError {
  const code = (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';
  return new TransportError(code, `cannot listen on ${host}:${port}: ${advice(code, error.message)} (${code})`);
}

function advice(code: string, text: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'another program uses this port; stop it or choose another port';
    case 'EACCES':
      return 'this user may not open the port; choose a port above 1023 or grant the privilege';
    case 'EADDRNOTAVAIL':
      return 'the host is not an address of this machine; use 127.0.0.1, 0.0.0.0 or one of its own addresses';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name has no address; use an IP address';
    default:
      return text;
  }
}
