// Where groups of consumers go on. Commits gather for a moment and are written together; each is answered once it is on
// the disk. Until then nobody is told of it: what is read is what would be there after a crash.
import { RingmqError } from '../base/codes.ts';
import { isGroupName } from '../base/units.ts';
import type { MetaStore, StoredOffsets, StoredPosition } from '../state/meta.ts';
import type { CommandOf, PartitionPosition } from '../wire/commands.ts';
import type { TopicRecord } from './directory.ts';

/** Most pairs of a group and a topic for which positions are kept. */
export const OFFSETS_MAX = 100_000;

export class GroupOffsets {
  private readonly meta: MetaStore;
  private readonly nextOffset: (partitionId: number) => number;
  private readonly max: number;
  /** By topic id and group. */
  private readonly gathered = new Map<string, StoredOffsets>();
  private added = 0;

  /** `nextOffset`: of a partition by its id. */
  constructor(meta: MetaStore, nextOffset: (partitionId: number) => number, max = OFFSETS_MAX) {
    this.meta = meta;
    this.nextOffset = nextOffset;
    this.max = max;
  }

  /** What the next transaction must write. */
  get pending(): readonly StoredOffsets[] {
    return [...this.gathered.values()];
  }

  /** Where the group goes on, by what is on the disk. */
  read(record: TopicRecord, group: string): readonly PartitionPosition[] {
    checkGroup(group);
    return this.meta.offsets(record.topicId, group)?.positions ?? [];
  }

  /** Takes a commit. Offsets may go backwards. Throws what is wrong with it, and then has taken nothing. */
  note(record: TopicRecord, command: CommandOf<'commit-offsets'>): void {
    checkGroup(command.group);
    for (const position of command.positions) this.check(record, position);
    const key = `${record.topicId} ${command.group}`;
    const { topicId } = record;
    const { group } = command;
    const kept = this.meta.offsets(topicId, group);
    const before = this.gathered.get(key) ?? kept;
    if (before === undefined) {
      if (this.meta.offsetCount + this.added >= this.max) {
        throw new RingmqError(
          'group-quota',
          `the broker keeps the offsets of its ${this.max} groups and topics already`,
        );
      }
      this.added++;
    }
    this.gathered.set(key, { topicId, group, positions: merged(before?.positions ?? [], command.positions) });
  }

  /** The gathered ones are on the disk, or could not be kept: either way they are no longer pending. */
  clear(): void {
    this.gathered.clear();
    this.added = 0;
  }

  private check(record: TopicRecord, { partition, offset }: PartitionPosition): void {
    const found = record.partitions.find((one) => one.number === partition);
    if (!found) throw new RingmqError('unknown-partition', `topic ${record.topic} has no partition ${partition}`);
    const next = this.nextOffset(found.id);
    if (offset >= 0 && offset <= next) return;
    throw new RingmqError(
      'offset-out-of-range',
      `offset ${offset} of partition ${partition}: its next message gets ${next}, nobody can be further`,
    );
  }
}

function checkGroup(group: string): void {
  if (isGroupName(group)) return;
  const shown = JSON.stringify(group.slice(0, 300));
  throw new RingmqError('illegal-group', `illegal group ${shown}: 1 to 255 characters of A-Z a-z 0-9 % | . _ -`);
}

/** The old positions with the new ones over them, by partition. */
function merged(old: readonly StoredPosition[], more: readonly PartitionPosition[]): StoredPosition[] {
  const byPartition = new Map(old.map((one) => [one.partition, one]));
  for (const { partition, epoch, offset } of more) byPartition.set(partition, { partition, epoch, offset });
  return [...byPartition.values()].sort((a, b) => a.partition - b.partition);
}
