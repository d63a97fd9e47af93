// The part of an address behind the question mark, checked.
import { RingmqError } from '../../base/codes.ts';

export class Query {
  private readonly values: URLSearchParams;

  /** Throws `illegal-argument` for a name that is not in `known`. */
  constructor(query: string, known: readonly string[]) {
    this.values = new URLSearchParams(query);
    for (const name of this.values.keys()) {
      if (!known.includes(name)) {
        throw new RingmqError('illegal-argument', `${JSON.stringify(name)}: known are ${known.join(', ')}`);
      }
    }
  }

  text(name: string): string {
    return this.values.get(name) ?? '';
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  flag(name: string): boolean {
    const value = this.values.get(name);
    return value === '1' || value === 'true' || value === '';
  }

  /** A whole number from 0 on. */
  count(name: string, otherwise: number): number {
    const text = this.values.get(name);
    if (text === null) return otherwise;
    const value = Number(text);
    if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
      throw new RingmqError('illegal-argument', `${name} is ${JSON.stringify(text)}: a whole number`);
    }
    return value;
  }
}
