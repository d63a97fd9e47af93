// What seeds of the fifth kind have to find: see sabotage.test.ts.
import { describe } from 'vitest';
import { RingConsumer } from '../../src/client/consumer.ts';
import { DirectProducer } from '../../src/client/direct-producer.ts';
import { GroupConsumer } from '../../src/client/group-consumer.ts';
import { GroupHandling } from '../../src/client/group-handling.ts';
import { Batch } from '../../src/client/message.ts';
import { CallsApi } from '../../src/frontend/http/calls-api.ts';
import { HistoryApi } from '../../src/frontend/http/history-api.ts';
import { JsonCommands } from '../../src/frontend/json-commands.ts';
import { LogIndex } from '../../src/log/log-index.ts';
import { RunReader } from '../../src/log/run-reader.ts';
import { messageId, parseMessageId } from '../../src/record/message-id.ts';
import { KeyFollower } from '../../src/store/key-follower.ts';
import { type Breach, broken, testBreaches } from './breaking.ts';
import { DIRECT_TOPIC } from './direct-roles.ts';

const BREACHES: Readonly<Record<string, Breach>> = {
  'acknowledgements over JSON calls that nobody passes on': {
    first: 40_002,
    finds: /^again: simple/,
    sabotage: broken(JsonCommands, 'call', (was: (session: Saying, command: Calling) => void) => {
      return function (this: never, session, command) {
        const { id, method, params } = command;
        if (method !== 'settle') was.call(this, session, command);
        else session.say(JSON.stringify({ op: 'called', id, result: { stale: params.queues.map(() => []) } }));
      };
    }),
  },
  'commits over HTTP calls that nobody passes on': {
    first: 40_018,
    finds: /^again: push/,
    sabotage: broken(CallsApi, 'call', (was: (request: object, method: string) => Promise<object>) => {
      return async function (this: never, request, method) {
        if (method !== 'group-commit') return was.call(this, request, method);
        return { status: 200, headers: {}, body: '{"result":{}}' };
      };
    }),
  },
  'messages of a lease over JSON that are the wrong ones': {
    first: 40_002,
    finds: /: leased /,
    sabotage: broken(JsonCommands, 'call', (was: (session: Saying, command: Calling) => void) => {
      return function (this: never, session, command) {
        const turned = (text: string): string => {
          const said = JSON.parse(text) as { readonly messages?: unknown[] };
          return JSON.stringify({ ...said, ...(said.messages && { messages: said.messages.reverse() }) });
        };
        // As it is, but for what it says.
        const saying = Object.create(session, {
          say: { value: (text: string) => session.say(turned(text)) },
        }) as Saying;
        was.call(this, saying, command);
      };
    }),
  },
  'members that go on while they are paused': {
    first: 40_003,
    finds: /^paused: /,
    sabotage: broken(GroupConsumer, 'stopOrGoOn', () => () => undefined),
  },
  'a resume after which nothing comes': {
    first: 40_002,
    finds: /never came to pass.*push has not handled/,
    sabotage: broken(GroupHandling, 'resume', () => () => undefined),
  },
  'batches that fail and count as handled': {
    first: 40_006,
    finds: /^lost to batch/,
    sabotage: broken(GroupHandling, 'batchFailed', () => () => undefined),
  },
  'batches that hide their first message': {
    first: 40_003,
    finds: /batch-reader.* was given .* expected/,
    sabotage: broken(
      Batch,
      'show',
      (was: (topic: string, partition: number, batch: object, from: number) => unknown) => {
        return function (this: never, topic, partition, batch, from) {
          return was.call(this, topic, partition, batch, from + 1);
        };
      },
    ),
  },
  'batches that show what was acknowledged': {
    first: 40_011,
    finds: /^again: batch/,
    sabotage: broken(Batch, 'leaveOut', () => () => undefined),
  },
  'direct partitions of which a reader misses something': {
    first: 40_005,
    finds: /^direct: .* without /,
    sabotage: broken(RingConsumer, 'deliver', (was: (view: Shown, cursor: { expected: number }) => unknown) => {
      let count = 0;
      return function (this: { readonly topic: string }, view, cursor) {
        const isMissed = this.topic === DIRECT_TOPIC && ++count % 20 === 0;
        if (isMissed) cursor.expected = view.baseOffset + view.count;
        return was.call(this as never, view, cursor);
      };
    }),
  },
  'receipts of direct partitions that name the next place': {
    first: 40_005,
    finds: /^direct: .* its receipt says /,
    sabotage: broken(DirectProducer, 'settle', (was: (baseOffset: number, error: unknown) => void) => {
      return function (this: never, baseOffset, error) {
        was.call(this, baseOffset + 1, error);
      };
    }),
  },
  'a topic that keeps a quarter of what it says': {
    first: 40_100,
    finds: /^expired: kept/,
    sabotage: broken(LogIndex, 'keeping', (was: (topicId: number, partition: number, bytes: number) => number) => {
      return function (this: never, topicId, partition, bytes) {
        return was.call(this, topicId, partition, bytes / 4);
      };
    }),
  },
  'a key index that is not told of everything': {
    first: 40_005,
    finds: /^unfound: /,
    sabotage: broken(KeyFollower, 'follow', (was: (run: object, logEnd: number) => void) => {
      let count = 0;
      return function (this: never, run, logEnd) {
        if (++count % 5 > 0) was.call(this, run, logEnd);
      };
    }),
  },
  'a look for a time that begins too late': {
    first: 40_041,
    finds: /^unfound: /,
    sabotage: broken(RunReader, 'locate', (was: (topicId: number, partition: number, timeMs: number) => number) => {
      return function (this: never, topicId, partition, timeMs) {
        return was.call(this, topicId, partition, timeMs) + 2;
      };
    }),
  },
  'a key that is found where another lies': {
    first: 40_005,
    finds: /^found: .* told key/,
    sabotage: broken(KeyFollower, 'fill', (was: (entries: { offset: number }[]) => boolean) => {
      return function (this: never, entries) {
        const before = entries.length;
        const did = was.call(this, entries);
        for (const one of entries.slice(before)) one.offset++;
        return did;
      };
    }),
  },
  'a message by its id that is the one behind it': {
    first: 40_011,
    finds: /^found: .* asked for/,
    sabotage: broken(HistoryApi, 'message', (was: (request: object, id: string) => Promise<object>) => {
      return function (this: never, request, id) {
        const { topicId = 0, partition = 0, offset = 0 } = parseMessageId(id) ?? {};
        return was.call(this, request, messageId(topicId, partition, offset + 1));
      };
    }),
  },
};

interface Shown {
  readonly baseOffset: number;
  readonly count: number;
}

interface Saying {
  say(text: string): void;
}

interface Calling {
  readonly id: number;
  readonly method: string;
  readonly params: { readonly queues: readonly object[] };
}

describe('found out:', () => testBreaches(BREACHES));
