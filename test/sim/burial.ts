// What the supervisor does for seats of threads that have ended: see src/thread/supervisor.ts.
import { SEAT_FIRST_FREE, SEAT_STATES, SEATS_MAX } from '../../native-layout/control.ts';
import { PARTITION_STATES } from '../../native-layout/partition-table.ts';
import type { Bells } from '../../src/memory/bell.ts';
import { partitionState, readIdentity } from '../../src/memory/partition-entry.ts';
import type { Regions } from '../../src/memory/regions.ts';
import { releaseSlotsOf } from '../../src/memory/ring-reader.ts';
import { burySeat, openLanes, partitionsUsed, releaseSeat, seatState } from '../../src/memory/seats.ts';

/** A thread that took part has ended: its slots are freed, its lanes drained, then its seat is given to others. */
export function bury({ control, table }: Regions, bells: Bells, seat: number): void {
  for (let partition = 0; partition < partitionsUsed(control); partition++) {
    if (partitionState(table, partition) === PARTITION_STATES.free) continue;
    const owner = releaseSlotsOf(table, partition, seat) > 0 ? readIdentity(table, partition)?.owner : undefined;
    if (owner !== undefined) bells.rouse(owner);
  }
  burySeat(control, seat);
}

/** Seats whose lanes all servers have closed can be taken again. */
export function sweepSeats({ control }: Regions, servers: readonly number[]): void {
  for (let seat = SEAT_FIRST_FREE; seat < SEATS_MAX; seat++) {
    if (seatState(control, seat) !== SEAT_STATES.dead) continue;
    const half = (seat >> 5) as 0 | 1;
    const bit = 1 << (seat & 31);
    if (servers.every((server) => (openLanes(control, server, half) & bit) === 0)) releaseSeat(control, seat);
  }
}
