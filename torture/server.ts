// The real server as a process of its own: started, watched, killed.
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** This file runs from dist/torture. */
const PROGRAM = path.resolve(fileURLToPath(import.meta.url), '../../../bin/ringmq.mjs');
const START_MAX_MS = 60_000;
const LOG_LINES_KEPT = 60;
const LOG_LINES_TOLD = 5;
/** What the supervisor says of a thread that has died. */
const THREAD_ENDED = 'thread ended: starting it again';

export interface ServerOptions {
  readonly folder: string;
  readonly port: number;
  /** RINGMQ_CRASH; undefined: none. */
  readonly crash: string | undefined;
  readonly args: readonly string[];
  /** What is started in place of `bin/ringmq.mjs`. */
  readonly program?: string | undefined;
  /** A start that takes longer is ended: it hangs. Default 60,000. */
  readonly startMaxMs?: number;
}

export class Server {
  private readonly child: ChildProcess;
  private readonly startMaxMs: number;
  private readonly started: Promise<string | undefined>;
  /** The last lines of its log. */
  readonly log: string[] = [];
  readonly ended: Promise<string>;
  alive = true;
  /** Its start hung and was ended. */
  hung = false;
  /** Threads that died and were started again. */
  threadsEnded = 0;
  /** Resolves with the first of them. */
  readonly threadEnded: Promise<void>;
  private sawThreadEnd: () => void = () => {};

  constructor(options: ServerOptions) {
    const { folder, port, crash, args, program = PROGRAM, startMaxMs = START_MAX_MS } = options;
    this.startMaxMs = startMaxMs;
    const env = { ...process.env, ...(crash === undefined ? {} : { RINGMQ_CRASH: crash }) };
    const line = [program, 'serve', '--data', folder, '--port', String(port), '--json', ...args];
    this.child = spawn(process.execPath, line, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.alive = false;
        resolve(signal ?? `code ${code}`);
      });
    });
    this.threadEnded = new Promise((resolve) => {
      this.sawThreadEnd = resolve;
    });
    createInterface({ input: this.child.stderr as NodeJS.ReadableStream }).on('line', (text) => this.keep(text));
    this.started = new Promise((resolve) => {
      createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).once('line', (text) =>
        resolve((JSON.parse(text) as { url: string }).url),
      );
      void this.ended.then(() => resolve(undefined));
    });
  }

  /** Its address; undefined if it ended before it had one. */
  async ready(): Promise<string | undefined> {
    const late = setTimeout(() => {
      this.hung = true;
      this.kill();
    }, this.startMaxMs);
    const url = await this.started;
    clearTimeout(late);
    return url;
  }

  /** The last it said. */
  get lastWords(): string {
    return this.log.slice(-LOG_LINES_TOLD).join(' | ');
  }

  kill(): void {
    if (this.alive) this.child.kill('SIGKILL');
  }

  /** Asks it to end in order. */
  stop(): Promise<string> {
    if (this.alive) this.child.kill('SIGTERM');
    return this.ended;
  }

  private keep(text: string): void {
    this.log.push(text);
    if (this.log.length > LOG_LINES_KEPT) this.log.shift();
    if (!text.includes(THREAD_ENDED)) return;
    this.threadsEnded++;
    this.sawThreadEnd();
  }
}
