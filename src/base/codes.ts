// Every code that ringmq answers with: number, name, advice and text in one table. Numbers are never reused and nobody
// parses the text.
//
//   0-99       success
//   100-199    try again: nothing is wrong with the request, only with the moment
//   200-499    the request cannot be served as it is
//   500-599    our fault
//   4000-4499  connection closed, reconnect   4500-4999  connection closed, do not come back the same way

/** What a caller may do with a code. */
export type Advice = 'done' | 'retry' | 'refresh-route' | 'fix' | 'report' | 'reconnect' | 'stay-away';

interface CodeRow {
  readonly number: number;
  readonly advice: Advice;
  readonly text: string;
}

function row(number: number, advice: Advice, text: string): CodeRow {
  return { number, advice, text };
}

/** Name -> number, advice, text. */
export const CODES = {
  ok: row(0, 'done', 'accepted'),
  duplicate: row(1, 'done', 'accepted before: the same producer sent the same sequence already'),

  busy: row(100, 'retry', 'the partition ring is full: its readers are slower than its writers'),
  'lane-full': row(101, 'retry', 'the lane to the broker worker is full: publish slower or wait for ready()'),
  'out-of-order': row(102, 'retry', 'an earlier batch of this producer was refused: send that one first'),
  timeout: row(103, 'retry', 'no answer in time: the batch may or may not have been accepted'),
  'connection-lost': row(104, 'retry', 'the connection was lost before the answer came'),
  'window-exceeded': row(105, 'retry', 'more bytes in flight than the publish window allows'),
  'broker-unavailable': row(
    106,
    'retry',
    'the broker worker that owns the partition does not answer: it is being restarted',
  ),
  'route-stale': row(107, 'refresh-route', 'the route has changed: ask for it again'),
  'buffer-full': row(108, 'retry', 'the producer buffers as much as it may: await ready() before sending more'),
  'disk-full': row(
    109,
    'retry',
    'the disk is full: what is stored can be read, new messages are refused until there is room',
  ),
  'log-busy': row(110, 'retry', 'the log reader has as much to do as it may: ask again'),
  'coordinator-unavailable': row(111, 'retry', 'the coordinator thread does not answer: it is being restarted'),
  'lease-quota': row(112, 'retry', 'the group holds as many unacknowledged messages of a partition as it may'),
  'stale-generation': row(113, 'retry', 'the member does not hold that queue (any more): sync with the group again'),

  'unknown-topic': row(200, 'fix', 'no such topic'),
  'unknown-partition': row(201, 'refresh-route', 'no such partition'),
  'topic-exists': row(202, 'fix', 'the topic exists already'),
  'illegal-topic': row(203, 'fix', 'topic names have 1 to 127 characters of A-Z a-z 0-9 % | . _ - and are not . or ..'),
  'no-write-permission': row(204, 'fix', 'the topic takes no messages: its write permission was wiped'),
  'no-read-permission': row(205, 'fix', 'the topic may not be read'),
  'topic-quota': row(206, 'fix', 'the broker has as many topics as it may'),
  'partition-quota': row(207, 'fix', 'more partitions than a topic or the broker may have'),
  'memory-quota': row(
    208,
    'fix',
    'no ring memory left: delete topics, ask for smaller rings or raise ringMemoryMaxBytes',
  ),
  'auto-create-off': row(209, 'fix', 'no such topic, and topics are not created on first use: create it first'),
  'ring-full': row(210, 'fix', 'the topic rejects messages while its ring is full (overflow policy reject)'),
  'not-direct': row(211, 'fix', 'only a topic created with direct: true has partitions for embedding threads'),
  'direct-only': row(212, 'fix', 'the partition is written by a thread of the embedding program alone'),
  'not-durable': row(213, 'fix', 'the broker keeps no data: start it with a data folder'),
  'topic-volatile': row(214, 'fix', 'the topic is volatile: there is nothing in the log'),
  'group-quota': row(215, 'fix', 'the broker keeps the offsets of as many groups as it may'),
  'unknown-group': row(216, 'fix', 'no such group'),
  'group-mismatch': row(217, 'fix', 'members of a group must agree on kind, order and filter of a topic'),
  'member-exists': row(218, 'fix', 'the group has a live member with this id already: choose another id'),
  'group-in-use': row(219, 'fix', 'the group has live members: stop its consumers first'),

  'message-too-large': row(300, 'fix', 'the message is larger than the topic takes'),
  'malformed-batch': row(301, 'fix', 'the batch contradicts itself: sizes, counts or magic are wrong'),
  'bad-checksum': row(302, 'retry', 'the records do not match their CRC: bytes were damaged on the way'),
  'key-too-long': row(303, 'fix', 'keys have at most 1,024 bytes'),
  'illegal-tag': row(304, 'fix', 'tags have 1 to 255 bytes and contain no |'),
  'properties-too-large': row(305, 'fix', 'all properties of a message together have at most 32,767 bytes'),
  'ack-unsupported': row(
    306,
    'fix',
    'volatile topics acknowledge none or accepted, durable ones written and durable too',
  ),
  'frame-too-large': row(307, 'fix', 'the frame is larger than the server takes'),
  'illegal-filter': row(308, 'fix', 'the filter cannot be read'),
  'delay-out-of-range': row(309, 'fix', 'a delivery time lies at most 366 days ahead'),
  'illegal-priority': row(310, 'fix', 'priorities are whole numbers from 0 to 9'),

  'malformed-command': row(400, 'fix', 'the command cannot be read'),
  'unknown-command': row(401, 'fix', 'no such command'),
  'unknown-subscription': row(402, 'fix', 'no such subscription in this session'),
  'offset-out-of-range': row(403, 'fix', 'the partition has no such offset'),
  'subscription-quota': row(404, 'fix', 'the session has as many subscriptions as it may'),
  'reader-quota': row(405, 'retry', 'the partition has as many reading threads as it may (32)'),
  'illegal-argument': row(406, 'fix', 'an argument is out of its range'),
  'not-found': row(407, 'fix', 'nothing is served at this path'),
  'method-not-allowed': row(408, 'fix', 'this path does not take that method'),
  'seat-quota': row(409, 'fix', 'as many threads take part as may (64 seats)'),
  'hello-expected': row(410, 'fix', 'the first command of a session must be hello'),
  'origin-refused': row(411, 'fix', 'this Origin is not on the allow-list'),
  'illegal-group': row(412, 'fix', 'group names have 1 to 255 characters of A-Z a-z 0-9 % | . _ -'),
  'data-in-use': row(413, 'fix', 'another broker uses this data folder: stop it, or name another folder'),
  'data-unknown': row(414, 'fix', 'the data folder was written by another version of ringmq'),
  'log-corrupt': row(415, 'fix', 'the log is damaged before its end: nothing was changed; see `ringmq log verify`'),
  'state-corrupt': row(416, 'fix', 'the state (topics, committed offsets) is damaged: nothing was changed'),
  'stale-lease': row(417, 'fix', 'the lease ran out or was settled before: the message belongs to somebody else now'),
  'unknown-transaction': row(418, 'fix', 'no such transaction: it was never prepared, or it was given up'),
  'transaction-ended': row(419, 'fix', 'the transaction was resolved the other way before'),
  'too-late': row(420, 'fix', 'the message was delivered or recalled already'),
  'unknown-method': row(421, 'fix', 'the coordinator has no such method'),
  'outcome-unknown': row(
    422,
    'fix',
    'it was sent before, over a connection that was lost, and the broker cannot know any more whether it was stored',
  ),

  internal: row(500, 'report', 'an error inside ringmq: please report it with the log'),
  closed: row(501, 'fix', 'it was closed'),
  'store-failed': row(
    502,
    'report',
    'the disk failed: nothing more is stored until the broker is started again; what is stored can be read',
  ),
  'log-damaged': row(503, 'report', 'the bytes on the disk are not what was written: they are not delivered'),
  'handler-failed': row(504, 'report', 'the handler of a message threw or took too long'),

  'shutting-down': row(4000, 'reconnect', 'the broker is shutting down'),
  'too-slow': row(4001, 'reconnect', 'the client read nothing for too long'),
  idle: row(4002, 'reconnect', 'nothing was heard for too long'),
  'protocol-error': row(4500, 'stay-away', 'the peer broke the protocol'),
  'hello-timeout': row(4501, 'stay-away', 'the client did not say hello in time'),
} as const satisfies Record<string, CodeRow>;

export type CodeName = keyof typeof CODES;

const NAMES = new Map<number, CodeName>(Object.entries(CODES).map(([name, code]) => [code.number, name as CodeName]));

/** Number of a code. */
export function codeNumber(name: CodeName): number {
  return CODES[name].number;
}

/** Name of a number; `internal` for one that this version does not know. */
export function codeName(number: number): CodeName {
  return NAMES.get(number) ?? 'internal';
}

/** The request cannot be served. The session, the thread and every other request go on. */
export class RingmqError extends Error {
  override readonly name = 'RingmqError';
  /** Stable name, for programs: see CODES. */
  readonly code: CodeName;
  /** Stable number, as on the wire. */
  readonly number: number;
  readonly advice: Advice;

  /** `detail` says what exactly was wrong; the table's text is used without one. */
  constructor(code: CodeName, detail?: string) {
    super(detail ?? CODES[code].text);
    this.code = code;
    this.number = CODES[code].number;
    this.advice = CODES[code].advice;
  }

  /** True if the same request may succeed later. */
  get retryable(): boolean {
    return this.advice === 'retry' || this.advice === 'refresh-route' || this.advice === 'reconnect';
  }
}
