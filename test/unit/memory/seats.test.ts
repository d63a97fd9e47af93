import { expect, test } from 'vitest';
import {
  CONTROL_STATES,
  SEAT_BELL,
  SEAT_GENERATION,
  SEAT_ROLES,
  SEAT_STATES,
  SEATS_MAX,
} from '../../../native-layout/control.ts';
import { seatWord } from '../../../src/memory/bell.ts';
import { NONE } from '../../../src/memory/lane.ts';
import {
  beat,
  brokerState,
  burySeat,
  claimSeat,
  closeLane,
  heartbeat,
  openLane,
  openLanes,
  releaseSeat,
  routeVersion,
  seatRole,
  seatState,
  seatsOfThread,
  setBrokerState,
  setRouteVersion,
} from '../../../src/memory/seats.ts';
import { controlBlock } from './support.ts';

test('a given seat is taken once', () => {
  const control = controlBlock();
  expect(claimSeat(control, 4, 4, 'broker', 77)).toBe(4);
  expect([seatState(control, 4), seatRole(control, 4)]).toEqual([SEAT_STATES.taken, SEAT_ROLES.broker]);
  expect(claimSeat(control, 4, 4, 'broker', 78)).toBe(NONE);
});

test('embedding threads take the first free seat of a range, until there is none', () => {
  const control = controlBlock();
  claimSeat(control, 61, 61, 'frontend', 1);
  const taken = [1, 2, 3, 4].map((thread) => claimSeat(control, 60, SEATS_MAX + 10, 'embedded', thread));
  expect(taken).toEqual([60, 62, 63, NONE]);
});

test('I1: a seat given back is free again; a buried one is not until its holder is cleared away', () => {
  const control = controlBlock();
  claimSeat(control, 9, 9, 'embedded', 5);
  burySeat(control, 9);
  expect(seatState(control, 9)).toBe(SEAT_STATES.dead);
  expect(claimSeat(control, 9, 9, 'embedded', 6)).toBe(NONE);
  expect(seatsOfThread(control, 5)).toEqual([]);
  releaseSeat(control, 9);
  expect([seatState(control, 9), seatRole(control, 9)]).toEqual([SEAT_STATES.free, SEAT_ROLES.none]);
  expect(claimSeat(control, 9, 9, 'embedded', 6)).toBe(9);
});

test('each claim is a new generation and begins awake', () => {
  const control = controlBlock();
  for (let generation = 1; generation <= 3; generation++) {
    control[seatWord(9) + SEAT_BELL] = 1;
    claimSeat(control, 9, 9, 'embedded', 5);
    expect(control[seatWord(9) + SEAT_GENERATION]).toBe(generation);
    expect(control[seatWord(9) + SEAT_BELL]).toBe(0);
    releaseSeat(control, 9);
  }
});

test('seatsOfThread finds all seats of a thread and no others', () => {
  const control = controlBlock();
  for (const [seat, thread] of [
    [3, 10],
    [20, 11],
    [63, 10],
  ]) {
    claimSeat(control, seat, seat, 'embedded', thread);
  }
  expect(seatsOfThread(control, 10)).toEqual([3, 63]);
  expect(seatsOfThread(control, 12)).toEqual([]);
});

test('heartbeats are counted per seat', () => {
  const control = controlBlock();
  beat(control, 2);
  beat(control, 2);
  expect([heartbeat(control, 2), heartbeat(control, 3)]).toEqual([2, 0]);
});

test('open lanes are a bit per seat in two halves', () => {
  const control = controlBlock();
  for (const seat of [0, 31, 32, 63]) openLane(control, 2, seat);
  expect([openLanes(control, 2, 0) >>> 0, openLanes(control, 2, 1) >>> 0]).toEqual([0x80000001, 0x80000001]);
  closeLane(control, 2, 31);
  closeLane(control, 2, 32);
  expect([openLanes(control, 2, 0), openLanes(control, 2, 1) >>> 0]).toEqual([1, 0x80000000]);
  expect(openLanes(control, 3, 0)).toBe(0);
});

test('broker state and route version are words of the header', () => {
  const control = controlBlock();
  setBrokerState(control, CONTROL_STATES.running);
  setRouteVersion(control, 12);
  expect([brokerState(control), routeVersion(control)]).toEqual([CONTROL_STATES.running, 12]);
});
