// Units that plain numbers hide, and checks that every entry point shares.

/** How strong an acknowledgement is. See `ACK_LEVELS` for what each survives. */
export type AckLevel = 'none' | 'accepted' | 'written' | 'durable' | 'replicated';

/** Level -> its number on the wire. */
export const ACK_LEVELS = { none: 0, accepted: 1, written: 2, durable: 3, replicated: 4 } as const satisfies Record<
  AckLevel,
  number
>;

const TOPIC_PATTERN = /^[%|A-Za-z0-9._-]{1,127}$/;

/** True if `name` may name a topic: RocketMQ's characters and dots, 1 to 127 of them, not `.` or `..`. */
export function isTopicName(name: string): boolean {
  return TOPIC_PATTERN.test(name) && name !== '.' && name !== '..';
}

const GROUP_PATTERN = /^[%|A-Za-z0-9._-]{1,255}$/;

/** True if `name` may name a group of consumers: RocketMQ's characters and dots, 1 to 255 of them. */
export function isGroupName(name: string): boolean {
  return GROUP_PATTERN.test(name);
}
