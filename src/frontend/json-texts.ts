// Stored messages as text frames of the readable protocol.
import { BatchView, RecordView } from '../record/batch-view.ts';
import { jsonMessage } from '../wire/json-replies.ts';
import type { Span, SpanText } from './span.ts';

const view = new BatchView();
const record = new RecordView();

/** Where batches lie, and whose they are. */
export interface BatchRun {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly start: number;
  readonly length: number;
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly number: number;
}

/** One text for each message of a span. */
export function textsOf(span: Span): readonly SpanText[] {
  const { topic, number, start, length } = span;
  const { bytes, words } = span.ring;
  return messageTexts({ bytes, words, start, length, topic, number });
}

/** One text for each message of a run of batches. */
export function messageTexts(run: BatchRun): SpanText[] {
  const { topic, number } = run;
  const texts: SpanText[] = [];
  view.span(run.bytes, run.words, run.start, run.length);
  while (view.next()) {
    record.open(view);
    while (record.next()) {
      const { offset, key = '', tag = '', properties = {}, body, flags } = record;
      const { epoch, bornAt, storedAt } = view;
      const message = { topic, partition: number, epoch, offset, key, tag, properties, bornAt, storedAt, body, flags };
      texts.push({ offset, text: jsonMessage(message) });
    }
  }
  return texts;
}
