// `ringmq sub`: prints the messages of a topic.
import { Command, Option } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { ConsumerOptions, Gap } from '../client/connection.ts';
import type { Batch, Message } from '../client/message.ts';
import type { GroupOrder } from '../client/messaging.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import type { PartitionPosition, StartFrom } from '../wire/commands.ts';
import { EXIT, EXIT_HELP, say, whenInterrupted } from './exit.ts';
import { figures, summary } from './figures.ts';
import { jsonLine } from './json-line.ts';
import { type ClientOptions, connected, startFrom, whole, withClientOptions } from './options.ts';
import { OutputBuffer } from './output.ts';

interface SubOptions extends ClientOptions {
  readonly from: StartFrom;
  readonly count?: number;
  readonly partition?: number;
  readonly format: 'raw' | 'json';
  readonly newline: boolean;
  readonly group?: string;
  readonly broadcast?: boolean;
  readonly order?: GroupOrder;
  readonly filter?: string;
  readonly sql?: string;
}

const EXAMPLES = `
Examples:
  ringmq sub demo                                  what comes from now on
  ringmq sub demo --from earliest --count 10       the ten oldest
  ringmq sub demo --from last:100 --json           a JSON line for each, with offset, key, tag and properties
  ringmq sub orders --from time:-5m                what was stored in the last five minutes, and what comes
  ringmq sub orders --group billing                one of the group: each message is printed by one of them
  ringmq sub orders --filter 'created || paid'     only messages with one of these tags
  ringmq sub orders --sql "price > 10 AND region IN ('eu', 'us')"      ... by properties, TAGS and KEYS
  ringmq sub lines --count 500000 > copy           the file that was sent with: cat file | ringmq pub lines

Each body is written as it is, followed by a newline; so a file whose last line had none gets one (--no-newline leaves
out all of them). Ctrl-C ends with a summary. If messages were lost to this subscriber, that is said on standard error
and the exit code is 3.

A time is ISO 8601 (time:2026-11-23T04:00:00Z), milliseconds since 1970, or an age like -5m, -1h, -2d.

With --group the broker keeps where the group is, and --from (latest, earliest or time:WHEN) is for its first time only.
Its members share the partitions of the topic; a message is acknowledged when it was printed, and what a member has not
acknowledged when it goes away another one gets. See ringmq group. With --broadcast every member gets every message from
where the group is when it starts.
`;

const NEWLINE = 10;
const NONE = -1;
const PARTITIONS_SHOWN = 8;

export function subCommand(done: (code: number) => void): Command {
  const command = new Command('sub')
    .description('print messages')
    .argument('<topic>')
    .addOption(
      new Option('--from <start>', 'latest, earliest, offset:N, last:N or time:WHEN')
        .argParser(startFrom)
        .default('latest'),
    )
    .option('--group <name>', 'share the topic with the others of this group, and go on where it was')
    .option('--broadcast', 'every member of the group gets every message')
    .addOption(new Option('--order <order>', 'what waits for what in a group').choices(['none', 'key', 'partition']))
    .option('--filter <tags>', "only messages with these tags: 'A || B'")
    .addOption(new Option('--sql <expression>', 'only messages for which this holds (SQL92)').conflicts('filter'))
    .option('--count <n>', 'end after n messages', whole(1))
    .option('--partition <n>', 'number of the partition (default: all)', whole(0, 65_535))
    .addOption(new Option('--format <name>', 'raw bodies, or JSON lines').choices(['raw', 'json']).default('raw'))
    .option('--no-newline', 'write bodies without a newline behind each');
  return withClientOptions(command)
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (topic: string, options: SubOptions) => done(await sub(topic, options)));
}

/** Writes batches to standard output until enough have come. */
class Printer {
  readonly output = new OutputBuffer(process.stdout);
  readonly enough: Promise<void>;
  messages = 0;
  bytes = 0;
  firstAt = 0;
  private readonly most: number;
  private readonly asJson: boolean;
  private readonly last: number;
  private finish: () => void = () => {};

  constructor(options: SubOptions) {
    this.most = options.count ?? Number.POSITIVE_INFINITY;
    this.asJson = options.json === true || options.format === 'json';
    this.last = options.newline || this.asJson ? NEWLINE : NONE;
    this.enough = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  /** HOT */
  readonly take = (batch: Batch): void => {
    if (this.firstAt === 0) this.firstAt = performance.now();
    const { output, last } = this;
    while (this.messages < this.most && batch.next()) {
      const length = batch.bodyLength;
      this.messages++;
      this.bytes += length;
      if (this.asJson) {
        const line = jsonLine(batch);
        output.put(line, 0, line.length, last);
      } else {
        const at = batch.bodyAt;
        output.put(batch.bytes, at, at + length, last);
      }
    }
    if (this.messages >= this.most) this.finish();
  };

  /** One by one: what is not printed does not count as read by the group. */
  readonly takeOne = (message: Message): void => {
    if (this.firstAt === 0) this.firstAt = performance.now();
    const bytes = this.asJson ? jsonLine(message) : message.body;
    this.output.put(bytes, 0, bytes.length, this.last);
    this.messages++;
    this.bytes += message.body.length;
    if (this.hasEnough) this.finish();
  };

  get hasEnough(): boolean {
    return this.messages >= this.most;
  }
}

async function sub(topic: string, options: SubOptions): Promise<number> {
  checkOptions(options);
  const connection = await connected(options);
  try {
    return await print(connection, topic, options);
  } finally {
    await connection.close();
  }
}

async function print(connection: WsConnection, topic: string, options: SubOptions): Promise<number> {
  const printer = new Printer(options);
  let gaps = 0;
  connection.onState(({ to, reason }) => {
    if (to === 'reconnecting') say(`ringmq: ${reason}; trying again ...`);
  });
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  connection.onState(({ to, code, reason }) => {
    if (to === 'closed') fail(new RingmqError(code, reason));
  });
  const takeOne = (message: Message): void => {
    printer.takeOne(message);
    if (printer.hasEnough) consumer.pause();
  };
  const consumer = connection.consumer(topic, {
    from: options.from,
    ...(options.group === undefined ? { onBatch: printer.take } : { onMessage: takeOne, ...membership(options) }),
    ...filterOf(options),
    onGap: (gap) => {
      gaps++;
      say(gapText(gap));
    },
    // The topic was deleted, or reading it was forbidden.
    onError: (error) => (consumer.closed ? fail(error) : say(`ringmq: ${error.message}`)),
    ...(options.partition === undefined ? {} : { partitions: [options.partition] }),
  } satisfies ConsumerOptions);
  printer.output.onFull = () => consumer.pause();
  printer.output.onRoom = () => (printer.hasEnough ? undefined : consumer.resume());
  const interrupted = whenInterrupted();
  try {
    const starts = await Promise.race([consumer.ready(), failed, interrupted.then(() => [])]);
    say(subscribedText(topic, starts));
    await Promise.race([printer.enough, interrupted, failed]);
  } finally {
    // What was not taken by whoever reads our output was not printed, and is not acknowledged.
    consumer.pause();
    await printer.output.finish();
    await consumer.close();
  }
  if (options.json !== true)
    say(`received ${summary(figures(printer.messages, printer.bytes, printer.firstAt || performance.now()))}`);
  return gaps > 0 ? EXIT.gap : EXIT.ok;
}

function checkOptions({ group, broadcast, order }: SubOptions): void {
  if (group !== undefined) return;
  if (broadcast) throw new RingmqError('illegal-argument', '--broadcast is about members of a group: add --group NAME');
  if (order) throw new RingmqError('illegal-argument', '--order is about members of a group: add --group NAME');
}

function membership({ group = '', broadcast, order }: SubOptions): Pick<ConsumerOptions, 'group' | 'mode' | 'order'> {
  return { group, ...(broadcast ? { mode: 'broadcasting' } : {}), ...(order === undefined ? {} : { order }) };
}

function filterOf({ filter, sql }: SubOptions): Pick<ConsumerOptions, 'filter'> {
  if (sql !== undefined) return { filter: { sql } };
  return filter === undefined ? {} : { filter };
}

function subscribedText(topic: string, starts: readonly PartitionPosition[]): string {
  const where = starts.map((one) => `${one.partition}@${one.offset}`);
  const shown = where.length <= PARTITIONS_SHOWN ? where.join(' ') : `${where.length} partitions`;
  return `subscribed to ${topic}, partition@offset: ${shown}`;
}

function gapText({ topic, partition, from, to, reason }: Gap): string {
  const what = to > from ? `offsets ${from} to ${to - 1} are gone` : `messages before offset ${to} may be gone`;
  return `ringmq: gap in ${topic}/${partition}: ${what} (${reason})`;
}
