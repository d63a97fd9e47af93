// What the applications of a simulated run know of groups, timers and transactions, and the judgement over it. It
// shares no code with the broker. Messages are known by the names in their bodies, wherever they lie.
//
// Everything that happens has a number. With power lost, what a journal had not synced may come back: acknowledgements
// and recalls of since the last sync count for nothing then.
import type { Gap, SendReceipt } from '../../src/client/connection.ts';
import type { RecoveredQueue } from '../../src/log/run.ts';
import type { MessageName } from '../../torture/message.ts';
import type { Books, Level } from './books.ts';
import { type GroupBook, judgeGroup } from './group-books.ts';
import { type About, type Answer, idOf, keyOf, type LogView, type Sent, type Told } from './messages.ts';

export class MessagingBooks implements Told {
  readonly books: Books;
  /** The topic that all groups read. */
  readonly topic: string;
  readonly partitions: number;
  readonly sent = new Map<string, Sent>();
  readonly groups: GroupBook[] = [];
  /** By topic/partition. */
  readonly logs = new Map<string, LogView>();
  /** Number of what happened last. */
  now = 0;
  /** Messages that a plain sender sends in one go. */
  burstMax = 1;
  /** What a plain sender adds to the properties of each. */
  readonly fill: Readonly<Record<string, string>> | undefined = undefined;
  /** What its senders ask for. */
  readonly levels: readonly Level[] = ['durable', 'written', 'accepted'];
  /** In the end all dead letters are replayed. */
  replaysAll = false;
  private syncedAt = 0;

  constructor(books: Books, topic: string, partitions = 1) {
    this.books = books;
    this.topic = topic;
    this.partitions = partitions;
  }

  get world(): Books['world'] {
    return this.books.world;
  }

  /** Something happens. */
  tick(what: string): number {
    this.world.trace.add(what);
    return ++this.now;
  }

  sending(name: MessageName, kind: Sent['kind'], about: About): Sent {
    const id = idOf(name);
    const one: Sent = {
      id,
      kind,
      about,
      level: 'none',
      deliverAt: 0,
      recall: undefined,
      recalledAt: 0,
      fate: undefined,
      ended: undefined,
    };
    this.sent.set(id, one);
    this.tick(`sends ${kind} ${id}`);
    return one;
  }

  /** `receipt`: where it lies, if its sender was told. */
  stored(one: Sent, level: Level, _receipt?: SendReceipt): void {
    // Who was told just before a crash may look at it later.
    one.level = one.crossed && level !== 'durable' ? 'none' : level;
    this.tick(`stored ${one.id} ${level}`);
  }

  recalled(one: Sent, answer: Answer | undefined): void {
    one.recall = answer;
    one.recalledAt = this.tick(`recall ${one.id} ${answer ?? 'too late'}`);
  }

  ended(one: Sent, answer: Answer): void {
    one.ended = answer;
    this.tick(`end ${one.id} ${one.fate} ${answer}`);
  }

  /** The coordinator's journal is on the disk. */
  synced(): void {
    this.syncedAt = this.now;
  }

  crashed(power: boolean): void {
    for (const one of this.sent.values()) {
      if (one.level === 'none') one.crossed = true;
      if (one.level === 'accepted' || (power && one.level === 'written')) one.level = 'none';
      if (!power) continue;
      if (one.recall === 'yes' && one.recalledAt > this.syncedAt) one.recall = 'unknown';
    }
    for (const group of this.groups) {
      group.ended();
      if (power) group.powerLost(this.syncedAt);
    }
  }

  /** An orderly stop keeps everything. */
  stopped(): void {
    for (const one of this.sent.values()) if (one.level !== 'none') one.level = 'durable';
    for (const group of this.groups) group.ended();
    this.synced();
  }

  /** What a recovery has not found, will be other messages. */
  recovered(queues: readonly RecoveredQueue[], topicNames: ReadonlyMap<number, string>): void {
    const ends = new Map<string, number>(
      queues.map((one) => [`${topicNames.get(one.topicId)}/${one.partition}`, one.nextOffset] as const),
    );
    for (const group of this.groups) group.cut(ends);
    for (const [place, view] of this.logs) view.length = Math.min(view.length, ends.get(place) ?? 0);
  }

  /** Everything is kept. */
  gone(_place: string, _offset: number): boolean {
    return false;
  }

  /** What lies before is not there any more, in the end. */
  begins(_place: string, _offset: number): void {}

  lost(_gap: Gap): void {}

  /** Somebody who reads along, or in the end, was told of a gap. */
  missed({ topic, partition, from, to, reason }: Gap): void {
    this.books.fault(`gap in ${topic}/${partition} from ${from} to ${to} (${reason})`);
  }

  /** The auditor has read it. */
  audited(place: string, offset: number, name: MessageName | undefined, origin = `${place}:${offset}`): void {
    const view = this.logs.get(place) ?? [];
    this.logs.set(place, view);
    if (name === undefined) this.books.fault(`${place}:${offset} holds something else`);
    else view[offset] = { id: idOf(name), key: keyOf(idOf(name), origin) };
  }

  /** How often a message stands in the topic. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [place, view] of this.logs) {
      if (!place.startsWith(`${this.topic}/`)) continue;
      for (const one of view) if (one !== undefined) counts.set(one.id, (counts.get(one.id) ?? 0) + 1);
    }
    return counts;
  }

  /** By message: how often its dead letters have come back at least, and may have at most. */
  private replays(): { readonly least: Map<string, number>; readonly most: Map<string, number> } {
    const [least, most] = [new Map<string, number>(), new Map<string, number>()];
    for (const group of this.groups) {
      if (group.replaysMax === 0) continue;
      for (const [i, { id }] of group.letters(this).entries()) {
        most.set(id, (most.get(id) ?? 0) + group.replaysMax);
        if (i < group.replayed) least.set(id, (least.get(id) ?? 0) + 1);
      }
    }
    return { least, most };
  }

  /** What is still to come. */
  waitsFor(): string | undefined {
    const counts = this.counts();
    const { least } = this.replays();
    for (const one of this.sent.values()) {
      const wanted = this.leastOf(one) + (least.get(one.id) ?? 0);
      if (wanted > (counts.get(one.id) ?? 0)) return `${one.kind} ${one.id} is not in the log`;
    }
    for (const group of this.groups) {
      if (this.replaysAll && group.replayed < group.letters(this).length) return `${group.name} has dead letters`;
      const missing = group.missing(this);
      if (missing !== undefined) return `${group.name} has not handled ${missing}`;
    }
    return undefined;
  }

  /** How often it must be in the log at least, when all is quiet. */
  protected leastOf(one: Sent): number {
    if (one.level === 'none') return 0;
    if (one.kind === 'plain') return 1;
    if (one.kind === 'timer') return one.recall === undefined ? 1 : 0;
    return one.fate === 'commit' ? 1 : 0;
  }

  /** Everything that contradicts a promise. */
  judge(): string[] {
    const counts = this.counts();
    const { least, most } = this.replays();
    const found: string[] = [];
    for (const one of this.sent.values()) {
      const count = counts.get(one.id) ?? 0;
      const [again, replayed] = [most.get(one.id) ?? 0, least.get(one.id) ?? 0];
      if (count < this.leastOf(one) + replayed) {
        found.push(`lost: ${told(one)}, found ${count}, ${replayed} dead letters were replayed`);
      }
      if (count <= mostOf(one) + again) continue;
      found.push(`${mostOf(one) === 0 ? 'taken back' : 'twice'}: ${told(one)}, found ${count}, replayed ${again}`);
    }
    for (const id of counts.keys()) if (!this.sent.has(id)) found.push(`phantom: ${id} was never sent`);
    for (const group of this.groups) found.push(...judgeGroup(group, this));
    return found;
  }
}

function mostOf(one: Sent): number {
  if (one.kind === 'timer') return one.recall === 'yes' ? 0 : 1;
  if (one.kind === 'transaction') return one.fate === 'commit' ? 1 : 0;
  return 1;
}

function told({ kind, id, level, recall, fate, ended, deliverAt }: Sent): string {
  const more = kind === 'timer' ? ` due ${deliverAt}, recall ${recall}` : ` ${fate ?? ''} ${ended ?? ''}`;
  return `${kind} ${id} (${level}${more})`;
}
