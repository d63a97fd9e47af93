import { expect, test } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import { type Calling, Calls } from '../../../src/frontend/calls.ts';
import { CALLS_HELD_ALL_MAX, CALLS_HELD_MAX } from '../../../src/frontend/config.ts';
import type { Command, CommandOf } from '../../../src/wire/commands.ts';

type Call = CommandOf<'call'>;

/** A coordinator that the test answers for. */
class Coordinator {
  readonly asked: { readonly call: Call; answer(result: object): void; refuse(code: CodeName): void }[] = [];

  readonly ask = (call: Call): Promise<Command> =>
    new Promise((resolve, reject) => {
      this.asked.push({
        call,
        answer: (result) => resolve({ type: 'call-reply', result: JSON.stringify(result), payload: new Uint8Array(0) }),
        refuse: (code) => reject(new RingmqError(code)),
      });
    });

  get methods(): readonly string[] {
    return this.asked.map(({ call }) => call.method);
  }
}

class Session implements Calling {
  closed = false;
  calling = 0;
  holding = 0;
  readonly members = new Map();
}

const NO_BYTES = new Uint8Array(0);
const member = { group: 'g', topic: 't', member: 'm' };
const sync: Call = {
  type: 'call',
  method: 'group-sync',
  params: JSON.stringify({ ...member, waitMs: 3_000 }),
  payload: NO_BYTES,
};

function rig() {
  const coordinator = new Coordinator();
  const calls = new Calls(coordinator.ask);
  const session = new Session();
  const end = (): void => {
    session.closed = true;
    calls.left(session);
  };
  return { coordinator, calls, session, end };
}

test('a session that ends leaves its groups', async () => {
  const { coordinator, calls, session, end } = rig();
  const synced = calls.pass(session, sync);
  coordinator.asked[0].answer({});
  await synced;
  expect(session.holding).toBe(0);
  end();
  expect(coordinator.methods).toEqual(['group-sync', 'group-leave']);
  expect(JSON.parse(coordinator.asked[1].call.params)).toEqual(member);
  coordinator.asked[1].answer({});
});

test('also when it ends while a sync is held, and again should the sync have joined only then', async () => {
  const { coordinator, calls, session, end } = rig();
  const synced = calls.pass(session, sync);
  end();
  coordinator.asked[0].answer({});
  await synced;
  expect(coordinator.methods).toEqual(['group-sync', 'group-leave', 'group-leave']);
});

test('a member that is somebody else’s stays when a session ends that was refused its name', async () => {
  for (const code of ['member-exists', 'stale-generation', 'timeout'] as const) {
    const { coordinator, calls, session, end } = rig();
    const synced = calls.pass(session, sync);
    coordinator.asked[0].refuse(code);
    await expect(synced).rejects.toMatchObject({ code });
    end();
    expect(coordinator.methods).toEqual(['group-sync']);
  }
});

test('a sync that was refused takes nothing from the later one of the same session', async () => {
  const { coordinator, calls, session, end } = rig();
  const first = calls.pass(session, sync);
  const second = calls.pass(session, sync);
  coordinator.asked[0].refuse('timeout');
  await expect(first).rejects.toMatchObject({ code: 'timeout' });
  coordinator.asked[1].answer({});
  await second;
  end();
  expect(coordinator.methods).toEqual(['group-sync', 'group-sync', 'group-leave']);
});

test('too many members of one session are refused, and count for nothing', async () => {
  const { coordinator, calls, session } = rig();
  for (let i = 0; i < 1_024; i++) session.members.set(`${i}`, member);
  await expect(calls.pass(session, sync)).rejects.toMatchObject({ code: 'busy' });
  expect({ ...session, members: 0 }).toMatchObject({ calling: 0, holding: 0 });
  expect(coordinator.asked).toEqual([]);
});

test('what no member can be named is not kept', async () => {
  const { coordinator, calls, session } = rig();
  const params = JSON.stringify({ ...member, member: 'm'.repeat(1_000_000), waitMs: 5 });
  const synced = calls.pass(session, { ...sync, params });
  coordinator.asked[0].refuse('illegal-argument');
  await expect(synced).rejects.toMatchObject({ code: 'illegal-argument' });
  expect(session.members.size).toBe(0);
});

test('held calls of one session, and of all, are bounded; others have room beside them', async () => {
  const { coordinator, calls, session } = rig();
  const receive: Call = { ...sync, method: 'receive' };
  const refused = (caller: Session) => expect(calls.pass(caller, receive)).rejects.toMatchObject({ code: 'busy' });
  const held: Promise<unknown>[] = [];
  for (let caller = session, count = 0; count < CALLS_HELD_ALL_MAX; count++) {
    if (caller.holding === CALLS_HELD_MAX) {
      await refused(caller);
      caller = new Session();
    }
    held.push(calls.pass(caller, receive));
  }
  await refused(new Session());
  const other = calls.pass(session, { ...receive, params: JSON.stringify(member) });
  for (const one of coordinator.asked) one.answer({ queues: [], messages: [] });
  await Promise.all([...held, other]);
  const again = calls.pass(session, receive);
  coordinator.asked.at(-1)?.answer({ queues: [], messages: [] });
  await again;
  expect(session.holding).toBe(0);
});

test('leases that were answered to nobody are given back', async () => {
  const { coordinator, calls, session } = rig();
  const params = JSON.stringify({ ...member, waitMs: 10 });
  const received = calls.pass(session, { type: 'call', method: 'receive', params, payload: NO_BYTES });
  session.closed = true;
  const queues = [
    { topic: 't', partition: 0, topicId: 1 },
    { topic: '%RETRY%g|t', partition: 0, topicId: 2 },
  ];
  coordinator.asked[0].answer({ queues, messages: [0, 5, 77, 1, 1, 9, 78, 2] });
  await received;
  const [, { call }] = coordinator.asked;
  expect(call.method).toBe('settle');
  expect(JSON.parse(call.params)).toEqual({
    group: 'g',
    topic: 't',
    queues: [
      { topic: 't', partition: 0, acks: [], nacks: [], extensions: [5, 77, -1] },
      { topic: '%RETRY%g|t', partition: 0, acks: [], nacks: [], extensions: [9, 78, -1] },
    ],
  });
});
