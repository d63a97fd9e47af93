// The lease window: every rule by itself. Random histories: lease-window-model.test.ts.
import { describe, expect, test } from 'vitest';
import { LEASE_SPAN_MAX, LeaseWindow } from '../../../src/group/lease-window.ts';
import { expire, read, take, windowOf } from './lease-moves.ts';

describe('taking and settling', () => {
  test('messages are handed on in order, each once', () => {
    const { window } = windowOf(10, 15);
    expect(take(window, 3, 1, 100)).toEqual([10, 11, 12]);
    expect(take(window, 3, 2, 100)).toEqual([13, 14]);
    expect(window.leased).toBe(5);
    expect(window.ready).toBe(0);
  });

  test('acks in any order move the floor past what is complete, and release the bytes', () => {
    const { window, released } = windowOf(0, 4);
    take(window, 4, 1, 100);
    window.ack(2);
    window.ack(1);
    expect(window.floor).toBe(0);
    window.ack(0);
    expect(window.floor).toBe(3);
    expect(released).toEqual([7, 7, 7]);
    window.ack(3);
    expect(window.floor).toBe(4);
    expect(window.empty).toBe(true);
  });

  test('a lease is held by its token only, and by nobody once it is settled', () => {
    const { window } = windowOf(0, 2);
    take(window, 1, 5, 100);
    expect(window.holds(0, 5)).toBe(true);
    expect(window.holds(0, 6)).toBe(false);
    expect(window.holds(1, 5)).toBe(false);
    expect(window.holds(9, 5)).toBe(false);
    window.ack(0);
    expect(window.holds(0, 5)).toBe(false);
  });

  test('a lease of nobody cannot be settled', () => {
    const { window } = windowOf(0, 1);
    take(window, 1, 5, 100);
    window.keep(0, 0, 200);
    expect(window.holds(0, 0)).toBe(false);
    expect(window.holds(0, 5)).toBe(false);
  });

  test('what nobody wants counts as acknowledged', () => {
    const { window } = windowOf(0, 0);
    window.add(1, 7, 64, 0, 0, 0);
    window.readTo(3);
    expect(window.floor).toBe(1);
    expect(take(window, 9, 1, 100)).toEqual([1]);
    window.ack(1);
    expect(window.floor).toBe(3);
  });

  test('at most 16,384 messages lie between the floor and the newest lease', () => {
    const { window } = windowOf(0, LEASE_SPAN_MAX + 10);
    expect(take(window, LEASE_SPAN_MAX + 10, 1, 100)).toHaveLength(LEASE_SPAN_MAX);
    expect(window.peek(false)).toBe(-1);
    expect(window.ready).toBe(10);
    window.ack(5);
    expect(take(window, 9, 1, 100)).toEqual([]);
    window.ack(0);
    expect(take(window, 9, 1, 100)).toEqual([LEASE_SPAN_MAX]);
  });
});

describe('time', () => {
  test('a lease that runs out is ready again, in its place, with one more delivery', () => {
    const { window } = windowOf(0, 3);
    take(window, 2, 1, 100);
    expect(expire(window, 99)).toEqual([]);
    expect(expire(window, 100)).toEqual([0, 1]);
    expect(window.holds(0, 1)).toBe(false);
    expect(take(window, 1, 2, 300)).toEqual([0]);
    expect(window.deliveriesOf(0)).toBe(2);
  });

  test('a prolonged lease runs out at its new time', () => {
    const { window } = windowOf(0, 1);
    take(window, 1, 1, 100);
    window.keep(0, 1, 250);
    expect(expire(window, 200)).toEqual([]);
    expect(window.holds(0, 1)).toBe(true);
    expect(expire(window, 250)).toEqual([0]);
  });

  test('a shortened lease runs out at its new time', () => {
    const { window } = windowOf(0, 2);
    take(window, 2, 1, 1_000);
    window.keep(1, 1, 20);
    expect(expire(window, 20)).toEqual([1]);
    expect(expire(window, 1_000)).toEqual([0]);
  });

  test('a lease that was not handed out does not count as a delivery', () => {
    const { window } = windowOf(0, 1);
    take(window, 1, 1, 100);
    window.giveBack(0, false);
    take(window, 1, 2, 100);
    expect(window.deliveriesOf(0)).toBe(1);
  });

  test('a message on its way elsewhere does not run out', () => {
    const { window } = windowOf(0, 1);
    take(window, 1, 1, 100);
    window.move(0, 0);
    expect(expire(window, 500)).toEqual([]);
    expect(window.holds(0, 1)).toBe(false);
    window.ack(0);
    expect(window.floor).toBe(1);
    expect(window.leased).toBe(0);
  });
});

describe('keys and priorities', () => {
  test('a message waits until the one before it of its key is acknowledged', () => {
    const { window } = windowOf(0, 6, (offset) => (offset % 2) + 1);
    expect(take(window, 9, 1, 100)).toEqual([0, 1]);
    expect(window.blocked).toBe(4);
    window.ack(1);
    expect(take(window, 9, 2, 100)).toEqual([3]);
    expect(expire(window, 100)).toEqual([0, 3]);
    expect(take(window, 9, 3, 200)).toEqual([0, 3]);
  });

  test('messages without a key wait for nobody', () => {
    const { window } = windowOf(0, 4, (offset) => (offset < 2 ? 9 : 0));
    expect(take(window, 9, 1, 100)).toEqual([0, 2, 3]);
  });

  test('a key that was acknowledged as a whole begins anew', () => {
    const { window } = windowOf(0, 2, () => 9);
    take(window, 9, 1, 100);
    window.ack(0);
    take(window, 9, 1, 100);
    window.ack(1);
    read(window, 4, () => 9);
    expect(take(window, 9, 2, 100)).toEqual([2]);
  });

  test('the highest priority comes first if that is asked for, and order otherwise', () => {
    const { window } = windowOf(0, 0);
    for (let offset = 0; offset < 6; offset++) window.add(offset, 7, 64, 0, [0, 3, 0, 9, 3, 0][offset], 0);
    window.readTo(6);
    expect(take(window, 2, 1, 100, true)).toEqual([3, 1]);
    expect(take(window, 2, 1, 100)).toEqual([0, 2]);
    expect(take(window, 9, 1, 100, true)).toEqual([4, 5]);
  });

  test('failures elsewhere count', () => {
    const { window } = windowOf(0, 0);
    window.add(0, 7, 64, 0, 0, 3);
    window.readTo(1);
    take(window, 1, 1, 100);
    expect(window.deliveriesOf(0)).toBe(4);
  });
});

describe('a successor', () => {
  test('leases of before are neither ready nor lost, and their tokens are good', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 3, to: 5, token: 8, until: 100, deliveries: 2 });
    window.begin(2);
    read(window, 7);
    expect(take(window, 9, 9, 200)).toEqual([2, 5, 6]);
    expect(window.holds(3, 8)).toBe(true);
    window.ack(3);
    expect(expire(window, 100)).toEqual([4]);
    expect(take(window, 9, 9, 200)).toEqual([4]);
    expect(window.deliveriesOf(4)).toBe(3);
  });

  test('a lease that is settled before its message was read is not delivered', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 3, to: 5, token: 8, until: 100, deliveries: 1 });
    window.begin(2);
    expect(window.holds(4, 8)).toBe(true);
    window.ack(4);
    read(window, 6);
    expect(take(window, 9, 9, 200)).toEqual([2, 5]);
  });

  test('a lease that runs out before its message was read keeps its deliveries', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 3, to: 4, token: 8, until: 100, deliveries: 5 });
    window.begin(3);
    expect(expire(window, 100)).toEqual([3]);
    read(window, 4);
    expect(take(window, 9, 9, 200)).toEqual([3]);
    expect(window.deliveriesOf(3)).toBe(6);
  });

  test('leases of before may share a key, and are settled in any order', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 0, to: 3, token: 8, until: 100, deliveries: 1 });
    window.begin(0);
    read(window, 5, () => 9);
    window.ack(1);
    expect(take(window, 9, 9, 200)).toEqual([]);
    window.ack(0);
    window.ack(2);
    expect(take(window, 9, 9, 200)).toEqual([3]);
  });

  test('the newest word on a lease counts', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 0, to: 4, token: 8, until: 100, deliveries: 1 });
    window.restore({ from: 1, to: 2, token: 9, until: 300, deliveries: 2 });
    expect([...window.runs()]).toEqual([
      { from: 0, to: 1, token: 8, until: 100, deliveries: 1 },
      { from: 1, to: 2, token: 9, until: 300, deliveries: 2 },
      { from: 2, to: 4, token: 8, until: 100, deliveries: 1 },
    ]);
  });

  test('what the floor has passed is forgotten', () => {
    const window = new LeaseWindow(() => {});
    window.restore({ from: 0, to: 4, token: 8, until: 100, deliveries: 1 });
    window.begin(3);
    expect([...window.runs()]).toEqual([{ from: 3, to: 4, token: 8, until: 100, deliveries: 1 }]);
    expect(window.leased).toBe(1);
    window.begin(90);
    expect(window.empty).toBe(true);
    expect(window.leased).toBe(0);
  });

  test('reading that stops keeps leases, deliveries and acks, and holds no bytes', () => {
    const { window, released } = windowOf(0, 6, (offset) => (offset < 3 ? 0 : 4));
    expect(take(window, 3, 1, 100)).toEqual([0, 1, 2]);
    expect(take(window, 1, 1, 50)).toEqual([3]);
    window.ack(1);
    expire(window, 50);
    window.unload();
    expect(released).toHaveLength(6);
    expect(window.ready + window.blocked).toBe(0);
    window.begin(0);
    read(window, 6, (offset) => (offset < 3 ? 0 : 4));
    expect(window.holds(0, 1)).toBe(true);
    expect(take(window, 9, 2, 200)).toEqual([3]);
    expect(window.deliveriesOf(3)).toBe(2);
  });

  test('leases of what a crash took back are none', () => {
    const { window } = windowOf(0, 6);
    take(window, 6, 1, 100);
    window.takeBack(4);
    window.begin(0);
    expect(window.holds(3, 1)).toBe(true);
    expect(window.holds(4, 1)).toBe(false);
    expect(window.leased).toBe(4);
    window.takeBack(0);
    expect(window.empty).toBe(true);
  });
});

test('a window that grows far keeps what it knows', () => {
  const { window } = windowOf(1_000_000, 1_000_010);
  take(window, 5, 1, 100);
  read(window, 1_003_000);
  expect(window.holds(1_000_004, 1)).toBe(true);
  expect(take(window, 2, 2, 100)).toEqual([1_000_005, 1_000_006]);
  for (let offset = 1_000_000; offset < 1_000_007; offset++) window.ack(offset);
  expect(window.floor).toBe(1_000_007);
  expect(window.ready).toBe(2_993);
});

test('offsets beyond 32 bits are as good as others', () => {
  const base = 2 ** 40 - 3;
  const { window } = windowOf(base, base + 600);
  expect(take(window, 4, 1, 100)).toEqual([base, base + 1, base + 2, base + 3]);
  window.ack(base + 3);
  expect(expire(window, 100)).toEqual([base, base + 1, base + 2]);
  expect(take(window, 4, 2, 100)).toEqual([base, base + 1, base + 2, base + 4]);
});
