// Message ids: where a message stands, as 24 upper-case hex digits. Like RocketMQ's offsetMsgId an id needs no lookup:
// topic id (8 digits), number of the partition in its topic (4), offset (12).

/** What an id says. */
export interface MessagePlace {
  readonly topicId: number;
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly offset: number;
}

const TOPIC_DIGITS = 8;
const PARTITION_DIGITS = 4;
const OFFSET_DIGITS = 12;
const PATTERN = new RegExp(`^[0-9A-Fa-f]{${TOPIC_DIGITS + PARTITION_DIGITS + OFFSET_DIGITS}}$`);

/** The id of the message at an offset. Topic ids have 32 bits, offsets 48. */
export function messageId(topicId: number, partition: number, offset: number): string {
  return hex(topicId >>> 0, TOPIC_DIGITS) + hex(partition, PARTITION_DIGITS) + hex(offset, OFFSET_DIGITS);
}

/** What an id says; undefined for a text that is none. Lower-case digits are read too. */
export function parseMessageId(id: string): MessagePlace | undefined {
  if (!PATTERN.test(id)) return undefined;
  const partitionAt = TOPIC_DIGITS;
  const offsetAt = TOPIC_DIGITS + PARTITION_DIGITS;
  return {
    topicId: Number.parseInt(id.slice(0, partitionAt), 16) | 0,
    partition: Number.parseInt(id.slice(partitionAt, offsetAt), 16),
    offset: Number.parseInt(id.slice(offsetAt), 16),
  };
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}
