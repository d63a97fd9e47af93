// Seats: how a thread takes part, shows that it lives, and is cleared away when it has died.
//
// Who writes: STATE by compare-exchange (anybody free -> taken; the holder or the supervisor back to free); the rest,
// the seat's holder.
// I1  A seat is given back only by its holder, or by the supervisor after the holder's thread is known to have ended.
import {
  CONTROL_PARTITIONS_USED,
  CONTROL_ROUTE_VERSION,
  CONTROL_STATE,
  SEAT_BELL,
  SEAT_GENERATION,
  SEAT_HEARTBEAT,
  SEAT_LANES_OPEN,
  SEAT_ROLE,
  SEAT_ROLES,
  SEAT_STATE,
  SEAT_STATES,
  SEAT_THREAD,
  SEATS_MAX,
} from '../../native-layout/control.ts';
import { seatWord } from './bell.ts';
import { NONE } from './lane.ts';

export type SeatRole = keyof typeof SEAT_ROLES;

/**
 * Takes a given seat (server threads) or the first free one from `first` on (embedding threads). NONE if none is free.
 */
export function claimSeat(control: Int32Array, first: number, last: number, role: SeatRole, threadId: number): number {
  for (let seat = first; seat <= last && seat < SEATS_MAX; seat++) {
    const word = seatWord(seat);
    // CLAIM -> releaseSeat()
    if (Atomics.compareExchange(control, word + SEAT_STATE, SEAT_STATES.free, SEAT_STATES.taken) === SEAT_STATES.free) {
      Atomics.store(control, word + SEAT_THREAD, threadId);
      Atomics.store(control, word + SEAT_ROLE, SEAT_ROLES[role]);
      Atomics.store(control, word + SEAT_BELL, 0);
      Atomics.add(control, word + SEAT_GENERATION, 1);
      return seat;
    }
  }
  return NONE;
}

/** Gives a seat back. */
export function releaseSeat(control: Int32Array, seat: number): void {
  const word = seatWord(seat);
  Atomics.store(control, word + SEAT_ROLE, SEAT_ROLES.none);
  Atomics.store(control, word + SEAT_THREAD, 0);
  Atomics.store(control, word + SEAT_STATE, SEAT_STATES.free);
}

/** Marks a seat whose thread has ended or left but whose lanes have not been drained yet: nobody may take it. */
export function burySeat(control: Int32Array, seat: number): void {
  Atomics.store(control, seatWord(seat) + SEAT_STATE, SEAT_STATES.dead);
}

/** STATE word of a seat. */
export function seatState(control: Int32Array, seat: number): number {
  return Atomics.load(control, seatWord(seat) + SEAT_STATE);
}

/** Which of its holders a seat has, or had last. HOT */
export function seatGeneration(control: Int32Array, seat: number): number {
  return Atomics.load(control, seatWord(seat) + SEAT_GENERATION);
}

/** ROLE word of a seat: one of SEAT_ROLES. */
export function seatRole(control: Int32Array, seat: number): number {
  return Atomics.load(control, seatWord(seat) + SEAT_ROLE);
}

/** Seats that a thread holds. */
export function seatsOfThread(control: Int32Array, threadId: number): number[] {
  const seats: number[] = [];
  for (let seat = 0; seat < SEATS_MAX; seat++) {
    const word = seatWord(seat);
    if (Atomics.load(control, word + SEAT_STATE) !== SEAT_STATES.taken) continue;
    if (Atomics.load(control, word + SEAT_THREAD) === threadId) seats.push(seat);
  }
  return seats;
}

/** One more sign of life. */
export function beat(control: Int32Array, seat: number): void {
  Atomics.add(control, seatWord(seat) + SEAT_HEARTBEAT, 1);
}

/** The count of signs of life: only its change means something. */
export function heartbeat(control: Int32Array, seat: number): number {
  return Atomics.load(control, seatWord(seat) + SEAT_HEARTBEAT);
}

/** Tells a server thread that `fromSeat` uses its lane from now on. */
export function openLane(control: Int32Array, serverSeat: number, fromSeat: number): void {
  Atomics.or(control, seatWord(serverSeat) + SEAT_LANES_OPEN + (fromSeat >> 5), 1 << (fromSeat & 31));
}

/** Takes openLane() back: the lane is empty and its producer gone. */
export function closeLane(control: Int32Array, serverSeat: number, fromSeat: number): void {
  Atomics.and(control, seatWord(serverSeat) + SEAT_LANES_OPEN + (fromSeat >> 5), ~(1 << (fromSeat & 31)));
}

/** Which seats have an open lane into this one: low half (seats 0-31) or high half. */
export function openLanes(control: Int32Array, serverSeat: number, half: 0 | 1): number {
  return Atomics.load(control, seatWord(serverSeat) + SEAT_LANES_OPEN + half);
}

/** The broker's life: one of CONTROL_STATES. */
export function brokerState(control: Int32Array): number {
  return Atomics.load(control, CONTROL_STATE);
}

/** Supervisor only. */
export function setBrokerState(control: Int32Array, state: number): void {
  Atomics.store(control, CONTROL_STATE, state);
}

/** Count of route changes since the start. */
export function routeVersion(control: Int32Array): number {
  return Atomics.load(control, CONTROL_ROUTE_VERSION);
}

/** Partition ids below this one may be in use. */
export function partitionsUsed(control: Int32Array): number {
  return Atomics.load(control, CONTROL_PARTITIONS_USED);
}

/** NameServer only; before it activates the partition. */
export function setPartitionsUsed(control: Int32Array, used: number): void {
  Atomics.store(control, CONTROL_PARTITIONS_USED, used);
}

/** NameServer only. */
export function setRouteVersion(control: Int32Array, version: number): void {
  Atomics.store(control, CONTROL_ROUTE_VERSION, version);
}
