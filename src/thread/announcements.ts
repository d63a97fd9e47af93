// What threads of one broker tell each other outside shared memory: new arenas, ended threads. A BroadcastChannel,
// because it needs no port handed over: knowing the broker's id is enough. Nothing on the data path goes through it.
import { BroadcastChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { ArenaSet } from '../memory/arena.ts';
import type { ArenaEntry } from '../memory/regions.ts';

export type Announcement =
  /** A thread made an arena. */
  | { readonly type: 'arena'; readonly arena: ArenaEntry }
  /** The owner of an arena has ended and its readers have been let go. */
  | { readonly type: 'arena-gone'; readonly id: number }
  /** Somebody met an arena that it does not know: the supervisor says all of them again. */
  | { readonly type: 'arenas-wanted' }
  /** A thread has given up its seat: it can be cleared. */
  | { readonly type: 'seat-left' }
  /** A thread of this process has ended, in whatever way. */
  | { readonly type: 'thread-ended'; readonly threadId: number }
  /** The broker has stopped: attached threads end their connections. */
  | { readonly type: 'stopped' };

export class Announcements {
  private readonly channel: BroadcastChannel;
  private readonly arenas: ArenaSet;
  private readonly listener: ((announcement: Announcement) => void) | undefined;

  private closed = false;

  constructor(brokerId: string, arenas: ArenaSet, listener?: (announcement: Announcement) => void) {
    this.arenas = arenas;
    this.listener = listener;
    this.channel = new BroadcastChannel(`ringmq:${brokerId}`);
    this.channel.onmessage = (event) => this.take((event as { data: Announcement }).data);
    this.channel.unref();
  }

  say(announcement: Announcement): void {
    if (!this.closed) this.channel.postMessage(announcement);
  }

  /** For threads that block: takes what has come without returning to the event loop. */
  poll(): void {
    // Node takes a BroadcastChannel here; its types do not say so.
    const port = this.channel as unknown as MessagePort;
    // What is heard may close this.
    while (!this.closed) {
      const said = receiveMessageOnPort(port);
      if (!said) return;
      this.take(said.message as Announcement);
    }
  }

  close(): void {
    this.closed = true;
    this.channel.close();
  }

  private take(announcement: Announcement): void {
    if (announcement.type === 'arena') this.arenas.add(announcement.arena.id, announcement.arena.buffer);
    if (announcement.type === 'arena-gone') this.arenas.delete(announcement.id);
    this.listener?.(announcement);
  }
}
