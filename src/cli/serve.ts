// `ringmq serve`: a broker in this process.
import path from 'node:path';
import { Command, Option } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { BrokerOptions, ListenOptions, LogLevel } from '../server/options.ts';
import type { DiskMode, OnDamage, StoreOptions } from '../server/store-options.ts';
import type { IdleName } from '../thread/agent.ts';
import { EXIT, EXIT_HELP, say, whenInterrupted } from './exit.ts';
import { DEFAULT_DATA, whole } from './options.ts';
import { byteCount, duration } from './times.ts';

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
  readonly data?: string;
  readonly volatile?: boolean;
  readonly segmentBytes?: number;
  readonly retentionAge?: number;
  readonly retentionBytes?: number;
  readonly diskMode?: DiskMode;
  readonly onDamage?: OnDamage;
  readonly transactionTimeout?: number;
  readonly transactionCheck?: number;
  readonly transactionChecksMax?: number;
  readonly journalTailBytes?: number;
  readonly timerCheckpoint?: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  ringmq serve
  ringmq serve --port 8000 --workers 2
  ringmq serve --data /var/lib/ringmq --retention-age 7d --retention-bytes 100g
  ringmq serve --volatile                    keeps nothing: messages live in memory only
  ringmq serve --host 0.0.0.0 --insecure     reachable by other machines: there is no authentication yet

What was acknowledged is in the data folder and is there again after a restart, also after kill -9. One broker at a time
uses a folder. If the disk had a message and has damaged it since, the start stops and says where; with --on-damage
quarantine the damaged segment is set aside and readers are told which offsets they miss.

Ctrl-C (or SIGTERM) lets connections end in order; a second one ends at once.
`;

export function serveCommand(done: (code: number) => void): Command {
  return withCoordinatorOptions(withStoreOptions(withBrokerOptions(new Command('serve').description('start a broker'))))
    .option('--json', 'print the address as a JSON line')
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (options: ServeOptions) => done(await serve(options)));
}

function withBrokerOptions(command: Command): Command {
  return command
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
    );
}

function withStoreOptions(command: Command): Command {
  return command
    .addOption(new Option('--data <folder>', `folder of the data (default: ${DEFAULT_DATA})`).env('RINGMQ_DATA'))
    .option('--volatile', 'keep nothing')
    .option('--segment-bytes <size>', 'length of a segment file of the log (default: 256m)', byteCount)
    .option(
      '--retention-age <time>',
      'how long messages are kept, like 72h or 7d; 0s: for ever (default: 72h)',
      duration,
    )
    .option('--retention-bytes <size>', 'how much log is kept, like 100g (default: no limit)', byteCount)
    .addOption(
      new Option('--disk-mode <mode>', 'past the page cache, through it, or by a probe of the disk').choices([
        'auto',
        'direct',
        'buffered',
      ]),
    )
    .addOption(
      new Option('--on-damage <what>', 'when stored messages turn out to be damaged').choices(['stop', 'quarantine']),
    );
}

function withCoordinatorOptions(command: Command): Command {
  return command
    .option('--transaction-timeout <time>', 'before producers are asked about a half message (default: 6s)', duration)
    .option('--transaction-check <time>', 'between two such checks (default: 30s)', duration)
    .option('--transaction-checks-max <n>', 'checks before a half message is given up (default: 15)', whole(1, 10_000))
    .addOption(
      new Option('--journal-tail-bytes <size>', "changes before the coordinator's journal is written anew")
        .argParser(byteCount)
        .hideHelp(),
    )
    .addOption(
      new Option('--timer-checkpoint <time>', 'between two checkpoints of scheduled messages')
        .argParser(duration)
        .hideHelp(),
    );
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
    ...storeOptions(options),
    ...coordinatorOptions(options),
    listen,
    idle: options.idle,
    autoCreateTopics: options.autoCreate,
    logLevel: options.logLevel,
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    ...(options.ringBytes === undefined ? {} : { ringBytes: options.ringBytes }),
  };
}

function coordinatorOptions(options: ServeOptions): BrokerOptions {
  const { transactionTimeout, transactionCheck, transactionChecksMax, journalTailBytes, timerCheckpoint } = options;
  return {
    ...(transactionTimeout === undefined ? {} : { transactionTimeoutMs: transactionTimeout }),
    ...(transactionCheck === undefined ? {} : { transactionCheckMs: transactionCheck }),
    ...(transactionChecksMax === undefined ? {} : { transactionChecksMax }),
    ...(journalTailBytes === undefined ? {} : { journalTailBytes }),
    ...(timerCheckpoint === undefined ? {} : { timerCheckpointMs: timerCheckpoint }),
  };
}

function storeOptions(options: ServeOptions): StoreOptions {
  if (options.volatile) {
    if (options.data === undefined) return {};
    throw new RingmqError('illegal-argument', '--volatile keeps nothing and --data keeps it there: choose one');
  }
  return {
    data: options.data ?? DEFAULT_DATA,
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    ...(options.retentionAge === undefined ? {} : { retentionMs: options.retentionAge }),
    ...(options.retentionBytes === undefined ? {} : { retentionBytes: options.retentionBytes }),
    ...(options.diskMode === undefined ? {} : { diskMode: options.diskMode }),
    ...(options.onDamage === undefined ? {} : { onDamage: options.onDamage }),
  };
}

async function serve(options: ServeOptions): Promise<number> {
  // The other commands do not load the broker.
  const { startBroker } = await import('../server/broker.ts');
  const interrupted = whenInterrupted();
  const settled = brokerOptions(options);
  const data = settled.data === undefined ? undefined : path.resolve(settled.data);
  const broker = await startBroker(settled);
  const url = broker.url ?? '';
  if (options.json) process.stdout.write(`${JSON.stringify({ url, pid: process.pid, data })}\n`);
  else process.stdout.write(greeting(url, data));
  const ended = broker.stopped.then(() => undefined);
  const signal = await Promise.race([interrupted, ended]);
  if (signal) say(`ringmq: ${signal}: stopping; once more ends at once`);
  await broker.stop();
  await ended;
  return EXIT.ok;
}

function greeting(url: string, data: string | undefined): string {
  const at = url === 'ws://127.0.0.1:7400' ? '' : ` --url ${url}`;
  return [
    `ringmq runs at ${url.replace(/^ws/, 'http')}`,
    data === undefined ? 'and keeps nothing (--volatile)' : `and keeps its data in ${data}`,
    '',
    `  npx ringmq sub demo${at}`,
    `  npx ringmq pub demo --message hello${at}`,
    '',
  ].join('\n');
}
