// A group of simple consumers: leases that are acknowledged, refused, prolonged, forgotten until they run out.
import type { Message, SimpleConsumer } from '../src/client/node.ts';
import { GroupLoad } from './group-load.ts';
import type { Plan } from './handling-plan.ts';
import { pause } from './topic-reader.ts';

const CONSUMERS = 2;
const MESSAGES_MAX = 24;
const WAIT_MS = 500;
/** What a crash takes with it comes again after this time. */
const INVISIBLE_MS = 800;
const HANDLER_MAX_MS = 10;
const NACK_MS = 25;
const AGAIN_MS = 50;

export class SimpleGroup extends GroupLoad {
  private readonly settling = new Set<Promise<void>>();

  protected override join(): void {
    for (let n = 0; n < CONSUMERS; n++) {
      const consumer = this.connect().simpleConsumer(this.topic, {
        group: this.group,
        member: `simple-${n}`,
        from: 'earliest',
        order: 'key',
        invisibleMs: INVISIBLE_MS,
      });
      this.run(() => this.receive(consumer));
    }
  }

  private async receive(consumer: SimpleConsumer): Promise<void> {
    while (!this.stopped) {
      try {
        const messages = await consumer.receive({ max: MESSAGES_MAX, waitMs: WAIT_MS });
        // All of them are leased from here on, in whatever order they are worked on.
        const plans = messages.map((message) => [message, this.plan(message)] as const);
        await pause(Math.random() * HANDLER_MAX_MS);
        for (const [message, plan] of plans) this.settle(consumer, message, plan);
      } catch (error) {
        this.failed(error);
        await pause(AGAIN_MS);
      }
    }
    await Promise.all(this.settling);
    await consumer.close();
  }

  private plan(message: Message): Plan {
    return this.takes(message.text(), `${message.partition}@${message.offset}`, message.attempts);
  }

  private settle(consumer: SimpleConsumer, message: Message, plan: Plan): void {
    const settling = this.settled(consumer, message, plan).catch((error: unknown) => this.failed(error));
    this.settling.add(settling);
    void settling.then(() => this.settling.delete(settling));
  }

  private async settled(consumer: SimpleConsumer, message: Message, plan: Plan): Promise<void> {
    const id = message.text();
    if (plan === 'fail') {
      // Some are forgotten.
      if (message.offset % 6 !== 0) await consumer.nack(message, message.attempts === 2 ? NACK_MS : undefined);
      return;
    }
    if (plan === 'dead') {
      await consumer.nack(message);
      return;
    }
    if (message.offset % 11 === 0) await consumer.changeInvisible(message, INVISIBLE_MS * 2);
    this.checker.handled(id);
    await consumer.ack(message);
    this.checker.acked(id);
  }
}
