// Every order of the atomic steps of src/memory, in small scenarios. RINGMQ_EXPLORE=deep adds longer ones (minutes).
// A failure prints its schedule: a digit is a step of that actor, a letter the death of one (a: actor 0). explorer.ts
// has replay(scenario, schedule).
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Bells, Doorbell } from '../../src/memory/bell.ts';
import type { Scenario, World } from './engine.ts';
import { explore, replay, ScheduleFailure } from './explorer.ts';
import { DEEP, SCENARIOS } from './scenarios/all.ts';
import { CONTROL_BYTES, check, READER } from './scenarios/support.ts';

const MEMORY = new URL('../../src/memory/', import.meta.url);
const DEEP_TIMEOUT_MS = 900_000;

describe('every schedule is right', () => {
  test.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('%s', (_name, scenario) => {
    expect(explore(scenario).schedules).toBeGreaterThan(1);
  });
});

describe.runIf(process.env.RINGMQ_EXPLORE === 'deep')('every longer schedule is right', () => {
  test.each(DEEP.map((scenario) => [scenario.name, scenario] as const))(
    '%s',
    (_name, scenario) => {
      const { states, schedules } = explore(scenario, 14_000_000);
      console.log(`${scenario.name}: ${schedules.toExponential(2)} schedules, ${states} states`);
    },
    DEEP_TIMEOUT_MS,
  );
});

/** A mailbox whose writer publishes before it writes, or without an atomic store. */
function mailbox(write: (words: Int32Array) => void): Scenario {
  return {
    name: 'mailbox',
    regions: { box: 8 },
    actors: [
      { name: 'writer', run: ({ at }) => write(at.box.words) },
      {
        name: 'reader',
        run: ({ at }) => {
          if (Atomics.load(at.box.words, 0) === 1) check(at.box.words[1] === 42, 'read before it was written');
        },
      },
    ],
  };
}

function sleepy(recheck: boolean): Scenario {
  return {
    name: 'sleepy',
    regions: { control: CONTROL_BYTES, news: 4 },
    actors: [
      {
        name: 'waker',
        run: ({ at }) => {
          Atomics.store(at.news.words, 0, 1);
          new Bells(at.control.words).ring(READER);
        },
      },
      {
        name: 'sleeper',
        run: ({ at }) => {
          const bell = new Doorbell(at.control.words, READER);
          if (Atomics.load(at.news.words, 0) === 1) return;
          bell.park();
          if (!recheck || Atomics.load(at.news.words, 0) === 0) bell.wait(1000);
        },
      },
    ],
  };
}

function failureOf(scenario: Scenario): ScheduleFailure {
  try {
    explore(scenario);
  } catch (error) {
    if (error instanceof ScheduleFailure) return error;
    throw error;
  }
  throw new Error('the explorer found nothing');
}

describe('the explorer finds what is wrong', () => {
  test('a cursor that is published before its bytes is a race', () => {
    const broken = mailbox((words) => {
      Atomics.store(words, 0, 1);
      words[1] = 42;
    });
    expect(failureOf(broken).message).toContain('race on box[1]');
  });

  test('a cursor that is published by a plain store is a race', () => {
    const broken = mailbox((words) => {
      words[1] = 42;
      words[0] = 1;
    });
    expect(failureOf(broken).message).toContain('race on box[0]');
  });

  test('a mailbox that is written first and published atomically is neither', () => {
    const right = mailbox((words) => {
      words[1] = 42;
      Atomics.store(words, 0, 1);
    });
    expect(explore(right).schedules).toBe(2);
  });

  test('a sleeper that does not look again after parking is a lost wake-up', () => {
    expect(failureOf(sleepy(false)).message).toContain('deadlock: sleeper');
    expect(explore(sleepy(true)).schedules).toBeGreaterThan(2);
  });

  test('a failing schedule can be replayed', () => {
    const { schedule } = failureOf(sleepy(false));
    expect(() => replay(sleepy(false), schedule)).toThrow('deadlock');
    expect(replay(sleepy(true), '0').length).toBe(1);
  });

  test('three actors of two steps each on one word have 90 schedules', () => {
    const run = ({ at }: World): void => {
      Atomics.add(at.box.words, 0, 1);
      Atomics.add(at.box.words, 0, 1);
    };
    const actors = [0, 1, 2].map((number) => ({ name: `actor ${number}`, run }));
    expect(explore({ name: 'count', regions: { box: 16 }, actors }).schedules).toBe(90);
  });
});

test('src/memory catches no exceptions, which the explorer unwinds with', () => {
  for (const file of readdirSync(MEMORY)) {
    expect(readFileSync(new URL(file, MEMORY), 'utf8'), file).not.toMatch(/\b(try|catch|finally)\s*[({]/);
  }
});
