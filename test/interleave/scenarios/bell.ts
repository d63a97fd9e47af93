// Doorbells: no wake-up is lost. A lost one shows as a deadlock, because waits never time out here.
import { Bells, Doorbell } from '../../../src/memory/bell.ts';
import type { Actor, Scenario } from '../engine.ts';
import { CONTROL_BYTES, READER } from './support.ts';

const REGIONS = { control: CONTROL_BYTES, news: 8 };

function waker(name: string): Actor {
  return {
    name,
    run: ({ at }) => {
      Atomics.add(at.news.words, 0, 1);
      new Bells(at.control.words).ring(READER);
    },
  };
}

/** Sleeps until `wanted` pieces of news were seen. */
function sleeper(wanted: number): Actor {
  return {
    name: 'sleeper',
    run: ({ at }) => {
      const bell = new Doorbell(at.control.words, READER);
      while (Atomics.load(at.news.words, 0) < wanted) {
        bell.park();
        if (Atomics.load(at.news.words, 0) >= wanted) bell.unpark();
        else bell.wait(1000);
      }
    },
  };
}

/** An event loop: it parks, is called away by a socket before it is rung, and parks again. */
function eventLoop(wanted: number, calledAway: boolean): Actor {
  return {
    name: 'event loop',
    run: ({ at, until }) => {
      const bell = new Doorbell(at.control.words, READER);
      if (calledAway) {
        bell.park();
        bell.waitAsync(1000);
        bell.unpark();
      }
      while (Atomics.load(at.news.words, 0) < wanted) {
        bell.park();
        const rung = Atomics.load(at.news.words, 0) < wanted ? bell.waitAsync(1000) : undefined;
        if (rung) until(rung);
        bell.unpark();
      }
    },
  };
}

/** I2: whoever swapped notifies; nobody else has to. Counted through the number of notify calls in the trace. */
export const BELL_SCENARIOS: readonly Scenario[] = [
  { name: 'bell: one waker, one sleeper', regions: REGIONS, actors: [waker('waker'), sleeper(1)] },
  { name: 'bell: two wakers, one sleeper', regions: REGIONS, actors: [waker('one'), waker('two'), sleeper(2)] },
  { name: 'bell: one waker, an event loop', regions: REGIONS, actors: [waker('waker'), eventLoop(1, false)] },
  {
    name: 'bell: a given-up promise does not swallow the wake-up of the next',
    regions: REGIONS,
    actors: [waker('one'), waker('two'), eventLoop(2, true)],
  },
];

export const BELL_DEEP: readonly Scenario[] = [
  {
    name: 'bell: three wakers, one sleeper',
    regions: REGIONS,
    actors: [waker('one'), waker('two'), waker('three'), sleeper(3)],
  },
];
