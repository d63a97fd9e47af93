// What tests do with lease windows: read, take, let time pass.
import { LeaseWindow } from '../../../src/group/lease-window.ts';

/** A window with messages [from, to) of no key in one chunk; tells what was released. */
export function windowOf(from: number, to: number, keyOf: (offset: number) => number = () => 0) {
  const released: number[] = [];
  const window = new LeaseWindow((chunk) => released.push(chunk));
  window.begin(from);
  read(window, to, keyOf);
  return { window, released };
}

export function read(window: LeaseWindow, to: number, keyOf: (offset: number) => number = () => 0): void {
  for (let offset = window.top; offset < to; offset++) window.add(offset, 7, 64, keyOf(offset), 0, 0);
  window.readTo(to);
}

export function take(window: LeaseWindow, max: number, token: number, until: number, byPriority = false): number[] {
  const taken: number[] = [];
  while (taken.length < max) {
    const offset = window.peek(byPriority);
    if (offset < 0) break;
    window.lease(offset, token, until);
    taken.push(offset);
  }
  return taken;
}

export function expire(window: LeaseWindow, nowMs: number): number[] {
  const due: number[] = [];
  window.expired(nowMs, due);
  for (const offset of due) window.giveBack(offset);
  return due;
}
