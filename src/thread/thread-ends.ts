// Tells the supervisor when a thread of this process has ended, in whatever way: only then may what it held be freed.
// Node tells the thread that started a worker, so every thread that takes part watches the workers that it starts: from
// the moment on when it loads this file, because a program may start its workers first and its broker later.

type Report = (threadId: number) => void;

const reports = new Set<Report>();

process.on('worker', (worker) => {
  // The id is -1 once the worker has ended.
  const { threadId } = worker;
  worker.once('exit', () => {
    for (const report of reports) report(threadId);
  });
});

/** Reports the end of every worker that this thread has started, until stopReporting(). */
export function reportThreadEnds(report: Report): void {
  reports.add(report);
}

/** The broker that is reported to is no longer used by this thread. */
export function stopReporting(report: Report): void {
  reports.delete(report);
}
