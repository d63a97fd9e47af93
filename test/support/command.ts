// The `ringmq` command in a process of its own, as a person or script runs it: what it says, and how it ends.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export interface CommandSettings {
  /** On top of this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** As another user. */
  readonly uid?: number;
}

export interface Ended {
  /** Null: ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  /** Its exit code; null: ended by a signal. */
  readonly ended: Promise<number | null>;
  stderr = '';
  private readonly chunks: Buffer[] = [];

  constructor(args: readonly string[], { env = {}, uid }: CommandSettings = {}) {
    this.child = spawn(process.execPath, [CLI, ...args], {
      env: { ...process.env, ...env },
      ...(uid === undefined ? {} : { uid }),
    });
    this.ended = new Promise((resolve) => this.child.on('close', (code) => resolve(code)));
    this.child.stdout.on('data', (chunk: Buffer) => this.chunks.push(chunk));
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
    });
    // One that has ended reads nothing more.
    this.child.stdin.on('error', () => {});
  }

  /** What it has written to stdout so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get stdout(): string {
    return this.bytes.toString();
  }
}

/** Runs a command to its end. */
export async function runCommand(
  args: readonly string[],
  settings: CommandSettings = {},
  input: Buffer | string = '',
): Promise<Ended> {
  const running = new RunningCommand(args, settings);
  running.child.stdin.end(input);
  const code = await running.ended;
  return { code, stdout: running.stdout, stderr: running.stderr };
}

/** What was printed with --json: a value a line. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
