// How the product's own code is broken on purpose for the time of a run, to see it found out.
import { expect, test } from 'vitest';
import type { Sabotage, SimReport } from './options.ts';
import { simulate } from './simulation.ts';

const WITHIN_SEEDS = 60;
export const LIMIT_MS = 120_000;
/** What waits for ever has been found out by then. */
const BREACH_TURNS_MAX = 40_000;

/** A sabotage of the product's own code, and what the books call it. `first`: a seed near which it is found. */
export interface Breach {
  readonly first: number;
  readonly finds: RegExp;
  readonly sabotage: Sabotage;
}

export type Method = (this: never, ...parameters: never[]) => unknown;

/** A method does something else for a while. `change`: made of what it was. */
export function broken<T extends Method>(
  type: { readonly prototype: object },
  name: string,
  change: (was: T) => T,
): Sabotage {
  return {
    breaks: () => {
      const prototype = type.prototype as Record<string, T>;
      const was = prototype[name];
      prototype[name] = change(was);
      return () => {
        prototype[name] = was;
      };
    },
  };
}

export function both(a: Sabotage, b: Sabotage): Sabotage {
  return {
    breaks: () => {
      const mends = [a.breaks?.(), b.breaks?.()];
      return () => {
        for (const mend of mends) mend?.();
      };
    },
  };
}

export async function firstGuilty(
  sabotage: Sabotage,
  first = 1,
  finds = /^/,
  turnsMax?: number,
): Promise<SimReport | undefined> {
  for (let seed = first; seed < first + WITHIN_SEEDS; seed++) {
    const report = await simulate({ seed, sabotage, ...(turnsMax && { turnsMax }) });
    await new Promise((resolve) => setImmediate(resolve));
    if (report.anomalies.some((one) => finds.test(one))) return report;
  }
  return undefined;
}

/** A test for each: it is found near its first seed. */
export function testBreaches(breaches: Readonly<Record<string, Breach>>): void {
  test.each(Object.keys(breaches))(
    '%s',
    async (name) => {
      const { sabotage, finds, first } = breaches[name];
      const report = await firstGuilty(sabotage, first, finds, BREACH_TURNS_MAX);
      expect(report, `${WITHIN_SEEDS} seeds found nothing like that`).toBeDefined();
    },
    LIMIT_MS,
  );
}
