// `ringmq dlq`: the dead letters of groups, and their way back.
import { Command } from 'commander';
import type { Message } from '../client/message.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import { dlqTopic, PROPERTY } from '../wire/services.ts';
import { EXIT, EXIT_HELP, say } from './exit.ts';
import { grouped } from './figures.ts';
import { jsonLine } from './json-line.ts';
import { type ClientOptions, connected, whole, withClientOptions } from './options.ts';
import { momentText } from './times.ts';
import { line, table } from './topic-text.ts';
import { using } from './using.ts';

interface CountOptions extends ClientOptions {
  readonly count?: number;
}

const EXAMPLES = `
Examples:
  ringmq dlq list                      which groups have dead letters, and how many
  ringmq dlq show billing              what they are, oldest first, and why they are there
  ringmq dlq show billing --count 5 --json
  ringmq dlq replay billing            all of them go to the topics that they came from, as new messages
  ringmq dlq replay billing --count 1  try with one first

A message that was delivered to a group as often as the group allows (ringmq group settings) without success becomes a
dead letter: it is kept in the topic %DLQ%group, with its key, tag, properties and body, and with properties that say
where it was first (REAL_TOPIC, REAL_QID, REAL_OFFSET), how often it failed (RECONSUME_TIME) and why (DLQ_REASON).
What was replayed is no dead letter any more.
`;

const SHOWN = 32;
const PULL_MAX = 256;

export function dlqCommand(done: (code: number) => void): Command {
  const list = withClientOptions(new Command('list').description('groups that have dead letters')).action(
    (options: ClientOptions) => using(options, (c) => list1(c, options)).then(() => done(EXIT.ok)),
  );
  const show = withClientOptions(
    new Command('show')
      .description('the dead letters of a group, oldest first')
      .argument('<group>')
      .option('--count <n>', 'at most n', whole(1), SHOWN),
  ).action(async (group: string, options: CountOptions) => done(await showAll(group, options)));
  const replay = withClientOptions(
    new Command('replay')
      .description('send dead letters to the topics that they came from, oldest first')
      .argument('<group>')
      .option('--count <n>', 'at most n (default: all)', whole(1)),
  ).action((group: string, options: CountOptions) =>
    using(options, async (c) => {
      const { replayed, left } = await c.replayDeadLetters(group, options.count);
      if (options.json) return line({ group, replayed, left });
      return `replayed ${grouped(replayed)} dead letters of ${group}, ${grouped(left)} are left\n`;
    }).then(() => done(EXIT.ok)),
  );
  const command = new Command('dlq').description('list, show and replay the dead letters of groups');
  for (const one of [list, show, replay]) command.addCommand(one.addHelpText('after', EXIT_HELP));
  return command.addHelpText('after', EXAMPLES);
}

async function list1(connection: WsConnection, options: ClientOptions): Promise<string> {
  const rows: { readonly group: string; readonly deadLetters: number }[] = [];
  for (const { group } of await connection.groups()) {
    const { deadLetters } = await connection.describeGroup(group);
    if (deadLetters > 0) rows.push({ group, deadLetters });
  }
  if (options.json) return rows.map((one) => line(one)).join('');
  if (rows.length === 0) return 'no group has dead letters\n';
  return table([['GROUP', 'DEAD LETTERS'], ...rows.map((one) => [one.group, grouped(one.deadLetters)])]);
}

async function showAll(group: string, options: CountOptions): Promise<number> {
  const connection = await connected(options);
  try {
    const { deadLetters } = await connection.describeGroup(group);
    if (deadLetters === 0) {
      say(`group ${group} has no dead letters`);
      return EXIT.ok;
    }
    const topic = dlqTopic(group);
    const [queue] = (await connection.route(topic)).partitions;
    // The oldest ones of the topic were replayed already; those that are left lie at its end.
    let offset = queue.nextOffset - deadLetters;
    let left = Math.min(deadLetters, options.count ?? SHOWN);
    while (left > 0) {
      const found = await connection.pull({ topic, from: { offset }, max: Math.min(left, PULL_MAX), waitMs: 0 });
      for (const message of found.messages) print(message, options);
      if (found.messages.length === 0) break;
      left -= found.messages.length;
      offset = found.nextOffset;
    }
    const more = deadLetters - (options.count ?? SHOWN);
    if (more > 0) say(`${grouped(more)} more: --count shows more`);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}

function print(message: Message, options: ClientOptions): void {
  if (options.json) process.stdout.write(jsonLine(message));
  else {
    process.stdout.write(`${headLine(message)}\n`);
    process.stdout.write(message.body);
  }
  process.stdout.write('\n');
}

function headLine({ offset, storedAt, key, tag, properties = {} }: Message): string {
  const { [PROPERTY.realTopic]: topic, [PROPERTY.realQueue]: partition, [PROPERTY.realOffset]: at } = properties;
  const { [PROPERTY.deadReason]: reason, [PROPERTY.reconsumeTimes]: times } = properties;
  const parts = [`#${offset}  dead since ${momentText(storedAt)}`, `from ${topic}/${partition}@${at}`];
  if (key !== undefined) parts.push(`key ${key}`);
  if (tag !== undefined) parts.push(`tag ${tag}`);
  if (times !== undefined) parts.push(`failed ${times} times`);
  if (reason !== undefined) parts.push(`because: ${reason}`);
  return parts.join('  ');
}
