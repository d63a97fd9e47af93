// What a front-end thread is started with, and every limit it holds to, in one place.

const KIB = 1024;
const MIB = 1024 * KIB;

/** What a front-end thread is started with, besides the attachment. Plain data. */
export interface FrontEndConfig {
  readonly brokerName: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Several threads listen on the same port. */
  readonly shared: boolean;
  readonly transport: 'auto' | 'uws' | 'ws';
  /** Origins (scheme://host:port) whose pages may connect besides the broker's own page; `*` for all. */
  readonly origins: readonly string[];
  readonly connectionsMax: number;
  /** This front end publishes `sys.metrics`: one of them does. */
  readonly systemMetrics: boolean;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly logLevel: string;
  /** Milliseconds a subscriber that holds a lossless topic back may go without taking anything. Default 10,000. */
  readonly stallMs?: number;
  /** Milliseconds within which a binary session says hello. Default 5,000. */
  readonly helloMs?: number;
}

export const STALL_MS = 10_000;
export const HELLO_MS = 5_000;
export const HEARTBEAT_MS = 15_000;

/** Largest frame that a binary session may send. */
export const FRAME_MAX_BYTES = 4 * MIB;
/** Bytes of one session that wait for room in a lane; past it batches are refused. */
export const PUBLISH_WINDOW_BYTES = 8 * MIB;
/** The same for all sessions of a front end together. */
export const HELD_MAX_BYTES = 64 * MIB;

/** Largest WebSocket message of any kind: a JSON command with a body of 4 MiB in base64. */
export const MESSAGE_MAX_BYTES = 8 * MIB;
/** Largest HTTP body. */
export const BODY_MAX_BYTES = 8 * MIB;
/** Bytes that wait for one socket. Deliveries stop at the first one that does; this is for answers. */
export const BUFFERED_MAX_BYTES = 8 * MIB;
export const IDLE_TIMEOUT_S = 60;

/** Delivery frames are cut at this many bytes; a larger batch makes a frame of its own. */
export const DELIVERY_MAX_BYTES = 256 * KIB;
/** With very many subscribers frames get smaller, so that one of them does not take the thread for long. */
export const DELIVERY_MIN_BYTES = 16 * KIB;
/** Bytes sent for one feed before the next one has its turn (all its subscribers together). */
export const FEED_TURN_BYTES = 4 * MIB;
/** Bytes sent to one lagging subscriber before the next one has its turn. */
export const CATCH_UP_TURN_BYTES = 256 * KIB;
/** Bytes sent in one turn of the loop before sockets are looked at again. */
export const TURN_BYTES = 8 * MIB;

/** Bytes read from the log for one session before the next one has its turn; less when many read. */
export const HISTORY_CHUNK_BYTES = 1 * MIB;
export const HISTORY_CHUNK_MIN_BYTES = 64 * KIB;
/** Bytes that were read from the log, or asked for, and not sent yet: all sessions of a front end together. */
export const HISTORY_MAX_BYTES = 64 * MIB;
/** Questions to the log (pulls, queries, times) that are answered at a time, and that wait for their turn. */
export const LOG_QUESTIONS = 16;
export const LOG_QUESTIONS_WAITING = 4_096;
/** Of what asks many of them, so much goes on at a time: queries by time, and subscriptions that begin at one. */
export const QUERIES_RUNNING = 16;
export const TIMES_RUNNING = 4;
/** Matches of a query that names no limit (as in RocketMQ). */
export const QUERY_MATCHES = 64;
/** Partitions that a query by time reads at a time, and how much of each. */
export const QUERY_PARTITIONS = 8;
export const QUERY_READ_BYTES = 256 * KIB;
/** Bytes of messages that one HTTP answer to a query has. */
export const QUERY_BODIES_MAX_BYTES = 8 * MIB;
/** Time that the log reader has to answer one. */
export const LOG_ANSWER_MS = 10_000;

export const SUBSCRIPTIONS_MAX = 1_000;
/** Topics of one session whose changes of route are passed on. */
export const WATCHED_TOPICS_MAX = 4_096;
/** Requests of one session that wait for an answer of the NameServer. */
export const REQUESTS_MAX = 1_024;
/** Calls of one session that the coordinator holds until there is news: one for each consumer of a group. */
export const CALLS_HELD_MAX = 512;
/** The same for a front end. Calls that are not held have room beside them. */
export const CALLS_HELD_ALL_MAX = 32_768;
/** Commands of one session that could not be read before it is closed. */
export const MALFORMED_MAX = 32;
/** Pulls of one session, and of a front end, that wait for messages. */
export const PULLS_MAX = 16;
export const PULLS_ALL_MAX = 10_000;
export const PULL_MAX_BYTES = 1 * MIB;
export const PULL_WAIT_MAX_MS = 30_000;
/** Time that a partition's owner has to open its ring for a subscriber. */
export const RING_WAIT_MS = 3_000;
/** Time that a stop gives to acknowledgements that are under way. */
export const DRAIN_MS = 1_000;
