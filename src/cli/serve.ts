// `ringmq serve`: a broker in this process.
import { Command, Option } from 'commander';
import type { BrokerOptions, ListenOptions, LogLevel } from '../server/options.ts';
import type { IdleName } from '../thread/agent.ts';
import { EXIT, EXIT_HELP, say, whenInterrupted } from './exit.ts';
import { byteCount, whole } from './options.ts';

interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly workers?: number;
  readonly frontends?: number;
  readonly transport: 'auto' | 'uws' | 'ws';
  readonly insecure?: boolean;
  readonly autoCreate: boolean;
  readonly idle: IdleName;
  readonly logLevel: LogLevel;
  readonly ringBytes?: number;
  readonly origin?: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  ringmq serve
  ringmq serve --port 8000 --workers 2
  ringmq serve --host 0.0.0.0 --insecure     reachable by other machines: there is no authentication yet

Ctrl-C (or SIGTERM) lets connections end in order; a second one ends at once.
`;

export function serveCommand(done: (code: number) => void): Command {
  return new Command('serve')
    .description('start a broker')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port to listen on; 0: any free one', whole(0, 65_535), 7400)
    .option('--workers <n>', 'broker worker threads (default: one for every four cores)', whole(1, 16))
    .option('--frontends <n>', 'front-end threads sharing the port (default: one for every four cores)', whole(1, 16))
    .addOption(new Option('--transport <name>', 'WebSocket server').choices(['auto', 'uws', 'ws']).default('auto'))
    .option('--insecure', 'allow a host that other machines can reach')
    .option('--origin <origin...>', 'origins whose pages may connect, like https://example.org')
    .option('--no-auto-create', 'topics must be created before use')
    .option('--ring-bytes <size>', 'ring per partition, a power of two (default: 4m)', byteCount)
    .addOption(
      new Option('--idle <strategy>', 'what idle threads do').choices(['park', 'yield', 'spin']).default('park'),
    )
    .addOption(
      new Option('--log-level <level>', 'log on stderr')
        .choices(['silent', 'error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .option('--json', 'print the address as a JSON line')
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (options: ServeOptions) => done(await serve(options)));
}

/** Options of the command line as those of startBroker(): one table of names. */
export function brokerOptions(options: ServeOptions): BrokerOptions {
  const listen: ListenOptions = {
    host: options.host,
    port: options.port,
    transport: options.transport,
    insecure: options.insecure ?? false,
    ...(options.origin === undefined ? {} : { origins: options.origin }),
    ...(options.frontends === undefined ? {} : { frontends: options.frontends }),
  };
  return {
    listen,
    idle: options.idle,
    autoCreateTopics: options.autoCreate,
    logLevel: options.logLevel,
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    ...(options.ringBytes === undefined ? {} : { ringBytes: options.ringBytes }),
  };
}

async function serve(options: ServeOptions): Promise<number> {
  // The other commands do not load the broker.
  const { startBroker } = await import('../server/broker.ts');
  const interrupted = whenInterrupted();
  const broker = await startBroker(brokerOptions(options));
  const url = broker.url ?? '';
  if (options.json) process.stdout.write(`${JSON.stringify({ url, pid: process.pid })}\n`);
  else process.stdout.write(greeting(url));
  const ended = broker.stopped.then(() => undefined);
  const signal = await Promise.race([interrupted, ended]);
  if (signal) say(`ringmq: ${signal}: stopping; once more ends at once`);
  await broker.stop();
  await ended;
  return EXIT.ok;
}

function greeting(url: string): string {
  const at = url === 'ws://127.0.0.1:7400' ? '' : ` --url ${url}`;
  return [
    `ringmq runs at ${url.replace(/^ws/, 'http')}`,
    '',
    `  npx ringmq sub demo${at}`,
    `  npx ringmq pub demo --message hello${at}`,
    '',
  ].join('\n');
}
