// `ringmq topic`: what topics there are, and their making and ending.
import { Command, Option } from 'commander';
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import type { TopicOptions } from '../client/connection.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import { EXIT, EXIT_HELP } from './exit.ts';
import { type ClientOptions, whole, withClientOptions } from './options.ts';
import { byteCount, duration } from './times.ts';
import { describeText, line, listText, retentionLine } from './topic-text.ts';
import { using } from './using.ts';

interface CreateOptions extends ClientOptions {
  readonly partitions?: number;
  readonly overflow?: OverflowPolicy;
  readonly ringBytes?: number;
  readonly ifNotExists?: boolean;
  readonly durable?: boolean;
  readonly volatile?: boolean;
  readonly retentionAge?: number;
  readonly retentionBytes?: number;
}

interface RetentionOptions extends ClientOptions {
  readonly age?: number;
  readonly bytes?: number;
}

const EXAMPLES = `
Examples:
  ringmq topic list
  ringmq topic create orders --partitions 8 --overflow block --ring-bytes 16m
  ringmq topic create ticks --volatile                  in memory only, also where the broker keeps its data
  ringmq topic create audit --retention-age 30d
  ringmq topic describe orders
  ringmq topic retention audit --age 90d --bytes 10g
  ringmq topic delete orders
`;

type Use = (connection: WsConnection) => Promise<string>;
type WithOne = (options: ClientOptions, use: Use) => Promise<void>;

export function topicCommand(done: (code: number) => void): Command {
  const with1: WithOne = (options, use) => using(options, use).then(() => done(EXIT.ok));
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
      .option('--durable', 'keep its messages in the log (default: as the broker does)')
      .addOption(new Option('--volatile', 'keep its messages in memory only').conflicts('durable'))
      .option(
        '--retention-age <time>',
        'how long messages are kept, like 72h or 30d (default: as the broker does)',
        duration,
      )
      .option('--retention-bytes <size>', 'how much of it is kept, like 10g (default: as the broker does)', byteCount)
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
  const command = new Command('topic').description('list, create, describe and delete topics; how long they are kept');
  for (const one of [list, create, describe, retentionCommand(with1), remove])
    command.addCommand(one.addHelpText('after', EXIT_HELP));
  return command.addHelpText('after', EXAMPLES);
}

function retentionCommand(with1: WithOne): Command {
  const command = new Command('retention')
    .description('how long the messages of a topic are kept; with options: sets it')
    .argument('<topic>')
    .option('--age <time>', 'like 72h or 30d; 0s: as the broker does', duration)
    .option('--bytes <size>', 'like 10g; 0: as the broker does', byteCount);
  return withClientOptions(command).action((topic: string, options: RetentionOptions) =>
    with1(options, async (connection) => {
      const route = await connection.route(topic);
      const { age, bytes } = options;
      if (age === undefined && bytes === undefined) return retentionLine(route, options);
      // What is not named stays as it is.
      await connection.setRetention(topic, {
        retentionMs: age ?? route.retentionMs,
        retentionBytes: bytes ?? route.retentionBytes,
      });
      return retentionLine(await connection.route(topic), options);
    }),
  );
}

function topicOptions(options: CreateOptions): TopicOptions {
  const { partitions, overflow, ringBytes, ifNotExists, durable, volatile, retentionAge, retentionBytes } = options;
  const kept = volatile ? false : durable;
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(overflow === undefined ? {} : { overflow }),
    ...(ringBytes === undefined ? {} : { ringBytes }),
    ...(kept === undefined ? {} : { durable: kept }),
    ...(retentionAge === undefined ? {} : { retentionMs: retentionAge }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
    ifNotExists: ifNotExists ?? false,
  };
}
