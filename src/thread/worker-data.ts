// What each server thread is started with.
import type { Attachment } from '../memory/regions.ts';
import type { IdleName } from './agent.ts';

export interface BrokerWorkerData {
  readonly attachment: Attachment;
  readonly seat: number;
  readonly idle: IdleName;
  readonly ringMemoryMaxBytes: number;
}

/** `options` and `topics` are the NameServer agent's own types; this folder does not import agents. */
export interface NameServerWorkerData<Options = never, Topic = never> {
  readonly attachment: Attachment;
  readonly options: Options;
  readonly topics: readonly Topic[];
}
