// `ringmq topic`: what topics there are, and their making and ending.
import { Command, Option } from 'commander';
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import type { TopicRoute } from '../wire/commands.ts';
import { EXIT, EXIT_HELP } from './exit.ts';
import { grouped, size } from './figures.ts';
import { byteCount, type ClientOptions, connected, whole, withClientOptions } from './options.ts';

interface CreateOptions extends ClientOptions {
  readonly partitions?: number;
  readonly overflow?: OverflowPolicy;
  readonly ringBytes?: number;
  readonly ifNotExists?: boolean;
}

const EXAMPLES = `
Examples:
  ringmq topic list
  ringmq topic create orders --partitions 8 --overflow block --ring-bytes 16m
  ringmq topic describe orders
  ringmq topic delete orders
`;

type Use = (connection: WsConnection) => Promise<string>;

export function topicCommand(done: (code: number) => void): Command {
  const with1 = (options: ClientOptions, use: Use): Promise<void> => using(options, use).then(() => done(EXIT.ok));
  const list = withClientOptions(new Command('list').description('all topics, by name')).action(
    (options: ClientOptions) => with1(options, async (c) => listText(await c.topics(), options)),
  );
  const create = withClientOptions(
    new Command('create')
      .description('make a topic')
      .argument('<topic>')
      .option('--partitions <n>', 'number of partitions (default: 4)', whole(1, 4_096))
      .addOption(
        new Option('--overflow <policy>', 'when a ring is full: publishers wait, the oldest go, or refuse')
          .choices(['block', 'drop-oldest', 'reject'])
          .default('block'),
      )
      .option('--ring-bytes <size>', 'ring per partition, a power of two like 4m (default: 4m)', byteCount)
      .option('--if-not-exists', 'succeed if it is there already'),
  ).action((topic: string, options: CreateOptions) =>
    with1(options, async (c) => describeText(await c.createTopic(topic, topicOptions(options)), options)),
  );
  const remove = withClientOptions(new Command('delete').description('end a topic').argument('<topic>')).action(
    (topic: string, options: ClientOptions) =>
      with1(options, async (c) => {
        await c.deleteTopic(topic);
        return options.json ? line({ topic, deleted: true }) : `deleted ${topic}\n`;
      }),
  );
  const describe = withClientOptions(
    new Command('describe').description('partitions, limits and offsets of a topic').argument('<topic>'),
  ).action((topic: string, options: ClientOptions) =>
    with1(options, async (c) => describeText(await c.route(topic), options)),
  );
  const command = new Command('topic').description('list, create, describe and delete topics');
  for (const one of [list, create, describe, remove]) command.addCommand(one.addHelpText('after', EXIT_HELP));
  return command.addHelpText('after', EXAMPLES);
}

async function using(options: ClientOptions, use: Use): Promise<void> {
  const connection = await connected(options);
  try {
    process.stdout.write(await use(connection));
  } finally {
    await connection.close();
  }
}

function topicOptions({ partitions, overflow, ringBytes, ifNotExists }: CreateOptions): object {
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(overflow === undefined ? {} : { overflow }),
    ...(ringBytes === undefined ? {} : { ringBytes }),
    ifNotExists: ifNotExists ?? false,
  };
}

function listText(topics: readonly TopicRoute[], options: ClientOptions): string {
  if (options.json) return topics.map((one) => line(one)).join('');
  if (topics.length === 0) return 'no topics yet\n';
  const rows = topics.map((one) => [one.topic, String(one.partitions.length), one.overflow, grouped(messagesOf(one))]);
  return table([['TOPIC', 'PARTITIONS', 'OVERFLOW', 'MESSAGES'], ...rows]);
}

function describeText(route: TopicRoute, options: ClientOptions): string {
  if (options.json) return line(route);
  const head = [
    `topic       ${route.topic}`,
    `overflow    ${route.overflow}`,
    `ring        ${size(route.ringBytes)} per partition, messages up to ${size(route.messageMaxBytes)}`,
    `messages    ${grouped(messagesOf(route))} so far`,
  ];
  const rows = route.partitions.map((one) => [
    String(one.number),
    grouped(one.nextOffset),
    permissionText(one.permission),
    one.available ? `worker at seat ${one.owner}` : 'not available',
  ]);
  return `${head.join('\n')}\n\n${table([['PARTITION', 'NEXT OFFSET', 'MAY', 'OWNER'], ...rows])}`;
}

function messagesOf(route: TopicRoute): number {
  return route.partitions.reduce((sum, one) => sum + one.nextOffset, 0);
}

function permissionText(permission: number): string {
  return `${permission & 4 ? 'r' : '-'}${permission & 2 ? 'w' : '-'}`;
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i]))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
