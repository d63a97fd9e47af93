// `ringmq trace`: the steps of one message that clients with message trace have told.
import { Command } from 'commander';
import { RingmqError } from '../base/codes.ts';
import type { Message } from '../client/message.ts';
import type { TraceRecord } from '../client/messaging.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import { parseMessageId } from '../record/message-id.ts';
import type { TopicRoute } from '../wire/commands.ts';
import { TRACE_TOPIC } from '../wire/services.ts';
import { EXIT, EXIT_HELP, say } from './exit.ts';
import { type ClientOptions, connected, withClientOptions } from './options.ts';
import { durationText, momentText } from './times.ts';
import { line, table } from './topic-text.ts';

const EXAMPLES = `
Examples:
  ringmq trace 0000000700020000000004B0    who stored, delivered and acknowledged the message with this id, and when

Receipts and ringmq query name ids. Only clients that were told to trace say something, and only of their sample:
connect(url, { trace: { sample: 0.01 } }). The records are messages of the topic ${TRACE_TOPIC}: JSON, keyed by id.
`;

const MATCHES_MAX = 1_000;
const PULL_MAX = 1_024;

export function traceCommand(done: (code: number) => void): Command {
  const command = new Command('trace')
    .description('the steps of a message: stored, delivered, acknowledged ...')
    .argument('<id>', 'of the message: 24 hexadecimal digits');
  return withClientOptions(command)
    .addHelpText('after', EXAMPLES + EXIT_HELP)
    .action(async (id: string, options: ClientOptions) => done(await trace(id, options)));
}

async function trace(id: string, options: ClientOptions): Promise<number> {
  if (!parseMessageId(id)) {
    throw new RingmqError('illegal-argument', `message id '${id}': 24 hex digits, as in receipts and messages`);
  }
  const connection = await connected(options);
  try {
    const records = (await found(connection, id.toUpperCase())).sort((a, b) => a.at - b.at);
    if (options.json) process.stdout.write(records.map((one) => line(one)).join(''));
    else if (records.length > 0) process.stdout.write(traceText(records));
    if (records.length === 0) say(`nothing was traced of message ${id} (see ringmq trace --help)`);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}

async function found(connection: WsConnection, id: string): Promise<TraceRecord[]> {
  const route = (await connection.topics()).find((one) => one.topic === TRACE_TOPIC);
  if (route === undefined) return [];
  const messages = route.durable ? await byKey(connection, id) : await byReading(connection, route, id);
  return messages.map((one) => one.json() as TraceRecord);
}

async function byKey(connection: WsConnection, id: string): Promise<Message[]> {
  const messages: Message[] = [];
  for (const { partition, offset } of await connection.query({ topic: TRACE_TOPIC, key: id, limit: MATCHES_MAX })) {
    const at = { topic: TRACE_TOPIC, partition, from: { offset }, max: 1, waitMs: 0 };
    const [message] = (await connection.pull(at)).messages;
    if (message?.offset === offset) messages.push(message);
  }
  return messages;
}

/** A volatile topic has no index: it is as large as its rings. */
async function byReading(connection: WsConnection, route: TopicRoute, id: string): Promise<Message[]> {
  const all: Message[] = [];
  for (const { number: partition, nextOffset } of route.partitions) {
    let from: 'earliest' | { readonly offset: number } = 'earliest';
    for (;;) {
      const pulled = await connection.pull({ topic: TRACE_TOPIC, partition, from, max: PULL_MAX, waitMs: 0 });
      all.push(...pulled.messages.filter((one) => one.key === id));
      if (pulled.messages.length === 0 || pulled.nextOffset >= nextOffset) break;
      from = { offset: pulled.nextOffset };
    }
  }
  return all;
}

export function traceText(records: readonly TraceRecord[]): string {
  const [{ messageId, topic }] = records;
  const rows = records.map((one) => [
    momentText(one.at),
    one.step,
    one.group ?? '-',
    one.member ?? '-',
    one.attempt === undefined ? '-' : String(one.attempt),
    one.tookMs === undefined ? '-' : durationText(Math.round(one.tookMs)),
  ]);
  const titles = ['AT', 'STEP', 'GROUP', 'MEMBER', 'ATTEMPT', 'TOOK'];
  return `${messageId} of ${topic}\n${table([titles, ...rows])}`;
}
