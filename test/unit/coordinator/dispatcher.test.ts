import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { Fault } from '../../../src/base/fault.ts';
import type { CallReply } from '../../../src/coordinator/call-lanes.ts';
import { Dispatcher } from '../../../src/coordinator/dispatcher.ts';
import type { Handlers, Service } from '../../../src/coordinator/service.ts';

class Answers implements CallReply {
  readonly seat = 25;
  readonly said: unknown[] = [];

  reply(result: string, payload: Uint8Array): void {
    this.said.push([JSON.parse(result), [...payload]]);
  }

  refuse({ code, message }: RingmqError): void {
    this.said.push([code, message]);
  }
}

function serviceOf(handlers: Handlers): Service {
  return { handlers, start() {}, housekeep() {}, stop: async () => {} };
}

function rig(...handlers: Handlers[]) {
  const warnings: string[] = [];
  const faults: Fault[] = [];
  const dispatcher = new Dispatcher(handlers.map(serviceOf), {
    warn: (text) => warnings.push(text),
    fault: (error) => faults.push(error),
  });
  const call = async (method: string, params: unknown, payload = new Uint8Array(0)): Promise<unknown[]> => {
    const answers = new Answers();
    dispatcher.call({ type: 'call', method, params: JSON.stringify(params), payload }, answers);
    await new Promise((resolve) => setImmediate(resolve));
    return answers.said;
  };
  return { call, warnings, faults, dispatcher };
}

const DELETE = { group: 'g' };

test('a handler gets checked parameters, the payload and the seat, and its answer goes back', async () => {
  const { call } = rig({
    recall: (params, payload, caller) => ({ result: { params, bytes: [...payload], caller }, payload }) as never,
  });
  const payload = new Uint8Array([1, 2]);
  expect(await call('recall', { handle: 'h' }, payload)).toEqual([
    [{ params: { handle: 'h' }, bytes: [1, 2], caller: { seat: 25 } }, [1, 2]],
  ]);
});

test('a promise is answered when it settles, once', async () => {
  let settle: (value: { result: Record<string, never> }) => void = () => {};
  const { call, dispatcher } = rig({
    'group-delete': () =>
      new Promise((resolve) => {
        settle = resolve;
      }),
  });
  const answers = new Answers();
  dispatcher.call(
    { type: 'call', method: 'group-delete', params: JSON.stringify(DELETE), payload: new Uint8Array(0) },
    answers,
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect(answers.said).toEqual([]);
  settle({ result: {} });
  settle({ result: {} });
  await new Promise((resolve) => setImmediate(resolve));
  expect(answers.said).toEqual([[{}, []]]);
  expect(await call('nothing', {})).toHaveLength(1);
});

test('each of several services answers its methods', async () => {
  const { call } = rig({ 'group-delete': () => ({ result: {} }) }, { recall: () => ({ result: {} }) });
  expect([await call('group-delete', DELETE), await call('recall', { handle: 'h' })]).toEqual([[[{}, []]], [[{}, []]]]);
});

test('two services with one method are a bug', () => {
  const handlers: Handlers = { recall: () => ({ result: {} }) };
  expect(() => rig(handlers, handlers)).toThrow(Fault);
});

test('unknown methods are refused by name, those of every object too', async () => {
  const { call } = rig({});
  for (const method of ['nothing', 'toString', '__proto__', '']) {
    expect(await call(method, {})).toEqual([['unknown-method', expect.stringContaining(method)]]);
  }
  expect(await call('recall', { handle: 'h' })).toEqual([['unknown-method', expect.stringContaining('recall')]]);
});

test('parameters that are not what they should be never reach a handler', async () => {
  let reached = false;
  const { call, dispatcher } = rig({
    recall: () => {
      reached = true;
      return { result: {} };
    },
  });
  expect(await call('recall', { handle: 7 })).toEqual([['illegal-argument', 'recall: handle must be a string']]);
  const answers = new Answers();
  dispatcher.call({ type: 'call', method: 'recall', params: '{', payload: new Uint8Array(0) }, answers);
  expect(answers.said).toEqual([['malformed-command', 'recall: the parameters are not JSON']]);
  expect(reached).toBe(false);
});

test('a refusal goes back, thrown or rejected', async () => {
  const { call, warnings } = rig({
    recall: () => {
      throw new RingmqError('too-late', 'it was delivered');
    },
    'group-delete': () => Promise.reject(new RingmqError('group-in-use')),
  });
  expect(await call('recall', { handle: 'h' })).toEqual([['too-late', 'it was delivered']]);
  expect(await call('group-delete', DELETE)).toEqual([['group-in-use', expect.any(String)]]);
  expect(warnings).toEqual([]);
});

test('what else a handler throws is an internal error and a warning, and the next call is served', async () => {
  const { call, warnings, faults } = rig({
    recall: () => {
      throw new TypeError('no such member');
    },
    'group-delete': async () => {
      throw new TypeError('nor this');
    },
  });
  expect((await call('recall', { handle: 'h' }))[0]).toMatchObject(['internal', expect.any(String)]);
  expect((await call('group-delete', DELETE))[0]).toMatchObject(['internal', expect.any(String)]);
  expect(warnings).toEqual([expect.stringContaining('no such member'), expect.stringContaining('nor this')]);
  expect(faults).toEqual([]);
});

test('a result that cannot be said is an internal error, not silence', async () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const { call } = rig({
    recall: () => ({ result: cyclic as never }),
    'group-delete': async () => ({ result: cyclic as never }),
  });
  expect((await call('recall', { handle: 'h' }))[0]).toMatchObject(['internal', expect.any(String)]);
  expect((await call('group-delete', DELETE))[0]).toMatchObject(['internal', expect.any(String)]);
});

test('a Fault is handed to whoever ends the thread', async () => {
  const fault = new Fault('an invariant does not hold');
  const { call, faults } = rig({
    recall: () => {
      throw fault;
    },
    'group-delete': () => Promise.reject(fault),
  });
  expect(await call('recall', { handle: 'h' })).toEqual([]);
  expect(await call('group-delete', DELETE)).toEqual([]);
  expect(faults).toEqual([fault, fault]);
});
