// `ringmq group`: who shares which topics, how far they are, and moving or ending them.
import { Command, InvalidArgumentError } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { GroupSettings, ResetTo } from '../client/messaging.ts';
import { EXIT, EXIT_HELP } from './exit.ts';
import { groupListText, groupText, settingsText } from './group-text.ts';
import { type ClientOptions, whole, withClientOptions } from './options.ts';
import { duration, moment } from './times.ts';
import { line } from './topic-text.ts';
import { using } from './using.ts';

interface SettingsOptions extends ClientOptions {
  readonly retryDelays?: readonly number[];
  readonly attempts?: number;
}

interface ResetOptions extends ClientOptions {
  readonly topic: string;
  readonly to: ResetTo;
  readonly partition?: number;
}

const EXAMPLES = `
Examples:
  ringmq group list                                     who is there, and how much lies before them (lag)
  ringmq group describe billing                         members, partitions, settings, dead letters
  ringmq group settings billing --retry-delays 1s,10s,1m --attempts 5
  ringmq group reset billing --topic orders --to earliest
  ringmq group reset billing --topic orders --to time:-2h --partition 0
  ringmq group delete billing

A group is made by its first consumer (ringmq sub orders --group billing). Its members share the partitions of a topic;
a message that a member fails to handle comes again after the retry delays, and goes to the dead letters of the group
after the last attempt (ringmq dlq --help). To reset or delete a group, stop its consumers first.
`;

/** How often a list of retry delays may be longer than RocketMQ's. */
const DELAYS_MAX = 64;

export function groupCommand(done: (code: number) => void): Command {
  const run = (options: ClientOptions, use: Parameters<typeof using>[1]): Promise<void> =>
    using(options, use).then(() => done(EXIT.ok));
  const list = withClientOptions(new Command('list').description('all groups, by name')).action(
    (options: ClientOptions) => run(options, async (c) => groupListText(await c.groups(), options)),
  );
  const describe = withClientOptions(
    new Command('describe').description('members, progress, settings and dead letters of a group').argument('<group>'),
  ).action((group: string, options: ClientOptions) =>
    run(options, async (c) => groupText(await c.describeGroup(group), options)),
  );
  const remove = withClientOptions(
    new Command('delete')
      .description('forget a group: where it is, its settings, what waits for a retry')
      .argument('<group>'),
  ).action((group: string, options: ClientOptions) =>
    run(options, async (c) => {
      await c.deleteGroup(group);
      return options.json ? line({ group, deleted: true }) : `deleted ${group}\n`;
    }),
  );
  const command = new Command('group').description('list, describe, set, reset and delete groups of consumers');
  for (const one of [list, describe, settingsCommand(run), resetCommand(run), remove])
    command.addCommand(one.addHelpText('after', EXIT_HELP));
  return command.addHelpText('after', EXAMPLES);
}

type Run = (options: ClientOptions, use: Parameters<typeof using>[1]) => Promise<void>;

function settingsCommand(run: Run): Command {
  const command = new Command('settings')
    .description('what a group does with messages that fail; with options: sets it')
    .argument('<group>')
    .option('--retry-delays <times>', 'before attempt 2, 3, ...: 1s,10s,1m; the last one counts for all later', delays)
    .option('--attempts <n>', 'deliveries before a message goes to the dead letters', whole(1, 65_535));
  return withClientOptions(command).action((group: string, options: SettingsOptions) =>
    run(options, async (connection) => {
      const { retryDelays, attempts } = options;
      const settings: Partial<GroupSettings> = {
        ...(retryDelays === undefined ? {} : { retryDelaysMs: retryDelays }),
        ...(attempts === undefined ? {} : { attemptsMax: attempts }),
      };
      const isQuestion = retryDelays === undefined && attempts === undefined;
      const answer = isQuestion
        ? (await connection.describeGroup(group)).settings
        : await connection.setGroup(group, settings);
      return options.json ? line({ group, ...answer }) : settingsText(group, answer);
    }),
  );
}

function resetCommand(run: Run): Command {
  const command = new Command('reset')
    .description('where a group goes on; only while it has no members')
    .argument('<group>')
    .requiredOption('--topic <topic>', 'the topic that it reads')
    .requiredOption('--to <place>', 'earliest, latest, offset:N or time:WHEN', resetTo)
    .option('--partition <n>', 'only this partition (default: all)', whole(0, 65_535));
  return withClientOptions(command).action((group: string, options: ResetOptions) =>
    run(options, async (connection) => {
      const { topic, to, partition } = options;
      if (typeof to === 'object' && 'offset' in to && partition === undefined) {
        throw new RingmqError('illegal-argument', '--to offset:N counts within a partition: add --partition N');
      }
      await connection.resetGroup(group, topic, to, partition);
      const { queues } = await connection.describeGroup(group);
      const moved = queues
        .filter((one) => one.topic === topic && (partition === undefined || one.partition === partition))
        .map((one) => ({ partition: one.partition, offset: one.offset }));
      if (options.json) return line({ group, topic, queues: moved });
      const where = moved.map((one) => `${one.partition}@${one.offset}`).join(' ');
      return `${group} goes on in ${topic} at partition@offset: ${where}\n`;
    }),
  );
}

/** 1s,10s,1m */
export function delays(text: string): readonly number[] {
  const parts = text.split(',').map((one) => one.trim());
  if (parts.length > DELAYS_MAX) throw new InvalidArgumentError(`At most ${DELAYS_MAX} retry delays, please.`);
  return parts.map((one) => duration(one));
}

/** earliest, latest, offset:N or time:WHEN. */
export function resetTo(text: string): ResetTo {
  if (text === 'earliest' || text === 'latest') return text;
  if (text.startsWith('time:')) return { time: moment(text.slice('time:'.length)) };
  const [, digits] = /^offset:(\d{1,15})$/.exec(text) ?? [];
  if (digits !== undefined) return { offset: Number(digits) };
  throw new InvalidArgumentError('One of earliest, latest, offset:N, time:WHEN is needed.');
}
