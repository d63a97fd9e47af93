// A front end when somebody sets the clock: nobody's time is over, or goes on for ever, because of that.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CONTROL_STATES } from '../../../native-layout/control.ts';
import { makeLog } from '../../../src/base/log.ts';
import { FrontEnd } from '../../../src/frontend/front-end.ts';
import { type Socket, SUBPROTOCOLS } from '../../../src/frontend/transport/transport.ts';
import { attachRegions, createRegions } from '../../../src/memory/regions.ts';
import { setBrokerState } from '../../../src/memory/seats.ts';
import { HOUSEKEEP_MS } from '../../../src/thread/agent.ts';
import { until } from '../../support/until.ts';

const HOUR_MS = 3_600_000;
const HELLO_MS = 400;
const SIZES = {
  workerCount: 1,
  frontendCount: 1,
  partitionMax: 16,
  laneBytes: 65_536,
  replyBytes: 4_096,
  controlLaneBytes: 4_096,
};

let frontEnd: FrontEnd;
let control: Int32Array;
/** By so much the wall clock is set ahead. */
let ahead: number;
let closedWith: number | undefined;

beforeEach(() => {
  const attachment = createRegions('clock', SIZES);
  control = attachRegions(attachment).control;
  const config = {
    brokerName: 'test',
    host: '127.0.0.1',
    port: 0,
    shared: false,
    transport: 'ws',
    origins: [],
  } as const;
  const more = { connectionsMax: 10, systemMetrics: false, startedAt: 0, logLevel: 'silent', helloMs: HELLO_MS };
  frontEnd = new FrontEnd(attachment, { ...config, ...more }, 'test', makeLog('silent'), () => {});
  ahead = 0;
  closedWith = undefined;
  const wall = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => wall() + ahead);
});

afterEach(() => {
  vi.restoreAllMocks();
  setBrokerState(control, CONTROL_STATES.stopped);
  frontEnd.close();
});

/** Somebody connects and says nothing. */
function connects(): void {
  const socket: Socket = {
    protocol: SUBPROTOCOLS.binary,
    remoteAddress: '127.0.0.1',
    session: undefined,
    send: () => 0 as never,
    bufferedBytes: () => 0,
    cork: (sends) => sends(),
    close: (code) => {
      closedWith = code;
    },
    terminate: () => {},
  };
  frontEnd.opened(socket);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('who has not said hello yet is not closed when the clock is set ahead', async () => {
  connects();
  ahead = HOUR_MS;
  await pause(3 * HOUSEKEEP_MS);
  expect(closedWith).toBeUndefined();
});

test('who never says hello is closed in time although the clock was set back', async () => {
  connects();
  ahead = -HOUR_MS;
  await until(() => closedWith !== undefined, 'it is closed', 10 * HELLO_MS);
  expect(closedWith).toBe(4501);
});
