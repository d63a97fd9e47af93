// Members of the group `g` on the topic `t`, what they have handled, and messages for them.
import type { Connection, Consumer, ConsumerOptions } from '../../../src/client/connection.ts';

/** Message i has the key `k<i % KEYS>`. */
export const KEYS = 16;

/** What the members of a group have handled, and how often. */
export class Handled {
  readonly times = new Map<string, number>();
  readonly by = new Map<string, string[]>();

  readonly take = (member: string, text: string): void => {
    this.times.set(text, (this.times.get(text) ?? 0) + 1);
    this.by.set(member, [...(this.by.get(member) ?? []), text]);
  };

  countOf(member: string): number {
    return this.by.get(member)?.length ?? 0;
  }

  get twice(): string[] {
    return [...this.times].filter(([, times]) => times > 1).map(([text]) => text);
  }
}

export function member(bus: Connection, name: string, handled: Handled, options: ConsumerOptions = {}): Consumer {
  return bus.consumer('t', {
    group: 'g',
    member: name,
    from: 'earliest',
    commitMs: 20,
    onMessage: (message) => handled.take(name, message.text()),
    ...options,
  });
}

/** Settles when all are stored, also while brokers come and go. */
export async function sendNumbers(bus: Connection, from: number, to: number): Promise<void> {
  const producer = bus.producer('t', { attemptsMax: Number.POSITIVE_INFINITY, timeoutMs: 20_000 });
  for (let i = from; i < to; i++) void producer.send(`${i}`, { key: `k${i % KEYS}` });
  await producer.close();
}
