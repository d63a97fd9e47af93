// How commands end, and how they say what went wrong.
import { RingmqError } from '../base/codes.ts';

export const EXIT = {
  ok: 0,
  /** Something failed while running. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** `sub`: messages were lost to this subscriber. */
  gap: 3,
  /** Ended by Ctrl-C before the work was done. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The table for --help. */
export const EXIT_HELP = `
Exit codes:
  0    done
  1    failed while running (no broker, refused, port in use ...)
  2    wrong usage
  3    sub: messages were lost to this subscriber (a gap, said on stderr)
  130  interrupted before the work was done
`;

/** A line on standard error. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Says what failed and returns the exit code for it. */
export function report(error: unknown): ExitCode {
  if (error instanceof RingmqError) {
    say(`ringmq: ${error.message}${error.message.includes(error.code) ? '' : ` [${error.code}]`}`);
    return error.code === 'illegal-argument' || error.code === 'illegal-filter' ? EXIT.usage : EXIT.failed;
  }
  say(`ringmq: ${error instanceof Error ? error.message : String(error)}`);
  return EXIT.failed;
}

/** A reader of our output that went away (`| head`) is no error: end quietly. */
export function endOnBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit();
      throw error;
    });
  }
}

/**
 * Resolves at the first SIGINT or SIGTERM; the second one ends the process at once. Not with exit(): a broker's threads
 * have native sockets open, which Node does not survive in order.
 */
export function whenInterrupted(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let times = 0;
    const heard = (signal: NodeJS.Signals): void => {
      times++;
      if (times > 1) process.kill(process.pid, 'SIGKILL');
      resolve(signal);
    };
    process.on('SIGINT', heard);
    process.on('SIGTERM', heard);
  });
}
