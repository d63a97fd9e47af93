// What a thread of the broker's process waits for when somebody sets the clock. Nobody answers here.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CONTROL_STATES } from '../../../native-layout/control.ts';
import { InProcessConnection } from '../../../src/client/in-process.ts';
import { type Attachment, attachRegions, createRegions } from '../../../src/memory/regions.ts';
import { setBrokerState } from '../../../src/memory/seats.ts';

const HOUR_MS = 3_600_000;
const TIMEOUT_MS = 3_000;
const SIZES = {
  workerCount: 1,
  frontendCount: 0,
  partitionMax: 16,
  laneBytes: 4_096,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
};

let attachment: Attachment;
let connection: InProcessConnection;
let outcome: string;

beforeEach(() => {
  attachment = createRegions('clock', SIZES);
  connection = new InProcessConnection(attachment);
  outcome = 'waits';
});

afterEach(async () => {
  vi.restoreAllMocks();
  // Its seat is waited for otherwise.
  setBrokerState(attachRegions(attachment).control, CONTROL_STATES.stopped);
  await connection.close();
});

/** A question to the NameServer. */
function ask(): void {
  connection.route('later').catch((error) => {
    outcome = error.code;
  });
}

/** A turn of the thread's loop after a clock was moved. */
async function turnAfter(clock: typeof Date | Performance, byMs: number): Promise<void> {
  const now = clock.now.bind(clock);
  vi.spyOn(clock, 'now').mockImplementation(() => now() + byMs);
  connection.poll();
  await new Promise((resolve) => setImmediate(resolve));
}

test('a question goes on waiting when the clock is set ahead', async () => {
  ask();
  await turnAfter(Date, HOUR_MS);
  expect(outcome).toBe('waits');
});

test('a question has its time also when the clock was set back', async () => {
  connection.poll();
  ask();
  await turnAfter(Date, -HOUR_MS);
  expect(outcome).toBe('waits');
  await turnAfter(performance, TIMEOUT_MS);
  expect(outcome).toBe('timeout');
});
