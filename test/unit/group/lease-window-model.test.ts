// The lease window against a model that is obviously right: random histories of reading, leasing, settling, time, and
// restarts.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LeaseWindow } from '../../../src/group/lease-window.ts';
import { expire, take } from './lease-moves.ts';

/** What the window must do, as simply as can be said. */
class Model {
  readonly messages = new Map<number, { key: number; token: number; until: number; deliveries: number }>();
  readonly acked = new Set<number>();
  top = 0;

  takes(max: number, token: number, until: number): number[] {
    const taken: number[] = [];
    for (let offset = 0; offset < this.top && taken.length < max; offset++) {
      const one = this.messages.get(offset);
      if (one === undefined || one.until > 0 || this.isBlocked(offset, one.key)) continue;
      taken.push(offset);
      one.token = token;
      one.until = until;
      one.deliveries++;
    }
    return taken;
  }

  private isBlocked(offset: number, key: number): boolean {
    if (key === 0) return false;
    for (let before = 0; before < offset; before++) if (this.messages.get(before)?.key === key) return true;
    return false;
  }
}

type Step =
  | { readonly do: 'read'; readonly count: number; readonly skip: number }
  | { readonly do: 'take'; readonly max: number; readonly forMs: number }
  | { readonly do: 'settle'; readonly pick: number; readonly how: 'ack' | 'keep' | 'later' | 'giveBack' }
  | { readonly do: 'time'; readonly ms: number }
  | { readonly do: 'reopen' | 'restart' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 1, max: 40 }), skip: fc.nat(3) }),
  fc.record({
    do: fc.constant('take' as const),
    max: fc.integer({ min: 1, max: 20 }),
    forMs: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({
    do: fc.constant('settle' as const),
    pick: fc.nat(1_000),
    how: fc.constantFrom('ack' as const, 'keep' as const, 'later' as const, 'giveBack' as const),
  }),
  fc.record({ do: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ do: fc.constantFrom('reopen' as const, 'restart' as const) }),
);

function keyOf(offset: number): number {
  return (offset * 7_919) % 5;
}

/** A window and its model, which are told the same. */
class Pair {
  private window = new LeaseWindow(() => {});
  private readonly model = new Model();
  private now = 1;
  private token = 0;

  constructor() {
    this.window.begin(0);
  }

  run(step: Step): void {
    if (step.do === 'read') this.read(step.count, step.skip);
    else if (step.do === 'take') {
      const until = this.now + step.forMs;
      this.token++;
      expect(take(this.window, step.max, this.token, until)).toEqual(this.model.takes(step.max, this.token, until));
    } else if (step.do === 'settle') this.settle(step.pick, step.how);
    else if (step.do === 'time') this.pass(step.ms);
    else {
      if (step.do === 'restart') this.restart();
      this.readAgain();
      // What was ready in a life before is due at once.
      if (step.do === 'restart') expire(this.window, this.now);
    }
    this.compare();
  }

  private read(count: number, skip: number): void {
    const { window, model } = this;
    for (let i = 0; i < count; i++) {
      const offset = model.top++;
      if (skip > 0 && offset % (skip + 1) === 0) model.acked.add(offset);
      else {
        window.add(offset, 7, 64, keyOf(offset), 0, 0);
        model.messages.set(offset, { key: keyOf(offset), token: 0, until: 0, deliveries: 0 });
      }
    }
    window.readTo(model.top);
  }

  private settle(pick: number, how: 'ack' | 'keep' | 'later' | 'giveBack'): void {
    const { window, model } = this;
    const leased = [...model.messages].filter(([, { until }]) => until > 0);
    if (leased.length === 0) return;
    const [offset, message] = leased[pick % leased.length];
    expect(window.holds(offset, message.token)).toBe(message.token !== 0);
    expect(window.holds(offset, message.token + 1_000)).toBe(false);
    if (message.token === 0) return;
    if (how === 'ack') {
      window.ack(offset);
      model.messages.delete(offset);
      model.acked.add(offset);
    } else if (how === 'giveBack') {
      window.giveBack(offset);
      message.until = 0;
    } else {
      if (how === 'later') message.token = 0;
      message.until = this.now + 25;
      window.keep(offset, message.token, message.until);
    }
  }

  private pass(ms: number): void {
    this.now += ms;
    const due = [...this.model.messages].filter(([, { until }]) => until > 0 && until <= this.now);
    for (const [, message] of due) message.until = 0;
    expect(expire(this.window, this.now)).toEqual(due.map(([offset]) => offset));
  }

  /** A successor knows what the journal says. */
  private restart(): void {
    const runs = [...this.window.runs()];
    this.window = new LeaseWindow(() => {});
    for (const run of runs) this.window.restore(run);
  }

  private readAgain(): void {
    const { window, model } = this;
    const floor = this.floor();
    window.begin(floor);
    for (let offset = floor; offset < model.top; offset++) {
      if (!model.acked.has(offset)) window.add(offset, 7, 64, keyOf(offset), 0, 0);
    }
    window.readTo(model.top);
  }

  private compare(): void {
    const { window, model } = this;
    for (const [offset, { deliveries }] of model.messages) expect(window.deliveriesOf(offset)).toBe(deliveries);
    expect(window.floor).toBe(this.floor());
    expect(window.leased).toBe([...model.messages.values()].filter(({ until }) => until > 0).length);
    expect(window.ready + window.blocked + window.leased).toBe(model.messages.size);
  }

  private floor(): number {
    let floor = 0;
    while (this.model.acked.has(floor)) floor++;
    return floor;
  }
}

test('whatever happens, the window does what the model does', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
      const pair = new Pair();
      for (const one of steps) pair.run(one);
    }),
    { numRuns: 400 },
  );
});
