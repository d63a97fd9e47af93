// A push group: members that keep the order of keys, handlers that take their time and fail now and then, commits whose
// answers count. Two members have their handlers here, one has them in a pool of threads.
import {
  type Consumer,
  type ConsumerOptions,
  DeadLetter,
  type Message,
  RetryLater,
  RingmqError,
} from '../src/client/node.ts';
import { GroupLoad } from './group-load.ts';
import { HANDLER_MAX_MS, LATER_MS, PlannedFailure } from './handling-plan.ts';
import { PoolBook } from './pool-book.ts';
import { pause } from './topic-reader.ts';

const CONCURRENCY = 16;
const COMMIT_MS = 30;
const POOL_THREADS = 2;
/** All members but one leave after so many commits, and others come. */
const COMMITS_OF_A_LIFE = 150;

/** Where the messages of a member are handled. */
interface Hands {
  readonly options: ConsumerOptions;
  begin(consumer: Consumer): Promise<void>;
  /** What its consumer knows to be handled and this has not named yet. */
  done(): readonly string[];
  /** A commit failed: what was handled until now may belong to others. False: the member ends. */
  failed(error: unknown): boolean;
}

export class PushGroup extends GroupLoad {
  private count = 0;
  private readonly pool = new PoolBook((step) => {
    if (step.what === 'ends') this.checker.handled(step.id);
    else if (this.takes(step.id, step.place, step.attempts) === 'dead') this.checker.gaveUp(step.id);
  });

  override async audit(): Promise<void> {
    await super.audit();
    this.pool.close();
  }

  protected override join(): void {
    this.member(Number.POSITIVE_INFINITY, () => this.handsHere());
    this.member(COMMITS_OF_A_LIFE, () => this.handsHere());
    this.member(COMMITS_OF_A_LIFE, () => this.handsInPool());
  }

  private member(commits: number, hands: () => Hands): void {
    this.run(async () => {
      while (!this.stopped) await this.live(commits, hands());
    });
  }

  /** A member, for so many commits, or until something that it had belongs to others. */
  private async live(commits: number, hands: Hands): Promise<void> {
    const connection = this.connect();
    const consumer = connection.consumer(this.topic, {
      group: this.group,
      member: `member-${this.count++}`,
      from: 'earliest',
      order: 'key',
      concurrency: CONCURRENCY,
      commitMs: Number.POSITIVE_INFINITY,
      onGap: () => {},
      onError: (error) => this.failed(error),
      ...hands.options,
    });
    await hands.begin(consumer);
    for (let n = 0; n < commits && !this.stopped; n++) {
      await pause(COMMIT_MS);
      const done = hands.done();
      if (done.length > 0 && !(await this.commit(consumer, done, hands))) break;
    }
    await consumer.close();
    await connection.close();
  }

  private handsHere(): Hands {
    let handled: string[] = [];
    const onMessage = async (message: Message): Promise<void> => {
      await this.handle(message);
      handled.push(message.text());
    };
    const failed = (): boolean => {
      handled = [];
      return true;
    };
    return { options: { onMessage }, begin: async () => {}, done: () => handled.splice(0), failed };
  }

  private handsInPool(): Hands {
    const handler = this.pool.begin();
    return {
      options: {},
      begin: (consumer) => consumer.pool(handler, { threads: POOL_THREADS }),
      done: () => this.pool.done(),
      // Of what was lost, ends may still be on their way from their threads.
      failed: (error) => !(error instanceof RingmqError && error.code === 'stale-generation'),
    };
  }

  private async handle(message: Message): Promise<void> {
    const plan = this.takes(message.text(), `${message.partition}@${message.offset}`, message.attempts);
    if (plan === 'dead') this.checker.gaveUp(message.text());
    await pause(Math.random() * HANDLER_MAX_MS);
    if (plan === 'dead') throw new DeadLetter('a dead letter by plan');
    if (plan === 'fail' && message.attempts === 2) throw new RetryLater(LATER_MS);
    if (plan === 'fail') throw new PlannedFailure('it fails by plan');
    this.checker.handled(message.text());
  }

  /** False: the member ends. */
  private async commit(consumer: Consumer, handled: readonly string[], hands: Hands): Promise<boolean> {
    // The consumer has counted what its handlers returned from before.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await consumer.commit();
      for (const id of handled) this.checker.acked(id);
      return true;
    } catch (error) {
      this.failed(error);
      return hands.failed(error);
    }
  }
}
