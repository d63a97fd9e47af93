// Tells the supervisor when a thread of this process has ended, in whatever way: only then may what it held be freed.
// Node tells the thread that started a worker, so every thread that takes part watches the workers that it starts.
import type { Announcements } from './announcements.ts';

const watchers = new Set<Announcements>();
let hooked = false;

/** Reports the end of every worker that this thread starts from now on, until stopReporting(). */
export function reportThreadEnds(announcements: Announcements): void {
  watchers.add(announcements);
  if (hooked) return;
  hooked = true;
  process.on('worker', (worker) => {
    // The id is -1 once the worker has ended.
    const { threadId } = worker;
    worker.once('exit', () => {
      for (const watcher of watchers) watcher.say({ type: 'thread-ended', threadId });
    });
  });
}

/** The broker that these announcements belong to is no longer used by this thread. */
export function stopReporting(announcements: Announcements): void {
  watchers.delete(announcements);
}
