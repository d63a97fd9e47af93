// Options that several commands share, and parsers that say what they wanted.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { connect } from '../client/node.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import type { StartFrom } from '../wire/commands.ts';
import { moment } from './times.ts';

export const DEFAULT_URL = 'ws://127.0.0.1:7400';
/** Where `ringmq serve` keeps its data, and where `ringmq log` looks for it. */
export const DEFAULT_DATA = './data';

export interface ClientOptions {
  readonly url: string;
  readonly json?: boolean;
}

/** --url and --json. */
export function withClientOptions(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'address of the broker').env('RINGMQ_URL').default(DEFAULT_URL))
    .option('--json', 'print JSON lines, for scripts');
}

/** A connection that stands. Rejects with what to do if there is no broker. */
export async function connected(options: ClientOptions): Promise<WsConnection> {
  const connection = connect(options.url, { name: 'ringmq-cli' });
  try {
    await connection.ready();
  } catch (error) {
    await connection.close();
    throw error;
  }
  return connection;
}

/** A parser of whole numbers in a range. */
export function whole(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`A whole number from ${least} to ${most} is needed.`);
  };
}

/** latest, earliest, offset:N, last:N or time:WHEN. */
export function startFrom(text: string): StartFrom {
  if (text === 'latest' || text === 'earliest') return text;
  if (text.startsWith('time:')) return { time: moment(text.slice('time:'.length)) };
  const [, kind, digits] = /^(offset|last):(\d{1,15})$/.exec(text) ?? [];
  if (kind === 'offset') return { offset: Number(digits) };
  if (kind === 'last') return { last: Number(digits) };
  throw new InvalidArgumentError('One of latest, earliest, offset:N, last:N, time:WHEN is needed.');
}

/** name=value, repeated. */
export function property(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('name=value is needed.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
