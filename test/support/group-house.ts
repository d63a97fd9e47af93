// The groups of a coordinator over topics that a test makes by word, with a clock that the test moves.
import { GroupBook } from '../../src/coordinator/group-book.ts';
import { GroupDesk } from '../../src/coordinator/group-desk.ts';
import type { Journal } from '../../src/coordinator/journal.ts';
import {
  type Answered,
  type GroupAssignment,
  type GroupSync,
  type Method,
  type ParamsOf,
  type ResultOf,
  SESSION_MS,
} from '../../src/wire/services.ts';
import { ScriptedTopics } from './scripted-topics.ts';

const NO_BYTES = new Uint8Array(0);

/** A journal in memory that a test can read again, and let fail. */
export class RecordedJournal implements Journal {
  readonly records: string[] = [];
  failure: Error | undefined;

  append(_part: string, record: unknown): void {
    if (this.failure) throw this.failure;
    this.records.push(JSON.stringify(record));
  }

  sync(): void {}
}

export class GroupHouse {
  readonly topics: ScriptedTopics;
  readonly journal: RecordedJournal;
  readonly book: GroupBook;
  readonly desk: GroupDesk;
  readonly warnings: string[] = [];
  now = 1_000;

  /** With what another one has written: a coordinator that was started again. */
  constructor(topics = new ScriptedTopics(), records: readonly string[] = [], subscriptionsMax = 1_000) {
    this.topics = topics;
    this.journal = new RecordedJournal();
    const options = { monotonic: () => this.now, subscriptionsMax };
    this.book = new GroupBook(topics, this.journal, (text) => this.warnings.push(text), options);
    this.desk = new GroupDesk(this.book, { leased: () => 0, deadLetters: async () => 7 });
    for (const record of records) this.book.part.replay(JSON.parse(record));
    this.journal.records.push(...records);
  }

  /** The same broker with a new coordinator, which waits for the members that there were. */
  revived(): GroupHouse {
    const house = new GroupHouse(this.topics, this.journal.records);
    house.desk.start();
    return house;
  }

  /** The same, and nobody came. */
  restarted(): GroupHouse {
    const house = this.revived();
    house.pass(SESSION_MS / 2);
    return house;
  }

  /** State as a snapshot says it. */
  get state(): readonly unknown[] {
    return JSON.parse(JSON.stringify([...this.book.part.snapshot()])) as unknown[];
  }

  async call<M extends Method>(method: M, params: ParamsOf<M>, seat = 5): Promise<ResultOf<M>> {
    const handler = this.desk.handlers[method] as
      | ((params: ParamsOf<M>, payload: Uint8Array, caller: { seat: number }) => Promise<Answered<M>>)
      | undefined;
    if (handler === undefined) throw new Error(`the desk has no ${method}`);
    return (await handler(params, NO_BYTES, { seat })).result;
  }

  pass(ms: number): void {
    this.now += ms;
    this.desk.housekeep();
  }
}

/** A member that behaves: it gives up what it is not told of, and says what it holds. */
export class ScriptedMember {
  readonly id: string;
  readonly client: string;
  readonly seat: number;
  readonly more: Partial<GroupSync>;
  generation = 0;
  owned: string[] = [];
  answer: GroupAssignment | undefined;
  /** Commits set progress instead of adding to it. */
  anew = false;
  private readonly house: GroupHouse;

  constructor(house: GroupHouse, id: string, more: Partial<GroupSync> = {}, seat = 5) {
    this.house = house;
    this.id = id;
    this.client = more.client ?? 'app';
    this.seat = seat;
    this.more = more;
  }

  /** One sync; takes up what it is told. `waitMs` 0: answered at once. */
  async sync(waitMs = 0, owned = this.owned): Promise<GroupAssignment> {
    const { house, id, client, generation } = this;
    const queues = owned.map((name) => ({ topic: name.split('/')[0], partition: Number(name.split('/')[1]) }));
    const rest = { from: 'earliest', order: 'key', filter: '', waitMs, ...this.more } as const;
    const params = { group: 'g', topic: 't', member: id, generation, owned: queues, ...rest, client };
    const answer = await house.call('group-sync', params, this.seat);
    this.generation = answer.generation;
    this.owned = answer.queues.map(({ topic, partition }) => `${topic}/${partition}`);
    this.answer = answer;
    return answer;
  }

  /** Progress of a queue as the last answer told it. */
  progressOf(queue: string) {
    const found = this.answer?.queues.find(({ topic, partition }) => `${topic}/${partition}` === queue);
    if (found === undefined) throw new Error(`${this.id} was not told of ${queue}`);
    return found;
  }

  commit(
    queue: string,
    offset: number,
    acked: readonly number[] = [],
    attempts: readonly number[] = [],
    epoch?: number,
  ) {
    const [topic, number] = queue.split('/');
    const partition = Number(number);
    const known = epoch ?? this.house.book.queue('g', topic, partition)?.progress.epoch ?? 0;
    const progress = { topic, partition, epoch: known, offset, acked, attempts };
    const { id: member, generation } = this;
    const params = { group: 'g', topic: 't', member, generation, queues: [progress], anew: this.anew };
    return this.house.call('group-commit', params, this.seat);
  }
}

/** True if the promise has settled after all that can happen by itself has happened. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}
