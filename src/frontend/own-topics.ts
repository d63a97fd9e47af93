// What clients may not do with the topics in which the coordinator keeps what it has promised to deliver: make them (it
// makes them itself, durable), and delete them.
import { RingmqError } from '../base/codes.ts';
import type { Command } from '../wire/commands.ts';
import { HALF_TOPIC, TIMER_TOPIC } from '../wire/services.ts';

const OWN: ReadonlySet<string> = new Set([TIMER_TOPIC, HALF_TOPIC]);

/** The command as it may go to the NameServer. Throws `no-write-permission`. */
export function sparingOwnTopics(command: Command): Command {
  if (!('topic' in command) || !OWN.has(command.topic)) return command;
  if (command.type === 'route-request') return { ...command, create: false };
  if (command.type !== 'create-topic' && command.type !== 'delete-topic') return command;
  throw new RingmqError('no-write-permission', `${command.topic} is the broker's own: it makes it, and keeps it`);
}
