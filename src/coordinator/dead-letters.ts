// A group's dead letters: how many there are, and their way back to the topics that they came from, oldest first. What
// was replayed stays in the topic until it expires; the floor says where the dead letters begin.
import { RING_BYTES_MAX } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Message } from '../client/message.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';
import { dlqTopic, PROPERTY } from '../wire/services.ts';
import type { JournalPart } from './journal.ts';
import type { MessageReader } from './message-reader.ts';
import type { Mover, MoveSource } from './mover.ts';
import { replayPayload } from './retry-payloads.ts';

/** Most messages that one move replays. */
const REPLAY_MAX = 64;
/** Takes all that comes over a lane, as lanes are by default. */
const RING_BYTES_LEAST = 4 * 1024 * 1024;

/** Consecutive dead letters on their way back to one topic. */
interface ReplaySource extends MoveSource {
  readonly kind: 'replay';
  readonly group: string;
  /** Of the DLQ: one that was deleted and made again has other letters. */
  readonly topicId: number;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
}

/** Where a group's dead letters begin, also as a record of the journal. */
interface DeadFloor {
  readonly group: string;
  readonly topicId: number;
  readonly offset: number;
}

interface Host {
  readonly connection: Pick<InProcessConnection, 'createTopic' | 'route' | 'nextOffset'>;
  readonly warn: (text: string) => void;
}

export class DeadLetters {
  readonly part: JournalPart;
  private readonly host: Host;
  private readonly mover: Pick<Mover, 'own' | 'move'>;
  private readonly reader: MessageReader;
  private readonly floors = new Map<string, DeadFloor>();
  private readonly made = new Set<string>();
  /** One replay of a group after the other. */
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(host: Host, mover: Pick<Mover, 'own' | 'move'>, reader: MessageReader) {
    this.host = host;
    this.mover = mover;
    this.reader = reader;
    this.part = {
      name: 'dead-letters',
      replay: (record) => this.setFloor(record as DeadFloor),
      snapshot: () => this.floors.values(),
    };
    mover.own<ReplaySource>('replay', {
      resolve: async (source) => replayPayload(await this.read(source)),
      intended: ({ group, topicId, to }) => this.setFloor({ group, topicId, offset: to }),
      failed: ({ group, topicId, from, to }, code, replaying) => {
        if (this.floors.get(group)?.offset === to) this.floors.set(group, { group, topicId, offset: from });
        if (replaying) return;
        host.warn(`group ${group}: dead letters ${from} to ${to - 1} could not be replayed (${code}); they are kept`);
      },
    });
  }

  /** Makes the group's DLQ, for messages of a topic. */
  async make(group: string, { durable, ringBytes }: TopicRoute): Promise<void> {
    if (this.made.has(group) && (await this.queue(group)) !== undefined) return;
    const options = { partitions: 1, durable, ringBytes: ringFor(ringBytes), ifNotExists: true };
    await this.host.connection.createTopic(dlqTopic(group), options);
    this.made.add(group);
  }

  /** Dead letters that were not replayed. */
  async left(group: string): Promise<number> {
    const place = await this.queue(group);
    return place === undefined ? 0 : place.end - place.from;
  }

  /**
   * Sends dead letters back, each exactly once; settles when they are as safe as their topics make them. Rejects with
   * `unknown-topic` if the oldest one's topic is gone.
   */
  replay(group: string, max: number): Promise<{ readonly replayed: number; readonly left: number }> {
    const before = this.turns.get(group) ?? Promise.resolve();
    const mine = before.then(() => this.replayNow(group, max));
    const settled = mine.catch(() => {});
    this.turns.set(group, settled);
    void settled.then(() => {
      if (this.turns.get(group) === settled) this.turns.delete(group);
    });
    return mine;
  }

  private async replayNow(group: string, max: number): Promise<{ replayed: number; left: number }> {
    let replayed = 0;
    for (;;) {
      const place = await this.queue(group);
      const left = place === undefined ? 0 : place.end - place.from;
      if (place === undefined || left === 0 || replayed >= max) return { replayed, left };
      const count = await this.replaySome(group, place, Math.min(max - replayed, left, REPLAY_MAX), replayed === 0);
      if (count === 0) return { replayed, left };
      replayed += count;
    }
  }

  /** Replays the oldest ones that go to one topic; returns how many. */
  private async replaySome(group: string, place: Place, max: number, isFirst: boolean): Promise<number> {
    const { topicId, epoch } = place;
    const messages = await this.reader.next(dlqTopic(group), 0, epoch, place.from, max);
    const from = messages.at(0)?.offset ?? place.from;
    const topic = messages.at(0)?.properties?.[PROPERTY.realTopic];
    if (topic === undefined) {
      const text = `dead letter ${from} of group ${group} is not kept any more, or does not say where it came from`;
      throw new RingmqError('not-found', text);
    }
    const others = messages.findIndex(({ properties }) => properties?.[PROPERTY.realTopic] !== topic);
    const chosen = others < 0 ? messages : messages.slice(0, others);
    const source: ReplaySource = { kind: 'replay', group, topicId, epoch, from, to: from + chosen.length };
    try {
      await this.mover.move({ topic, source, payload: replayPayload(chosen) });
    } catch (error) {
      if (!(error instanceof RingmqError) || error.code !== 'unknown-topic') throw error;
      if (!isFirst) return 0;
      const text = `dead letter ${from} of group ${group} came from topic ${topic}, which is gone: create it first`;
      throw new RingmqError('unknown-topic', text);
    }
    return chosen.length;
  }

  private async read({ group, epoch, from, to }: ReplaySource): Promise<readonly Message[]> {
    const messages: Message[] = [];
    while (from + messages.length < to) {
      const at = from + messages.length;
      const some = await this.reader.some(dlqTopic(group), 0, epoch, at, to - at);
      if (some.length === 0) throw new RingmqError('not-found', `dead letter ${at} of group ${group} is not kept`);
      messages.push(...some);
    }
    return messages;
  }

  private setFloor(floor: DeadFloor): void {
    const before = this.floors.get(floor.group);
    if (before?.topicId === floor.topicId && before.offset > floor.offset) return;
    this.floors.set(floor.group, floor);
  }

  /** Where the group's dead letters are; undefined: it never had any, or they were deleted. */
  private async queue(group: string): Promise<Place | undefined> {
    let route: TopicRoute;
    try {
      route = await this.host.connection.route(dlqTopic(group));
    } catch (error) {
      if (error instanceof RingmqError && error.code === 'unknown-topic') return undefined;
      throw error;
    }
    const [queue] = route.partitions;
    const { topicId } = route;
    const floor = this.floors.get(group);
    const end = Math.max(this.host.connection.nextOffset(queue), queue.nextOffset);
    const begin = floor?.topicId === topicId ? Math.min(floor.offset, end) : 0;
    return { topicId, epoch: queue.epoch, from: Math.max(begin, oldestOf(queue)), end };
  }
}

/** The dead letters that are left: offsets from `from` to before `end`. */
interface Place {
  readonly topicId: number;
  readonly epoch: number;
  readonly from: number;
  readonly end: number;
}

/** For the largest message with what is said of it besides; a group may read other topics too. */
function ringFor(ringBytes: number): number {
  return Math.min(Math.max(2 * ringBytes, RING_BYTES_LEAST), RING_BYTES_MAX);
}

function oldestOf({ oldestOffset, nextOffset }: PartitionRoute): number {
  return Math.min(oldestOffset, nextOffset);
}
