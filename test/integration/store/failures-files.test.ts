// A broker process that connections leave without a file to open: it lives on, and nothing acknowledged is missing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { fillLog, lost, readBack, SMALL } from './failures-harness.ts';

const CLI = fileURLToPath(new URL('../../../dist/src/cli/main.js', import.meta.url));
const FILES_MAX = 150;

test.skipIf(process.platform === 'win32')(
  'more connections than files: the store waits, and goes on when some are closed',
  async () => {
    const port = await freePort();
    const args = ['serve', '--json', '--transport', 'ws', '--port', String(port), '--data', dataFolder(), ...SMALL];
    const command = `ulimit -n ${FILES_MAX}; exec "$0" "$@"`;
    const server = spawn('bash', ['-c', command, process.execPath, CLI, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const sockets: net.Socket[] = [];
    try {
      let said = '';
      server.stdout.on('data', (chunk: Buffer) => {
        said += chunk;
      });
      await until(() => said.includes('\n'), 'the server is there', 20_000);
      const connection = connect(`ws://127.0.0.1:${port}`);
      connection.onError(() => {});
      await connection.ready();
      await connection.createTopic('orders', { partitions: 1 });
      for (let i = 0; i < FILES_MAX; i++) {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => {});
        sockets.push(socket);
      }
      // Several segments while nothing can be opened, or while the last file is taken in turns.
      const filling = fillLog(connection, 'orders', 40);
      // As far as it comes.
      let filled = false;
      void filling.then(() => {
        filled = true;
      });
      await until(() => filled, 'everything is stored meanwhile', 1_500).catch(() => {});
      for (const socket of sockets) socket.destroy();
      const load = await filling;
      expect(server.exitCode).toBe(null);
      const after = await fillLog(connection, 'orders', 5, 'n');
      expect([after.failed, after.acked.size]).toEqual([[], 100]);
      const all = await readBack(connection, 'orders');
      expect([lost(all, load), lost(all, after), all.gaps]).toEqual([[], [], []]);
      await connection.close();
      const exit = once(server, 'exit');
      server.kill('SIGINT');
      expect(await exit).toEqual([0, null]);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.kill('SIGKILL');
    }
  },
  60_000,
);
