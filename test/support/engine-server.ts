// `ringmq serve` in a process of its own, which can be killed with -9 and started again; ended after each test
// unless it serves all tests of a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach } from 'vitest';
import { freePort } from '../../bench/support/free-port.ts';
import { CLI } from './command.ts';
import { until } from './until.ts';

const running = new Set<ServerProcess>();

afterEach(async () => {
  for (const one of running) await one.kill();
});

export interface ServerSettings {
  readonly env?: Record<string, string>;
  /** The caller stops it: it serves more than one test. */
  readonly forFile?: boolean;
}

export class ServerProcess {
  readonly args: readonly string[];
  private readonly child: ChildProcess;
  private stdout = '';
  stderr = '';
  url = '';

  private constructor(args: readonly string[], { env = {}, forFile = false }: ServerSettings) {
    this.args = args;
    this.child = spawn(process.execPath, [CLI, 'serve', '--json', '--log-level', 'warn', ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk;
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
    });
    if (!forFile) running.add(this);
  }

  /**
   * Starts a server on a free port, if `--port` does not name one. Rejects with what it said if it ends instead.
   *
   * Never with port 0: sockets accepted there forbid the next server the port until the last of them is closed.
   */
  static async start(args: readonly string[], settings: ServerSettings = {}): Promise<ServerProcess> {
    const port = args.includes('--port') ? [] : ['--port', String(await freePort())];
    const server = new ServerProcess([...args, ...port], settings);
    await until(() => server.stdout.includes('\n') || server.ended, 'the server is there', 30_000);
    if (!server.stdout.includes('\n')) throw new Error(`the server ended with ${server.exitCode}: ${server.stderr}`);
    server.url = (JSON.parse(server.stdout) as { url: string }).url;
    return server;
  }

  get port(): string {
    return new URL(this.url).port;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.child.exitCode;
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    running.delete(this);
    if (this.ended) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exit;
  }

  /** Ctrl-C; resolves with the exit code. */
  async stop(): Promise<number | null> {
    running.delete(this);
    if (!this.ended) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGINT');
      await exit;
    }
    return this.exitCode;
  }
}
