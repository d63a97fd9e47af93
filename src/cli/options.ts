// Options that several commands share, and parsers that say what they wanted.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { connect } from '../client/node.ts';
import type { WsConnection } from '../client/ws-connection.ts';
import type { StartFrom } from '../wire/commands.ts';

export const DEFAULT_URL = 'ws://127.0.0.1:7400';

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

/** latest, earliest, offset:N or last:N. */
export function startFrom(text: string): StartFrom {
  if (text === 'latest' || text === 'earliest') return text;
  const [, kind, digits] = /^(offset|last):(\d{1,15})$/.exec(text) ?? [];
  if (kind === 'offset') return { offset: Number(digits) };
  if (kind === 'last') return { last: Number(digits) };
  throw new InvalidArgumentError('One of latest, earliest, offset:N, last:N is needed.');
}

/** name=value, repeated. */
export function property(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('name=value is needed.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Sizes as people write them: 4194304, 512k, 4m. */
export function byteCount(text: string): number {
  const [, digits, unit] = /^(\d{1,12})(k|m|)$/i.exec(text) ?? [];
  if (digits === undefined) throw new InvalidArgumentError('A number of bytes is needed, like 1048576, 512k or 4m.');
  const factor = { k: 1024, m: 1024 * 1024 }[unit.toLowerCase()] ?? 1;
  return Number(digits) * factor;
}
