// What `ringmq topic` prints: tables for people, JSON lines for scripts.
import type { TopicRoute } from '../wire/commands.ts';
import { grouped, size } from './figures.ts';
import type { ClientOptions } from './options.ts';
import { durationText } from './times.ts';

export function listText(topics: readonly TopicRoute[], options: ClientOptions): string {
  if (options.json) return topics.map((one) => line(one)).join('');
  if (topics.length === 0) return 'no topics yet\n';
  const rows = topics.map((one) => [
    one.topic,
    String(one.partitions.length),
    kindOf(one),
    one.overflow,
    grouped(messagesOf(one)),
  ]);
  return table([['TOPIC', 'PARTITIONS', 'KEPT', 'OVERFLOW', 'MESSAGES'], ...rows]);
}

export function describeText(route: TopicRoute, options: ClientOptions): string {
  if (options.json) return line(route);
  const head = [
    `topic       ${route.topic}`,
    `kept        ${route.durable ? `in the log, ${retentionText(route)}` : 'in memory only (volatile)'}`,
    `overflow    ${route.overflow}`,
    `ring        ${size(route.ringBytes)} per partition, messages up to ${size(route.messageMaxBytes)}`,
    `messages    ${grouped(messagesOf(route))} so far`,
  ];
  const rows = route.partitions.map((one) => [
    String(one.number),
    ...(route.durable ? [grouped(one.oldestOffset)] : []),
    grouped(one.nextOffset),
    permissionText(one.permission),
    one.available ? `worker at seat ${one.owner}` : 'not available',
  ]);
  const titles = ['PARTITION', ...(route.durable ? ['OLDEST OFFSET'] : []), 'NEXT OFFSET', 'MAY', 'OWNER'];
  return `${head.join('\n')}\n\n${table([titles, ...rows])}`;
}

/** What `ringmq topic retention` answers. */
export function retentionLine(route: TopicRoute, options: ClientOptions): string {
  const { topic, durable, retentionMs, retentionBytes } = route;
  if (options.json) return line({ topic, durable, retentionMs, retentionBytes });
  return `${topic}: ${durable ? retentionText(route) : 'volatile, nothing is kept'}\n`;
}

function retentionText({ retentionMs, retentionBytes }: TopicRoute): string {
  const age = retentionMs === 0 ? 'as long as the broker keeps messages' : `for ${durationText(retentionMs)}`;
  const bytes = retentionBytes === 0 ? '' : `, up to ${size(retentionBytes)}`;
  return `${age}${bytes}`;
}

function kindOf(route: TopicRoute): string {
  if (!route.durable) return 'no';
  return route.retentionMs === 0 ? 'yes' : durationText(route.retentionMs);
}

function messagesOf(route: TopicRoute): number {
  return route.partitions.reduce((sum, one) => sum + one.nextOffset, 0);
}

function permissionText(permission: number): string {
  return `${permission & 4 ? 'r' : '-'}${permission & 2 ? 'w' : '-'}`;
}

/** A JSON line. */
export function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
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
