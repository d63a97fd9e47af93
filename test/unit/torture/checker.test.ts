// The judge of the torture is judged: histories with one seeded anomaly each must be found guilty of exactly that.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AnomalyKind, Checker } from '../../../torture/checker.ts';
import { bodyOf, type MessageName, nameOf } from '../../../torture/message.ts';

interface Line {
  readonly name: MessageName;
  readonly level: string;
}

/** A history without fault: `lines` are stored in one partition in their order, acknowledged and delivered. */
interface History {
  readonly log: (MessageName | undefined)[];
  readonly acks: { readonly name: MessageName; readonly level: string; readonly offset: number }[];
  readonly given: { readonly offset: number; readonly name: MessageName | undefined }[];
  readonly sent: MessageName[];
}

function faultless(lines: readonly Line[]): History {
  return {
    sent: lines.map((line) => line.name),
    log: lines.map((line) => line.name),
    acks: lines.map((line, offset) => ({ ...line, offset })),
    given: lines.map((line, offset) => ({ name: line.name, offset })),
  };
}

function judge(history: History): Checker {
  const checker = new Checker();
  for (const name of history.sent) checker.sending(name);
  for (const { name, level, offset } of history.acks) checker.acknowledged(name, level, 't/0', offset);
  for (const [offset, name] of history.log.entries()) checker.stored('t/0', offset, name);
  for (const { offset, name } of history.given) checker.delivered('c', 't/0', offset, name);
  checker.finish();
  return checker;
}

const LEVELS = ['accepted', 'written', 'durable'];

/** Some producers' messages, interleaved, in the order of each. */
const lines = fc
  .array(fc.record({ producer: fc.nat(3), level: fc.constantFrom(...LEVELS) }), { minLength: 4, maxLength: 60 })
  .map((choices) => {
    const next = [0, 0, 0, 0];
    return choices.map(({ producer, level }) => ({ name: { producer, sequence: next[producer]++ }, level }));
  });

function seeded(kind: AnomalyKind, damage: (history: History, at: number) => boolean): void {
  fc.assert(
    fc.property(lines, fc.nat(), (given, seed) => {
      const history = faultless(given);
      expect(judge(history).anomalies).toEqual([]);
      fc.pre(damage(history, seed % given.length));
      expect([...judge(history).counts.keys()]).toContain(kind);
    }),
  );
}

test('lost: an acknowledged message is not in the log', () => {
  seeded('lost', (history, at) => {
    // At the end of the log nothing else gives it away.
    history.log.length = at;
    history.given.length = at;
    return history.acks.slice(at).some((ack) => ack.level !== 'accepted');
  });
});

test('what was only accepted may be lost', () => {
  const history = faultless([{ name: { producer: 0, sequence: 0 }, level: 'accepted' }]);
  history.log.length = 0;
  history.given.length = 0;
  expect(judge(history).anomalies).toEqual([]);
});

test('moved: it stands at another offset than its sender was told', () => {
  seeded('moved', (history, at) => {
    const ack = history.acks[at];
    history.acks[at] = { ...ack, offset: ack.offset + 1 };
    return true;
  });
});

test('phantom: bytes that nobody sent', () => {
  seeded('phantom', (history, at) => {
    history.log[at] = at % 2 === 0 ? undefined : { producer: 9, sequence: at };
    return true;
  });
});

test('duplicate: a message stands in the log twice', () => {
  seeded('duplicate', (history, at) => {
    history.log.push(history.log[at]);
    return true;
  });
});

test('reordered: a producer’s messages changed places', () => {
  seeded('reordered', (history, at) => {
    const one = history.log[at] as MessageName;
    const other = history.log.findIndex((name, i) => i > at && name?.producer === one.producer);
    if (other < 0) return false;
    [history.log[at], history.log[other]] = [history.log[other], one];
    return true;
  });
});

test('inconsistent: a consumer saw another message at an offset', () => {
  seeded('inconsistent', (history, at) => {
    history.given[at] = { offset: at, name: { producer: 8, sequence: at } };
    return true;
  });
});

test('hole: a consumer was not given an offset, or given one twice', () => {
  seeded('hole', (history, at) => {
    history.given.splice(at, 1);
    return true;
  });
  seeded('duplicate', (history, at) => {
    history.given.splice(at, 0, history.given[at]);
    return true;
  });
});

test('what a crash took back may be seen anew', () => {
  const checker = new Checker();
  const name = (sequence: number): MessageName => ({ producer: 0, sequence });
  for (let n = 0; n < 4; n++) checker.sending(name(n));
  checker.delivered('c', 't/0', 0, name(0));
  checker.delivered('c', 't/0', 1, name(1));
  checker.takenBack('c', 't/0', 1);
  checker.delivered('c', 't/0', 1, name(2));
  checker.stored('t/0', 0, name(0));
  checker.stored('t/0', 1, name(2));
  checker.finish();
  expect(checker.anomalies).toEqual([]);
});

test('bodies name themselves, and nothing else does', () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.nat(100_000), fc.nat(), fc.nat(7), (producer, sequence, at, bit) => {
      const body = bodyOf(producer, sequence);
      expect(nameOf(body)).toEqual({ producer, sequence });
      body[at % body.length] ^= 1 << bit;
      expect(nameOf(body)).toBeUndefined();
    }),
  );
});
