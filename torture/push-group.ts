// A push group: two members that keep the order of keys, handlers that take their time and fail now and then, commits
// whose answers count.
import { type Consumer, DeadLetter, type Message, RetryLater } from '../src/client/node.ts';
import { GroupLoad, PlannedFailure } from './group-load.ts';
import { pause } from './topic-reader.ts';

const MEMBERS = 2;
const CONCURRENCY = 16;
const HANDLER_MAX_MS = 8;
const COMMIT_MS = 30;
/** One of the members leaves after so many commits, and another one comes. */
const COMMITS_OF_A_LIFE = 150;

export class PushGroup extends GroupLoad {
  private count = 0;

  protected override join(): void {
    for (let n = 0; n < MEMBERS; n++) {
      this.run(async () => {
        while (!this.stopped) await this.live(n === 0 ? Number.POSITIVE_INFINITY : COMMITS_OF_A_LIFE);
      });
    }
  }

  /** A member, for so many commits. */
  private async live(commits: number): Promise<void> {
    let handled: string[] = [];
    const connection = this.connect();
    const consumer = connection.consumer(this.topic, {
      group: this.group,
      member: `member-${this.count++}`,
      from: 'earliest',
      order: 'key',
      concurrency: CONCURRENCY,
      commitMs: Number.POSITIVE_INFINITY,
      onMessage: async (message) => {
        await this.handle(message);
        handled.push(message.text());
      },
      onGap: () => {},
      onError: (error) => this.failed(error),
    });
    for (let n = 0; n < commits && !this.stopped; n++) {
      await pause(COMMIT_MS);
      const done = handled;
      handled = [];
      // What was handled until it is refused may belong to others now.
      if (done.length > 0 && !(await this.commit(consumer, done))) handled = [];
    }
    await consumer.close();
    await connection.close();
  }

  private async handle(message: Message): Promise<void> {
    const plan = this.takes(message);
    if (plan === 'dead') this.checker.gaveUp(message.text());
    await pause(Math.random() * HANDLER_MAX_MS);
    if (plan === 'dead') throw new DeadLetter('a dead letter by plan');
    if (plan === 'fail' && message.attempts === 2) throw new RetryLater(30);
    if (plan === 'fail') throw new PlannedFailure('it fails by plan');
    this.checker.handled(message.text());
  }

  private async commit(consumer: Consumer, handled: readonly string[]): Promise<boolean> {
    // The consumer has counted what its handlers returned from before.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await consumer.commit();
      for (const id of handled) this.checker.acked(id);
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }
}
