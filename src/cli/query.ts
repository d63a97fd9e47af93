// `ringmq query`: finds messages of a topic that the broker keeps, and says who stored what when.
import { Command } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { Message } from '../client/message.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import type { QueryMatch } from '../wire/commands.ts';
import { EXIT, EXIT_HELP, say } from './exit.ts';
import { jsonLine } from './json-line.ts';
import { type ClientOptions, connected, whole, withClientOptions } from './options.ts';
import { moment, momentText } from './times.ts';

interface QueryOptions extends ClientOptions {
  readonly key?: string;
  readonly id?: string;
  readonly offset?: number;
  readonly partition?: number;
  readonly from?: number;
  readonly to?: number;
  readonly limit: number;
}

const LIMIT = 64;
const EXAMPLES = `
Examples:
  ringmq query orders --key customer-7                        by key, oldest first
  ringmq query orders --key customer-7 --from -1h             ... stored within the last hour
  ringmq query orders --from 2026-11-23T04:00:00Z --to -5m    by the time they were stored
  ringmq query orders --partition 2 --offset 1200 --limit 5   five from an offset on
  ringmq query orders --id 000000070002000000004B0            one, by the id that its receipt or another query named

A time is ISO 8601, milliseconds since 1970, or an age like -5m, -1h, -2d. For each message: when the broker stored it,
topic/partition@offset, its id, when and by which producer it was sent, its key and tag, and below it the body.
`;

type Chosen = 'id' | 'offset' | 'search';

export function queryCommand(done: (code: number) => void): Command {
  const command = new Command('query')
    .description('find messages by key, time, offset or id')
    .argument('<topic>')
    .option('--key <key>', 'messages with this key')
    .option('--id <id>', 'the message with this id (24 hexadecimal digits)')
    .option('--partition <n>', 'number of the partition', whole(0, 65_535))
    .option('--offset <n>', 'messages from this offset on; needs --partition', whole(0))
    .option('--from <time>', 'stored then or later', (text: string) => moment(text))
    .option('--to <time>', 'stored before then', (text: string) => moment(text))
    .option('--limit <n>', 'most messages', whole(1, 1_000), LIMIT);
  return withClientOptions(command)
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (topic: string, options: QueryOptions) => done(await query(topic, options)));
}

/** Which of the ways to find messages was asked for. Throws `illegal-argument` for a mixture. */
export function chosenWay(options: Omit<QueryOptions, 'url'>): Chosen {
  const { id, offset, partition, key, from, to } = options;
  const searches = key !== undefined || from !== undefined || to !== undefined;
  if (id !== undefined) {
    if (searches || offset !== undefined || partition !== undefined) refuse('--id names one message: give it alone');
    return 'id';
  }
  if (offset !== undefined) {
    if (partition === undefined) refuse('--offset counts within a partition: add --partition N');
    if (searches) refuse('--offset does not go with --key, --from or --to');
    return 'offset';
  }
  if (!searches) refuse('say what to find: --key K, --from TIME, --to TIME, --partition N --offset N, or --id ID');
  if (from !== undefined && to !== undefined && from >= to) refuse('--from must be before --to');
  return 'search';
}

async function query(topic: string, options: QueryOptions): Promise<number> {
  const way = chosenWay(options);
  const connection = await connected(options);
  try {
    if (way === 'id') {
      const message = await connection.message(options.id ?? '');
      if (message.topic !== topic) {
        throw new RingmqError('illegal-argument', `message ${options.id} is in topic ${message.topic}, not ${topic}`);
      }
      print(message, options);
    } else if (way === 'offset') await printFrom(connection, topic, options);
    else await printMatches(connection, topic, options);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}

async function printFrom(connection: WsConnection, topic: string, options: QueryOptions): Promise<void> {
  const { partition = 0, limit } = options;
  let { offset = 0 } = options;
  let left = limit;
  while (left > 0) {
    const found = await connection.pull({ topic, partition, from: { offset }, max: left, waitMs: 0 });
    if (found.gap && found.messages.length > 0) {
      say(`ringmq: offsets ${offset} to ${found.messages[0].offset - 1} of ${topic}/${partition} are gone`);
    }
    for (const message of found.messages) print(message, options);
    if (found.messages.length === 0) break;
    left -= found.messages.length;
    offset = found.nextOffset;
  }
  if (left === limit) say(`no message at offset ${offset} of ${topic}/${partition} or later`);
}

async function printMatches(connection: WsConnection, topic: string, options: QueryOptions): Promise<void> {
  const { key, from, to, limit, partition } = options;
  const matches = await connection.query({
    topic,
    limit,
    ...(key === undefined ? {} : { key }),
    ...(from === undefined ? {} : { fromTime: from }),
    ...(to === undefined ? {} : { toTime: to }),
  });
  const wanted = partition === undefined ? matches : matches.filter((one) => one.partition === partition);
  for (const match of wanted) {
    const message = await fetchMatch(connection, topic, match);
    if (message) print(message, options);
    else say(`ringmq: ${topic}/${match.partition}@${match.offset} was found, but is gone by now`);
  }
  if (wanted.length === 0) say('no such messages');
  else if (matches.length === limit) say(`${limit} messages (--limit): there may be more`);
}

async function fetchMatch(connection: WsConnection, topic: string, match: QueryMatch): Promise<Message | undefined> {
  const { partition, offset } = match;
  const { messages } = await connection.pull({ topic, partition, from: { offset }, max: 1, waitMs: 0 });
  return messages[0]?.offset === offset ? messages[0] : undefined;
}

function print(message: Message, options: QueryOptions): void {
  if (options.json) {
    process.stdout.write(jsonLine(message));
    process.stdout.write('\n');
    return;
  }
  process.stdout.write(`${headLine(message)}\n`);
  process.stdout.write(message.body);
  process.stdout.write('\n');
}

function headLine(message: Message): string {
  const { topic, partition, offset, storedAt, bornAt, key, tag, properties } = message;
  const parts = [momentText(storedAt), `${topic}/${partition}@${offset}`, `id ${message.id}`];
  parts.push(`sent ${momentText(bornAt)} by producer ${message.producerId}`);
  if (key !== undefined) parts.push(`key ${key}`);
  if (tag !== undefined) parts.push(`tag ${tag}`);
  for (const [name, value] of Object.entries(properties ?? {})) parts.push(`${name}=${value}`);
  return parts.join('  ');
}

function refuse(text: string): never {
  throw new RingmqError('illegal-argument', text);
}
