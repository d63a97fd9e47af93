// What a thread of the broker's process waits for when somebody sets the clock. Nobody answers here, but for the route.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CONTROL_STATES, SEAT_FIRST_FREE, SEAT_NAMESERVER } from '../../../native-layout/control.ts';
import type { RingmqError } from '../../../src/base/codes.ts';
import { InProcessConnection } from '../../../src/client/in-process.ts';
import { LaneWriter } from '../../../src/memory/lane.ts';
import { attachRegions, createRegions, laneBack, type Regions } from '../../../src/memory/regions.ts';
import { setBrokerState } from '../../../src/memory/seats.ts';
import { tryPutFrame } from '../../../src/thread/control-lane.ts';
import { encodeFrame } from '../../../src/wire/codec.ts';
import type { Command } from '../../../src/wire/commands.ts';
import { routeOf } from '../../support/fake-outlet.ts';

const HOUR_MS = 3_600_000;
const QUESTION_MS = 3_000;
const SEND_MS = 1_000;
/** Or a little less. */
const ASK_AGAIN_MS = 600;
/** Housekeeping is due by then. */
const SOON_MS = 100;
const SIZES = {
  workerCount: 1,
  frontendCount: 0,
  partitionMax: 16,
  laneBytes: 65_536,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
};

let regions: Regions;
let connection: InProcessConnection;
let outcome: string;
/** By so many milliseconds the clocks were moved. */
let moved: { wall: number; steady: number };

beforeEach(() => {
  const attachment = createRegions('clock', SIZES);
  regions = attachRegions(attachment);
  connection = new InProcessConnection(attachment);
  outcome = 'waits';
  moved = { wall: 0, steady: 0 };
  const [wall, steady] = [Date.now.bind(Date), performance.now.bind(performance)];
  vi.spyOn(Date, 'now').mockImplementation(() => wall() + moved.wall);
  vi.spyOn(performance, 'now').mockImplementation(() => steady() + moved.steady);
});

afterEach(async () => {
  vi.restoreAllMocks();
  // Its seat is waited for otherwise.
  setBrokerState(regions.control, CONTROL_STATES.stopped);
  await connection.close(0);
});

const failed = (error: RingmqError): void => {
  outcome = error.code;
};

/** A turn of the thread's loop, after clocks were moved by so many milliseconds. */
async function turn(wallMs = 0, steadyMs = 0): Promise<void> {
  moved = { wall: moved.wall + wallMs, steady: moved.steady + steadyMs };
  connection.poll();
  await new Promise((resolve) => setImmediate(resolve));
}

/** The NameServer's answer to the n-th question, from 1 on. */
function answer(correlation: number, command: Command): void {
  const { laneWords, laneBytes, sizes } = regions;
  const lane = new LaneWriter(laneWords, laneBytes, laneBack(sizes, SEAT_FIRST_FREE, SEAT_NAMESERVER));
  tryPutFrame(lane, encodeFrame({ correlation, command }));
  lane.publish();
}

/** Something that is sent, and that nobody takes. */
async function send(): Promise<void> {
  const producer = connection.producer('t', { ack: 'accepted', timeoutMs: SEND_MS });
  producer.send('x').then(undefined, failed);
  answer(1, { type: 'route-reply', route: routeOf() });
  await turn();
  await turn();
  expect([producer.idle, outcome]).toEqual([false, 'waits']);
}

test('a question goes on waiting when the clock is set ahead', async () => {
  connection.route('t').catch(failed);
  await turn(HOUR_MS, SOON_MS);
  expect(outcome).toBe('waits');
});

test('a question has its time also when the clock was set back', async () => {
  connection.poll();
  connection.route('t').catch(failed);
  await turn(-HOUR_MS, SOON_MS);
  expect(outcome).toBe('waits');
  await turn(0, QUESTION_MS);
  expect(outcome).toBe('timeout');
});

test('a send goes on waiting when the clock is set ahead', async () => {
  await send();
  await turn(HOUR_MS, SOON_MS);
  expect(outcome).toBe('waits');
});

test('a send has its time also when the clock was set back', async () => {
  await send();
  await turn(-HOUR_MS, SOON_MS);
  expect(outcome).toBe('waits');
  await turn(0, SEND_MS);
  expect(outcome).toBe('timeout');
});

test('a consumer that gets no answer asks again, as often as it takes', async () => {
  connection.consumer('t', {}).ready().catch(failed);
  for (let question = 1; question < 4; question++) {
    await turn(0, QUESTION_MS);
    await turn(0, ASK_AGAIN_MS);
    expect([question, outcome]).toEqual([question, 'waits']);
  }
  answer(4, { type: 'refused', code: 'no-read-permission', text: '' });
  await turn();
  await turn();
  expect(outcome, 'the fourth question was asked').toBe('no-read-permission');
});

test('a pull that gets no answer ends', async () => {
  connection.pull({ topic: 't' }).catch(failed);
  await turn(0, QUESTION_MS);
  await turn();
  expect(outcome).toBe('timeout');
});
