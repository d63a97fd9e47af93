// What the handlers of pools say from their threads, in the order of what happens there, and what their consumers know
// of it.
import { BroadcastChannel } from 'node:worker_threads';
import type { Step } from './pool-handler.ts';

export class PoolBook {
  private readonly channel = new BroadcastChannel(`torture-pool-${Math.random()}`);
  private readonly took: (step: Step) => void;
  /** By thread: what it ended last and was given nothing after. */
  private readonly ended = new Map<number, string>();
  private known: string[] = [];
  private life = 0;

  constructor(took: (step: Step) => void) {
    this.took = took;
    this.channel.onmessage = (event) => this.take((event as { readonly data: Step }).data);
    this.channel.unref();
  }

  /** Module of the handlers of a pool that begins: one at a time. What the one before has not named is nobody's. */
  begin(): URL {
    this.life++;
    this.ended.clear();
    this.known = [];
    const fromSource = import.meta.url.endsWith('.ts');
    const file = fromSource ? '../dist/torture/pool-handler.js' : './pool-handler.js';
    return new URL(`${file}?channel=${this.channel.name}&life=${this.life}`, import.meta.url);
  }

  /**
   * What the consumer knows to be handled, each once: a thread is given its next message when the consumer has the
   * result of the one before. The last one of each thread may still be on its way.
   */
  done(): readonly string[] {
    return this.known.splice(0);
  }

  close(): void {
    this.channel.close();
  }

  private take(step: Step): void {
    this.took(step);
    const { what, life, thread, id } = step;
    if (life !== this.life) return;
    const before = this.ended.get(thread);
    if (what === 'ends') this.ended.set(thread, id);
    else if (before !== undefined) {
      this.known.push(before);
      this.ended.delete(thread);
    }
  }
}
