// What the store's threads have to say to people: lines for the broker's log.
import type { ThreadReport } from '../thread/worker-data.ts';
import type { LogReaderEvent } from './log-keeper.ts';
import type { StoreEvent } from './store-context.ts';

export function storeReport(event: StoreEvent): ThreadReport {
  if (event.type === 'room') return report('info', 'the disk has room again: messages are stored again');
  const fields = { cause: event.error.message };
  if (event.type === 'full') {
    return report('error', 'the disk is full: new messages are refused until there is room', fields);
  }
  return report('fatal', 'the disk failed: nothing more is stored until the broker is started again', fields);
}

export function logReaderReport(event: LogReaderEvent): ThreadReport {
  if (event.type === 'removed') {
    const { segments, reason } = event;
    return report('info', 'segments were removed: too old, or too much', { segments, reason });
  }
  if (event.type === 'watermark') {
    return event.full
      ? report('error', 'the disk is more than 90 % full: new messages are refused')
      : report('info', 'the disk has room again: messages are accepted again');
  }
  if (event.type === 'damaged') {
    const { position, text } = event;
    return report('error', 'a run of the log is damaged: it is not served', { position, cause: text });
  }
  return report('warn', 'upkeep of the log was put off', { cause: event.error.message });
}

function report(level: ThreadReport['level'], text: string, fields: Record<string, unknown> = {}): ThreadReport {
  return { type: 'report', level, text, fields };
}
