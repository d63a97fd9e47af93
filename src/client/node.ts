// The client for Node: connect() over the `ws` package.
import { type ConnectOptions, WsConnection } from './ws-connection.ts';
import { CLIENT_VERSION } from './ws-link.ts';
import { NodeWire } from './ws-node-wire.ts';
import type { Platform } from './ws-platform.ts';

export { type CodeName, RingmqError } from '../base/codes.ts';
export { type ExponentialDelays, exponentialDelays } from '../group/retry-ladder.ts';
export { type MessagePlace, messageId, parseMessageId } from '../record/message-id.ts';
export type { PartitionPosition, QueryMatch, StartFrom, TopicRoute } from '../wire/commands.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from './codec.ts';
export type * from './connection.ts';
export { Batch, Message } from './message.ts';
export type * from './messaging.ts';
export { DeadLetter, RetryLater } from './messaging.ts';
export type { ConnectOptions } from './ws-connection.ts';
export { WsConnection } from './ws-connection.ts';

/**
 * Connects to a broker, in the background: await ready() to know. Several addresses are tried in turn.
 * Throws `illegal-argument` for an address or option that makes no sense.
 */
export function connect(url: string | URL | readonly (string | URL)[], options: ConnectOptions = {}): WsConnection {
  return new WsConnection(NODE, url, options);
}

const NODE: Platform = {
  name: `ringmq-node/${CLIENT_VERSION}`,
  verifyChecksums: true,
  openPool: async (file, options) => (await import('./handler-pool.ts')).openHandlerPool(file, options),
  open: (url, events) => new NodeWire(url, events),
  soon: (task) => void setImmediate(task),
  whenOnline: () => () => {},
};
