// What `ringmq group` prints: tables for people, JSON lines for scripts.
import type { GroupDescription, GroupSettings, GroupSummary, QueueDescription } from '../client/messaging.ts';
import { grouped } from './figures.ts';
import type { ClientOptions } from './options.ts';
import { durationText } from './times.ts';
import { line, table } from './topic-text.ts';

const DELAYS_SHOWN = 20;

export function groupListText(groups: readonly GroupSummary[], options: ClientOptions): string {
  if (options.json) return groups.map((one) => line(one)).join('');
  if (groups.length === 0) return 'no groups yet: ringmq sub TOPIC --group NAME makes one\n';
  const rows = groups.map((one) => [one.group, String(one.members), grouped(one.lag), one.topics.join(' ')]);
  return table([['GROUP', 'MEMBERS', 'LAG', 'TOPICS'], ...rows]);
}

export function groupText(group: GroupDescription, options: ClientOptions): string {
  if (options.json) return line(group);
  const lag = group.queues.reduce((sum, one) => sum + one.lag, 0);
  const head = [
    `group         ${group.group}`,
    `lag           ${grouped(lag)} messages`,
    `dead letters  ${deadText(group)}`,
    `attempts      ${group.settings.attemptsMax}, retries after ${delaysText(group.settings)}`,
    ...group.subscriptions.map((one) => {
      const filter = one.filter === '' ? '' : `, filter ${one.filter}`;
      return `topic         ${one.topic}: ${one.kind}, order ${one.order}${filter}, generation ${one.generation}`;
    }),
  ];
  const members = group.members.map((one) => [one.member, one.topic, one.client, durationText(one.idleMs)]);
  const parts = [
    head.map((one) => `${one}\n`).join(''),
    members.length > 0 ? table([['MEMBER', 'TOPIC', 'CLIENT', 'LAST HEARD'], ...members]) : 'no members\n',
    ...(group.queues.length > 0 ? [table([QUEUE_TITLES, ...group.queues.map(queueRow)])] : []),
  ];
  return parts.join('\n');
}

export function settingsText(group: string, settings: GroupSettings): string {
  return `${group}: ${settings.attemptsMax} attempts, retries after ${delaysText(settings)}\n`;
}

const QUEUE_TITLES = ['TOPIC', 'PARTITION', 'MEMBER', 'OFFSET', 'LAG', 'LEASED', 'FAILING'];

function queueRow(queue: QueueDescription): string[] {
  return [
    queue.topic,
    String(queue.partition),
    queue.owner === '' ? '-' : queue.owner,
    grouped(queue.offset),
    grouped(queue.lag),
    grouped(queue.leased),
    grouped(queue.attempts.length / 2),
  ];
}

function deadText({ group, deadLetters }: GroupDescription): string {
  return deadLetters === 0 ? 'none' : `${grouped(deadLetters)} (ringmq dlq show ${group})`;
}

function delaysText({ retryDelaysMs }: GroupSettings): string {
  const shown = retryDelaysMs.slice(0, DELAYS_SHOWN).map((one) => durationText(one));
  return shown.join(', ') + (retryDelaysMs.length > DELAYS_SHOWN ? ', ...' : '');
}
