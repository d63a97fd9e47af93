// A broker in a process of its own, so that what its threads use of the processors can be told apart from the clients.
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { BrokerOptions } from '../../src/index.ts';

const TICKS_PER_SECOND = 100;

export interface BenchServer {
  readonly url: string;
  /** CPU seconds of each thread of the server so far; empty where the system does not say (/proc). */
  threadSeconds(): Map<string, number>;
  stop(): Promise<void>;
}

/** Starts a broker that listens on a free port of the loopback interface. */
export async function startServer(options: BrokerOptions = {}): Promise<BenchServer> {
  const child = fork(new URL('./server-door.js', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { url: string }).url));
    child.once('exit', (code) => reject(new Error(`the bench server ended with ${code}`)));
    child.send(options);
  });
  return { url, threadSeconds: () => threadSeconds(child.pid as number), stop: () => stop(child) };
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.disconnect();
  });
}

function threadSeconds(pid: number): Map<string, number> {
  const seconds = new Map<string, number>();
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      // Fields after the name in parentheses: user and system time are the 12th and 13th.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      seconds.set(thread, (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND);
    }
  } catch {
    // Not Linux: no figure.
  }
  return seconds;
}

/** CPU seconds that the busiest thread used between two looks. */
export function busiest(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  return Math.max(0, ...[...after].map(([thread, seconds]) => seconds - (before.get(thread) ?? 0)));
}
