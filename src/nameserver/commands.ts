// What each command to the NameServer does. Nothing of it is seen before the turn's changes are on the disk: an outcome
// says what to tell then.
import { RingmqError } from '../base/codes.ts';
import type { Command, CommandOf } from '../wire/commands.ts';
import { REPLY_PREFIX } from '../wire/services.ts';
import type { Client } from './clients.ts';
import type { Directory, TopicRecord } from './directory.ts';
import type { GroupOffsets } from './group-offsets.ts';

const TOPICS_PAGE_MAX = 500;
/** A page of topics ends at about this many bytes, so that it fits the lane. */
const PAGE_BYTES_MAX = 256 * 1024;
const PARTITION_BYTES = 96;
const EPOCH_BYTES = 16;

/** What a command does, once it may be seen. */
export interface Outcome {
  readonly changed: readonly TopicRecord[];
  readonly deleted?: TopicRecord;
  /** undefined: answered when the offsets are on the disk. */
  readonly reply: (() => Command) | undefined;
}

/** The broker workers that are there. */
export interface Brokers {
  /** Their seats, in order. */
  readonly all: () => number[];
  readonly isAvailable: (seat: number) => boolean;
}

export class Commands {
  private readonly directory: Directory;
  private readonly offsets: GroupOffsets;
  private readonly brokers: Brokers;

  constructor(directory: Directory, offsets: GroupOffsets, brokers: Brokers) {
    this.directory = directory;
    this.offsets = offsets;
    this.brokers = brokers;
  }

  /** Throws RingmqError for a command that is refused. */
  execute(client: Client, command: Command): Outcome {
    switch (command.type) {
      case 'route-request':
        return this.routeRequest(client, command);
      case 'create-topic':
        return this.createTopic(client, command);
      case 'open-direct': {
        const record = this.directory.openDirect(command.topic, client.seat);
        return { changed: [record], reply: () => this.routeOf(client, record) };
      }
      case 'delete-topic':
        client.replyTopics.delete(command.topic);
        return { changed: [], deleted: this.directory.delete(command.topic), reply: () => DONE };
      case 'set-permission':
        return done(this.directory.setPermission(command.topic, command.owner, command.permission));
      case 'set-retention':
        return done([this.directory.setRetention(command.topic, command.retentionMs, command.retentionBytes)]);
      case 'commit-offsets':
        this.offsets.note(this.topic(command.topic), command);
        return { changed: [], reply: undefined };
      case 'offsets-request': {
        const positions = this.offsets.read(this.topic(command.topic), command.group);
        return { changed: [], reply: () => ({ type: 'offsets-reply', positions }) };
      }
      case 'topics-request':
        return { changed: [], reply: () => this.topics(command) };
      default:
        throw new RingmqError('unknown-command', `the NameServer does not serve ${command.type}`);
    }
  }

  private topic(name: string): TopicRecord {
    const record = this.directory.find(name);
    if (!record) throw new RingmqError('unknown-topic', `no topic ${name}`);
    return record;
  }

  private routeRequest(client: Client, command: CommandOf<'route-request'>): Outcome {
    // A reply topic that is gone stays gone: whoever waited there has gone too.
    const create = command.create && !command.topic.startsWith(REPLY_PREFIX);
    const { record, created } = this.directory.findOrCreate(command.topic, create, this.brokers.all());
    return { changed: created ? [record] : [], reply: () => this.routeOf(client, record) };
  }

  private createTopic(client: Client, command: CommandOf<'create-topic'>): Outcome {
    const known = this.directory.find(command.topic);
    if (known && command.ifNotExists) return { changed: [], reply: () => this.routeOf(client, known) };
    const record = this.directory.create(command, this.brokers.all());
    if (command.topic.startsWith(REPLY_PREFIX)) client.replyTopics.add(command.topic);
    return { changed: [record], reply: () => this.routeOf(client, record) };
  }

  private topics(command: CommandOf<'topics-request'>): Command {
    const limit = Math.min(Math.max(command.limit, 1), TOPICS_PAGE_MAX);
    const { records, more } = this.directory.page(command.after, limit);
    let bytes = 0;
    const fits = records.filter((one, at) => {
      for (const { epochs } of one.partitions) bytes += PARTITION_BYTES + EPOCH_BYTES * epochs.length;
      return at === 0 || bytes <= PAGE_BYTES_MAX;
    });
    const topics = fits.map((one) => this.directory.route(one, this.brokers.isAvailable));
    return { type: 'topics-reply', topics, more: more || fits.length < records.length };
  }

  private routeOf(client: Client, record: TopicRecord): Command {
    if (this.directory.find(record.topic) !== record)
      throw new RingmqError('unknown-topic', `no topic ${record.topic}`);
    client.topics.add(record.topic);
    return { type: 'route-reply', route: this.directory.route(record, this.brokers.isAvailable) };
  }
}

export const DONE: Command = { type: 'done' };

function done(changed: readonly TopicRecord[]): Outcome {
  return { changed, reply: () => DONE };
}

export function refusal(error: RingmqError): Outcome {
  return { changed: [], reply: () => ({ type: 'refused', code: error.code, text: error.message }) };
}
