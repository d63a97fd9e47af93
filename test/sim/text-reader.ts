// A simple consumer that says by hand what the library says: it leases and settles. See text-member.ts.
import type { LeaseAsk } from './lease-book.ts';
import { AGAIN_MS, checkPriorities } from './reader-roles.ts';
import type { TextCalled, TextMessage } from './speakers.ts';
import { TextMember } from './text-member.ts';

/** What an answer to `receive` says of one message. */
interface Leased {
  readonly message: TextMessage;
  readonly token: number;
  readonly attempts: number;
}

type Verdict = 'acks' | 'nacks' | 'extensions';

export class TextReader extends TextMember {
  private invisibleMs = 0;

  protected async play(): Promise<void> {
    const { world, books } = this.context;
    const { leases, rules } = this.group;
    this.invisibleMs = world.between(300, 3_000);
    const { invisibleMs, terms } = this;
    while (!this.leavesNow) {
      const asked = books.now;
      const lease = leases.asks(invisibleMs);
      const limits = { maxMessages: world.between(1, 12), invisibleMs, waitMs: world.random(1_500) };
      try {
        const answer = await this.ask('receive', { ...terms, priority: rules.priority === true, ...limits });
        const leased = await this.whole(answer);
        const messages = leased.map(({ message }) => message);
        if (rules.priority) checkPriorities(books, messages);
        for (const one of leased) this.handle(one, asked, lease);
      } catch (error) {
        this.codeFor('a receive', error);
        await this.sleep(AGAIN_MS);
      }
      await this.sleep(world.random(60));
    }
    await this.ask('group-leave', this.identity);
  }

  /** Messages are in the order of their leases; those that were too large are pulled, unless they are gone. */
  private async whole({ result, messages = [] }: TextCalled): Promise<readonly Leased[]> {
    const { queues, messages: entries } = result as {
      readonly queues: readonly { readonly topic: string; readonly partition: number }[];
      readonly messages: readonly number[];
    };
    const { name, books } = this.context;
    if (messages.length * 4 !== entries.length) {
      books.books.fault(`${name}: ${messages.length} messages with ${entries.length / 4} leases`);
    }
    const leased: Leased[] = [];
    for (const [i, message] of messages.entries()) {
      const [queue, offset, token, attempts] = entries.slice(i * 4);
      const { topic, partition } = queues[queue];
      if (message.topic !== topic || message.partition !== partition || message.offset !== offset) {
        books.books.fault(`${name}: leased ${topic}/${partition}:${offset}, was given ${JSON.stringify(message)}`);
      }
      const whole = message.pull ? await this.pulled(topic, partition, offset) : message;
      if (whole) leased.push({ message: whole, token, attempts });
    }
    return leased;
  }

  private async pulled(topic: string, partition: number, offset: number): Promise<TextMessage | undefined> {
    const { messages } = await this.speaker.pull({ topic, partition, offset, epoch: 0, waitMs: 0 });
    const [first] = messages;
    return first?.offset === offset ? { ...first, topic, partition } : undefined;
  }

  private handle(one: Leased, asked: number, lease: LeaseAsk): void {
    const { world, books } = this.context;
    const { group } = this;
    const key = group.handed(this.member, this.deliveryOf(one.message, one.attempts), asked);
    group.leases.has(this.member, key, lease, books.now, one.attempts);
    const dice = this.quiet ? 0 : world.random(100);
    // Forgotten.
    if (dice >= 92) return;
    const tookMs = world.chance(10) ? world.random(1_500) : world.random(50);
    if (dice >= 80) void this.prolong(one, key, dice >= 86 ? 'nacks' : 'extensions', tookMs);
    else setTimeout(() => this.ack(one, key), tookMs);
  }

  private ack(one: Leased, key: string): void {
    const { group, member } = this;
    group.leases.ends(key);
    group.succeeded(member, key);
    void this.settle(one, 'acks', []);
  }

  /** It shall come again later, or be left to this member for longer (0 ms: it is given back). */
  private async prolong(one: Leased, key: string, verdict: Verdict, tookMs: number): Promise<void> {
    const { world, books } = this.context;
    const { leases } = this.group;
    await this.sleep(tookMs);
    const isNack = verdict === 'nacks';
    const forMs = isNack ? -1 : world.chance(25) ? 0 : world.between(200, 3_000);
    const lease = leases.asks(forMs);
    const turn = leases.ends(key);
    const done = await this.settle(one, verdict, [forMs]);
    if (done && !isNack) leases.has(this.member, key, lease, books.now, one.attempts, turn);
  }

  /** True if it was answered, and the lease stood. */
  private async settle({ message, token }: Leased, verdict: Verdict, more: readonly number[]): Promise<boolean> {
    const { topic, partition, offset } = message;
    const { group, topic: of } = this.identity;
    const queue = { topic, partition, acks: [], nacks: [], extensions: [], [verdict]: [offset, token, ...more] };
    try {
      const { result } = await this.ask('settle', { group, topic: of, queues: [queue] });
      return (result as { readonly stale: readonly number[][] }).stale.every((offsets) => offsets.length === 0);
    } catch (error) {
      this.codeFor('to settle', error);
      return false;
    }
  }
}
