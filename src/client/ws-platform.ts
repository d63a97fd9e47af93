// What the WebSocket client needs from the machine under it: one implementation for Node (node.ts), one for browsers
// (browser.ts), and fakes in tests.

import type { OpenPool } from './group-consumer.ts';

/** Subprotocol of the binary client: raw record batches and FlatBuffers commands. */
export const SUBPROTOCOL = 'ringmq.bin.v1';

/** One WebSocket. */
export interface Wire {
  /** Bytes handed to send() that the kernel has not taken yet. */
  readonly bufferedBytes: number;
  /** Sends one binary frame. The memory may be used again as soon as this returns. No-op once closed. */
  send(bytes: Uint8Array): void;
  /** Closes with a close frame. */
  close(code: number, reason: string): void;
  /** Cuts the connection. */
  terminate(): void;
}

/** How a WebSocket ended, or why it never began. */
export interface WireEnd {
  /** Code of the close frame; 1005 without one, 1006 for a connection that broke. */
  readonly code: number;
  readonly reason: string;
  /** The machine's word for what went wrong (`ECONNREFUSED`), or '' where it does not say. */
  readonly cause: string;
  /** Status of an HTTP answer that refused the handshake, else 0. */
  readonly status: number;
}

/** Hears what happens to a WebSocket. */
export interface WireEvents {
  opened(): void;
  /**
   * One binary frame. Answers true if the bytes are kept: then nobody else may touch them any more. Otherwise the
   * memory may be used again. HOT
   */
  frame(bytes: Uint8Array): boolean;
  /** Less is buffered than before. */
  drained(): void;
  /** Exactly once, last. */
  ended(end: WireEnd): void;
}

export interface Platform {
  /** Runs handlers in threads, where there are any: see Consumer.pool(). */
  readonly openPool?: OpenPool;
  /** Says in the broker's log who is there. */
  readonly name: string;
  /** Whether CRCs of deliveries are verified unless the user says otherwise. */
  readonly verifyChecksums: boolean;
  open(url: string, events: WireEvents): Wire;
  /** Runs a task at the end of this event-loop turn. */
  soon(task: () => void): void;
  /** Calls back when the machine gets a network again, where it can tell. Returns the call that stops it. */
  whenOnline(listener: () => void): () => void;
}
