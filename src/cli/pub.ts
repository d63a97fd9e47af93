// `ringmq pub`: sends one message, or every line of standard input.
import { Command, Option } from 'commander';
import { PERMISSION_WRITE } from '../../native-layout/partition-table.ts';
import type { AckLevel } from '../base/units.ts';
import type { MessageExtras } from '../client/connection.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import { utf8 } from '../record/text.ts';
import { EXIT, EXIT_HELP, say, whenInterrupted } from './exit.ts';
import { type Figures, figures, grouped, summary } from './figures.ts';
import { LineSplitter } from './lines.ts';
import { type ClientOptions, connected, property, whole, withClientOptions } from './options.ts';
import { LaterSender, laterOf, type Sender } from './pub-later.ts';
import { duration, moment } from './times.ts';

interface PubOptions extends ClientOptions {
  readonly message?: string;
  readonly key?: string;
  readonly tag?: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly count?: number;
  readonly partition?: number;
  readonly nullDelimited?: boolean;
  readonly ack?: AckLevel;
  readonly priority?: number;
  readonly delay?: number;
  readonly at?: number;
}

const EXAMPLES = `
Examples:
  ringmq pub demo --message hello
  ringmq pub demo --message tick --count 1000
  ringmq pub orders --key customer-7 --property kind=test --message '{"total": 9}'
  cat access.log | ringmq pub lines
  find . -print0 | ringmq pub files --null-delimited
  ringmq pub orders --delay 10m --message remind    delivered in ten minutes (at most 366 days)
  ringmq pub orders --at 2027-01-01T00:00:00Z --message 'happy new year'
  ringmq pub orders --tag urgent --priority 9 --message now
  ringmq pub clicks --ack accepted --message x     faster; lost if the process is killed within the next milliseconds

Without --message every line of standard input is one message: the bytes between two newlines as they are (a carriage
return belongs to the line). A last line without a newline counts. All messages of a run go to one partition, in order.
The command ends when the broker has acknowledged all of them. What an acknowledgement means: none: sent; accepted: in
memory, readers see it; written: in the log, survives kill -9; durable: on the disk, survives the loss of power.
With --delay or --at messages are stored now and delivered then; each has a handle that takes it back (ringmq recall).
`;

const PROGRESS_MS = 1_000;
const NEWLINE = 10;

export function pubCommand(done: (code: number) => void): Command {
  const command = new Command('pub')
    .description('send messages')
    .argument('<topic>', 'made on first use where the broker allows it')
    .option('-m, --message <text>', 'the message; without it, lines of standard input')
    .option('--key <key>', 'messages of one key keep their order')
    .option('--tag <tag>', 'for filters')
    .option('--priority <n>', 'what waits for a group that asks for it is handed out by it, 9 first', whole(0, 9))
    .option('--delay <time>', 'deliver it later: 10s, 30m, 2h, 40d', duration)
    .option('--at <time>', 'deliver it then: ISO 8601 or milliseconds since 1970', (text: string) => moment(text))
    .option('--property <name=value>', 'a property; may be repeated', property)
    .option('--count <n>', 'send the message n times, or at most n lines', whole(1))
    .option('--partition <n>', 'number of the partition (default: by key, else any one)', whole(0, 65_535))
    .option('--null-delimited', 'messages on standard input end with a zero byte')
    .addOption(
      new Option(
        '--ack <level>',
        'what an acknowledgement means (default: durable, on volatile topics accepted)',
      ).choices(['none', 'accepted', 'written', 'durable']),
    );
  return withClientOptions(command)
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (topic: string, options: PubOptions) => done(await pub(topic, options)));
}

/** One run: what was sent, and whether to go on. */
class Run {
  readonly topic: string;
  readonly extras: MessageExtras | undefined;
  readonly startedAt = performance.now();
  readonly producer: Sender;
  messages = 0;
  bytes = 0;
  interrupted = false;

  constructor(topic: string, extras: MessageExtras | undefined, producer: Sender) {
    this.topic = topic;
    this.extras = extras;
    this.producer = producer;
  }

  get figures(): Figures {
    return figures(this.messages, this.bytes, this.startedAt);
  }

  /** False: no room now. HOT */
  trySend(body: Uint8Array): boolean {
    if (!this.producer.trySend(body, this.extras)) return false;
    this.messages++;
    this.bytes += body.length;
    return true;
  }
}

async function pub(topic: string, options: PubOptions): Promise<number> {
  const later = laterOf(options);
  const connection = await connected(options);
  // What fails is heard of by flush().
  connection.onError(() => {});
  if (!options.json) {
    connection.onState(({ to, reason }) => {
      if (to === 'reconnecting') say(`ringmq: ${reason}; trying again ...`);
    });
  }
  try {
    const sender = later
      ? new LaterSender(connection, topic, later, options.json === true)
      : await producerFor(connection, topic, options);
    return await send(new Run(topic, extrasOf(options), sender), options);
  } finally {
    await connection.close();
    process.stdin.destroy();
  }
}

async function producerFor(connection: WsConnection, topic: string, options: PubOptions): Promise<Sender> {
  const partition =
    options.partition ?? (options.key === undefined ? await anyPartition(connection, topic) : undefined);
  const insist = { attemptsMax: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY };
  const chosen = partition === undefined ? {} : { partition };
  const ack = options.ack === undefined ? {} : { ack: options.ack };
  return connection.producer(topic, { ...insist, ...chosen, ...ack });
}

async function send(run: Run, options: PubOptions): Promise<number> {
  const interrupted = whenInterrupted().then(() => {
    run.interrupted = true;
    process.stdin.destroy();
    return 'interrupted' as const;
  });
  const stopProgress = progress(run, options);
  await run.producer.ready();
  const work = (options.message === undefined ? sendLines(run, options) : sendMessage(run, options)).then(() =>
    run.producer.flush(),
  );
  await Promise.race([work, interrupted]);
  stopProgress();
  if (options.json) process.stdout.write(`${JSON.stringify({ topic: run.topic, ...run.figures })}\n`);
  else if (run.interrupted) say(`ringmq: interrupted after ${summary(run.figures)}; not all may be acknowledged`);
  else say(`acknowledged ${summary(run.figures)}`);
  work.catch(() => {});
  return run.interrupted ? EXIT.interrupted : EXIT.ok;
}

async function sendMessage(run: Run, options: PubOptions): Promise<void> {
  const body = utf8(options.message ?? '');
  const count = options.count ?? 1;
  while (run.messages < count && !run.interrupted) if (!run.trySend(body)) await run.producer.ready();
}

async function sendLines(run: Run, options: PubOptions): Promise<void> {
  if (process.stdin.isTTY && !options.json) say('ringmq: every line is a message; Ctrl-D ends');
  const splitter = new LineSplitter(options.nullDelimited ? 0 : NEWLINE);
  const most = options.count ?? Number.POSITIVE_INFINITY;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    splitter.feed(chunk);
    for (let line = splitter.take(); line !== undefined; line = splitter.take()) {
      while (!run.trySend(line)) await run.producer.ready();
      if (run.messages >= most || run.interrupted) return;
    }
  }
  const last = splitter.end();
  if (last !== undefined) while (!run.trySend(last)) await run.producer.ready();
}

/** A partition that takes messages: one for the whole run, so that it stays in order. */
async function anyPartition(connection: WsConnection, topic: string): Promise<number | undefined> {
  // A producer makes the topic on its first use, where the broker allows it.
  const producer = connection.producer(topic);
  await producer.ready();
  await producer.close();
  const route = await connection.route(topic);
  const writable = route.partitions.filter((one) => (one.permission & PERMISSION_WRITE) !== 0);
  const available = writable.filter((one) => one.available);
  const choice = available.length > 0 ? available : writable;
  return choice[Math.floor(Math.random() * choice.length)]?.number;
}

function extrasOf({ key, tag, property, priority }: PubOptions): MessageExtras | undefined {
  if ([key, tag, property, priority].every((one) => one === undefined)) return undefined;
  return { key, tag, properties: property, priority };
}

function progress(run: Run, options: PubOptions): () => void {
  if (!process.stderr.isTTY || options.json) return () => {};
  const show = (): void => void process.stderr.write(`\r${grouped(run.messages)} messages sent `);
  const timer = setInterval(show, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    if (performance.now() - run.startedAt > PROGRESS_MS) process.stderr.write('\r\x1b[K');
  };
}
