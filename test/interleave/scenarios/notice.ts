// Notice rings by themselves: entries are written before they are shown and reused only after they were taken.
import { LANE_HEAD, LANE_TAIL, NOTICE_CONTROL_BYTES } from '../../../native-layout/lane.ts';
import { NONE } from '../../../src/memory/lane.ts';
import { NoticeReader, NoticeWriter } from '../../../src/memory/notice.ts';
import type { Scenario } from '../engine.ts';
import { check } from './support.ts';

const ENTRIES = 2;
const PLACE = { byte: 0, capacity: ENTRIES * 4 };

function reuse(start: number, pushes: number): Scenario {
  return {
    name: `notice: ${pushes} notices through ${ENTRIES} entries, from ${start}`,
    regions: { notices: NOTICE_CONTROL_BYTES + PLACE.capacity },
    setup: ({ notices }) => {
      notices.words[LANE_TAIL] = notices.words[LANE_HEAD] = start;
    },
    actors: [
      {
        name: 'worker',
        run: ({ at }) => {
          const { words } = at.notices;
          const writer = new NoticeWriter(words, PLACE);
          for (let sent = 0; sent < pushes; sent++) {
            const free = Atomics.load(words, LANE_HEAD) + ENTRIES;
            if (((start + sent - free) | 0) >= 0) return sent;
            writer.push(100 + sent);
          }
          return pushes;
        },
      },
      {
        name: 'reading thread',
        run: ({ at }) => {
          const reader = new NoticeReader(at.notices.words, PLACE);
          let next = 100;
          for (let look = 0; look <= pushes; look++) {
            const partition = reader.take();
            if (partition !== NONE) check(partition === next++, 'notice I2: a notice is whole before it is seen');
          }
          return next - 100;
        },
      },
    ],
    finish: (_at, [sent, got]) => check((got as number) <= (sent as number), 'nothing is taken that was not pushed'),
  };
}

export const NOTICE_SCENARIOS: readonly Scenario[] = [reuse(0, 4), reuse(0x7fffffff, 4)];
export const NOTICE_DEEP: readonly Scenario[] = [reuse(0x7ffffffe, 7)];
