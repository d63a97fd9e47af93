// The public door of the package in Node: a broker in this process, ways into it, and the client over WebSocket.

export { type CodeName, RingmqError } from './base/codes.ts';
export { bytesCodec, type Codec, jsonCodec, textCodec } from './client/codec.ts';
export type * from './client/connection.ts';
export type { AttachOptions } from './client/grouping-connection.ts';
export { attach, InProcessConnection } from './client/in-process.ts';
export { Batch, Message } from './client/message.ts';
export type * from './client/messaging.ts';
export { DeadLetter, RetryLater } from './client/messaging.ts';
export { type ConnectOptions, connect, WsConnection } from './client/node.ts';
export { type ExponentialDelays, exponentialDelays } from './group/retry-ladder.ts';
export type { Attachment } from './memory/regions.ts';
export { type MessagePlace, messageId, parseMessageId } from './record/message-id.ts';
export { type Broker, startBroker } from './server/broker.ts';
export type { BrokerOptions, ListenOptions } from './server/options.ts';
export type { PartitionPosition, QueryMatch, StartFrom, TopicRoute } from './wire/commands.ts';
