import { describe, expect, test } from 'vitest';
import { Membership } from '../../../src/group/membership.ts';
import { SESSION_MS } from '../../../src/wire/services.ts';

const PUSH = { kind: 'push', order: 'key', filter: '' } as const;
const A = { member: 'a', client: 'app', seat: 5 };
const B = { member: 'b', client: 'app', seat: 6 };

function begun(): Membership {
  const membership = new Membership('group g on topic t');
  membership.join(A, PUSH, 0);
  membership.generation = 1;
  return membership;
}

const coded = (code: string, text: string) => expect.objectContaining({ code, message: expect.stringContaining(text) });

describe('terms', () => {
  test.each([
    [{ kind: 'simple', order: 'key', filter: '' } as const, "kind 'push' (by member 'a'), and 'b' asks for 'simple'"],
    [{ kind: 'push', order: 'none', filter: '' } as const, "order 'key' (by member 'a'), and 'b' asks for 'none'"],
    [{ kind: 'push', order: 'key', filter: 'x' } as const, "filter '' (by member 'a'), and 'b' asks for 'x'"],
  ])('of a second member must be those of the first: %j', (terms, text) => {
    const membership = begun();
    expect(() => membership.join(B, terms, 1)).toThrow(coded('group-mismatch', text));
    expect(() => membership.attend(B, terms, 1)).toThrow(coded('group-mismatch', text));
    expect(membership.ids).toEqual(['a']);
  });

  test('are free when the last member is gone', () => {
    const membership = begun();
    membership.leave('a');
    const terms = { kind: 'simple', order: 'none', filter: 'x' } as const;
    membership.attend(B, terms, 1);
    expect(membership.terms).toEqual(terms);
    expect(membership.pushIds).toEqual([]);
  });

  test('of a member that is alone may change with its next life, and a refused one changes nothing', () => {
    const membership = begun();
    expect(membership.join(A, { ...PUSH, order: 'none' }, 1).replaced).toBe(true);
    expect(membership.terms.order).toBe('none');
    membership.join(B, { ...PUSH, order: 'none' }, 1);
    expect(() => membership.join(A, PUSH, 1)).toThrow(coded('group-mismatch', "by member 'b'"));
    expect(membership.ids).toEqual(['b', 'a']);
  });
});

describe('two members with one id', () => {
  test('from another thread, or of another client: the second is refused while the first lives', () => {
    const membership = begun();
    const text = "group g on topic t has a live member 'a' of app already";
    expect(() => membership.join({ ...A, seat: 7 }, PUSH, 1)).toThrow(coded('member-exists', text));
    expect(() => membership.join({ ...A, client: 'other' }, PUSH, 1)).toThrow(coded('member-exists', text));
    membership.expire(SESSION_MS);
    expect(membership.join({ ...A, seat: 7 }, PUSH, SESSION_MS).replaced).toBe(false);
  });

  test('the same one again replaces itself, and what its life before says counts no more', () => {
    const membership = begun();
    const { member, replaced } = membership.join(A, PUSH, 1);
    membership.generation = 2;
    expect([replaced, member.joined]).toEqual([true, 2]);
    expect(() => membership.current('a', 1)).toThrow(coded('stale-generation', 'joined with generation 2'));
    expect(membership.current('a', 2)).toBe(member);
  });

  test('one that comes back by another way with its generation is the same', () => {
    const membership = begun();
    const member = membership.renew({ ...A, seat: 9 }, 1, PUSH, 5);
    expect([member.seat, member.seenMs, membership.size]).toEqual([9, 5, 1]);
    expect(membership.seatLeft(5)).toEqual([]);
    expect(membership.seatLeft(9)).toEqual(['a']);
  });
});

describe('life', () => {
  test('a member that says nothing for a session is gone, and must join again', () => {
    const membership = begun();
    expect(membership.expire(SESSION_MS - 1)).toEqual([]);
    membership.renew(A, 1, PUSH, SESSION_MS - 1);
    expect(membership.expire(SESSION_MS)).toEqual([]);
    expect(membership.expire(2 * SESSION_MS - 1)).toEqual(['a']);
    const text = "'a' is not (or no more) a member";
    expect(() => membership.renew(A, 1, PUSH, 2 * SESSION_MS)).toThrow(coded('stale-generation', text));
  });

  test('a member whose call is held lives', () => {
    const membership = begun();
    const member = membership.current('a', 1);
    member.held = 1;
    expect(membership.expire(10 * SESSION_MS)).toEqual([]);
    member.held = 0;
    expect(membership.expire(10 * SESSION_MS)).toEqual(['a']);
  });

  test('a generation that was never told is refused', () => {
    expect(() => begun().current('a', 7)).toThrow(coded('stale-generation', 'this call names 7'));
  });
});

test('members that lease are members as long as they call', () => {
  const membership = new Membership('group g on topic t');
  const terms = { kind: 'simple', order: 'key', filter: '' } as const;
  membership.attend(A, terms, 0);
  membership.attend({ ...A, seat: 8 }, terms, 50);
  expect(membership.size).toBe(1);
  expect(membership.expire(SESSION_MS)).toEqual([]);
  expect(membership.expire(50 + SESSION_MS)).toEqual(['a']);
});

test('a member that leases does not take the place of one that has queues assigned', () => {
  const membership = begun();
  const terms = { kind: 'simple', order: 'key', filter: '' } as const;
  expect(() => membership.attend(A, terms, 1)).toThrow(coded('member-exists', "live member 'a' of app"));
  expect(membership.pushIds).toEqual(['a']);
});

test('after a restart a member that was not heard of yet is awaited, and not refused for good', () => {
  const membership = new Membership('group g on topic t');
  membership.generation = 3;
  membership.sizeThen = 1;
  membership.awaitMembers();
  expect(() => membership.assertNotAwaited('a')).toThrow(coded('coordinator-unavailable', 'try again'));
  expect(() => membership.current('a', 3)).toThrow(coded('coordinator-unavailable', 'try again'));
  expect(() => membership.current('a', 2)).toThrow(coded('stale-generation', "'a' is not"));
  membership.adopt(A, 3, PUSH, 0);
  expect(() => membership.assertNotAwaited('a')).not.toThrow();
  expect(() => membership.assertNotAwaited('b')).not.toThrow();
});
