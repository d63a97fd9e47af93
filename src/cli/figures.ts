// Counts, sizes and rates for people.

/** What a run has moved. */
export interface Figures {
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** 1,234,567 */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 12.3 MB */
export function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return bytes < 1_000_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${(bytes / 1_000_000_000).toFixed(2)} GB`;
}

/** `500,000 messages, 30.0 MB in 0.61 s: 819,672 msg/s, 49.2 MB/s` */
export function summary({ messages, bytes, seconds }: Figures): string {
  const per = Math.max(seconds, 0.001);
  const what = `${grouped(messages)} message${messages === 1 ? '' : 's'}, ${size(bytes)}`;
  return `${what} in ${seconds.toFixed(2)} s: ${grouped(messages / per)} msg/s, ${size(Math.round(bytes / per))}/s`;
}

/** Since a moment of performance.now(). */
export function figures(messages: number, bytes: number, sinceMs: number): Figures {
  return { messages, bytes, seconds: Math.round(performance.now() - sinceMs) / 1000 };
}
