// A port for a server that is started soon, also again and again: clients come back to the address that they know.
// Below the range that the system gives to outgoing connections, or one of them could sit on it while the server is
// away.
import { createServer } from 'node:net';

const FIRST = 12_000;
const COUNT = 16_000;
const TRIES = 50;

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${FIRST} to ${FIRST + COUNT - 1}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
