// What people are told of groups: which there are, who is in them, how far they have come.
import type { Answered, GroupSummary, ParamsOf, QueueDescription, QueueRef } from '../wire/services.ts';
import type { GroupBook } from './group-book.ts';
import type { Group, GroupQueue, GroupTopic } from './group-state.ts';

/** Groups in one answer. */
const PAGE = 500;
/** Queues in one answer: also with the longest names they fit the smallest lane. */
const QUEUES_PAGE = 500;
/** Numbers of ranges and attempts in one answer; queues behind come without them. */
const NUMBERS_MAX = 16_000;

/** What other parts of the coordinator know of a group. */
export interface GroupSources {
  /** Messages of the queue that are leased at present. */
  leased(queue: GroupQueue): number;
  /** Messages in the group's DLQ that were not replayed. */
  deadLetters(group: string): Promise<number>;
}

export class GroupReports {
  private readonly book: GroupBook;
  private readonly sources: GroupSources;

  constructor(book: GroupBook, sources: GroupSources) {
    this.book = book;
    this.sources = sources;
  }

  async list({ after = '' }: ParamsOf<'group-list'>): Promise<Answered<'group-list'>> {
    const later = [...this.book.groups].filter(({ name }) => name > after).sort((a, b) => (a.name < b.name ? -1 : 1));
    const groups: GroupSummary[] = [];
    for (const group of later.slice(0, PAGE)) {
      await this.lookUp(group, ({ isOpen }) => !isOpen);
      groups.push(this.summary(group));
    }
    return { result: { groups, more: later.length > PAGE } };
  }

  async describe({ group: name, after }: ParamsOf<'group-describe'>): Promise<Answered<'group-describe'>> {
    // Those that ask for another page have been told how things are.
    await this.lookUp(this.book.known(name), ({ isOpen }) => after === undefined || !isOpen);
    const deadLetters = await this.sources.deadLetters(name);
    const group = this.book.known(name);
    const topics = [...group.topics.values()];
    const now = this.book.monotonic();
    let left = NUMBERS_MAX;
    const later = topics
      .flatMap((topic) => [...topic.queues.values()].map((queue) => ({ topic, queue })))
      .filter(({ queue }) => after === undefined || inOrder(after, queue) < 0)
      .sort((a, b) => inOrder(a.queue, b.queue));
    const queues = later.slice(0, QUEUES_PAGE).map(({ topic, queue }) => {
      const described = this.queue(topic, queue, left);
      left -= described.acked.length + described.attempts.length;
      return described;
    });
    const result = {
      group: name,
      settings: group.settings,
      subscriptions: topics.map(({ topic, membership }) => {
        return { topic, ...membership.terms, generation: membership.generation };
      }),
      members: topics.flatMap(({ topic, membership }) => {
        return membership.members.map(({ id, client, seenMs, held }) => {
          return { member: id, client, topic, idleMs: held > 0 ? 0 : Math.round(now - seenMs) };
        });
      }),
      queues,
      deadLetters,
      more: later.length > QUEUES_PAGE,
    };
    return { result };
  }

  private queue({ assignment }: GroupTopic, queue: GroupQueue, numbersLeft: number): QueueDescription {
    const { topic, partition, progress } = queue;
    const { acked, attempts, ...place } = progress.wire();
    const fits = acked.length + attempts.length <= numbersLeft;
    return {
      topic,
      partition,
      ...place,
      acked: fits ? acked : [],
      attempts: fits ? attempts : [],
      owner: assignment.holderOf(`${topic}/${partition}`),
      nextOffset: this.book.nextOffset(queue),
      lag: this.book.places.lag(queue),
      leased: this.sources.leased(queue),
    };
  }

  private summary({ name, topics }: Group): GroupSummary {
    let members = 0;
    let lag = 0;
    for (const { membership, queues } of topics.values()) {
      members += membership.size;
      for (const queue of queues.values()) lag += this.book.places.lag(queue);
    }
    return { group: name, topics: [...topics.keys()].sort(), members, lag };
  }

  /** Nobody knows where the queues of a group are before somebody has looked. */
  private async lookUp({ name, topics }: Group, which: (topic: GroupTopic) => boolean): Promise<void> {
    for (const one of [...topics.values()].filter(which)) await this.book.reopen(name, one.topic);
  }
}

function inOrder(a: QueueRef, b: QueueRef): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition;
}
