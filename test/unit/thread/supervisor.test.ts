import { expect, test } from 'vitest';
import { SEAT_LOG_READER, SEAT_STATES } from '../../../native-layout/control.ts';
import { makeLog } from '../../../src/base/log.ts';
import { burySeat, claimSeat, closeLane, openLane, seatState } from '../../../src/memory/seats.ts';
import { Supervisor } from '../../../src/thread/supervisor.ts';
import { Table } from '../../support/engine-table.ts';
import { until } from '../../support/until.ts';

test('a seat that was given up can be taken again when the log reader has closed its lane too', async () => {
  const { attachment, regions } = new Table(true);
  const supervisor = new Supervisor(attachment, makeLog('silent'), () => {});
  try {
    const { control } = regions;
    for (const seat of [30, 31]) {
      claimSeat(control, seat, seat, 'embedded', 99);
      burySeat(control, seat);
    }
    openLane(control, SEAT_LOG_READER, 30);
    const free = (seat: number): boolean => seatState(control, seat) === SEAT_STATES.free;
    await until(() => free(31), 'the seat without a lane is free');
    expect(free(30)).toBe(false);
    closeLane(control, SEAT_LOG_READER, 30);
    await until(() => free(30), 'the other one is free');
  } finally {
    await supervisor.finish(1_000);
  }
});
