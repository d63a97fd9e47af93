// Addresses of brokers as people write them.
import { RingmqError } from '../base/codes.ts';

const SCHEMES: Readonly<Record<string, string>> = { 'ws:': 'ws:', 'wss:': 'wss:', 'http:': 'ws:', 'https:': 'wss:' };

/**
 * Checks one or several addresses and returns them as ws:// or wss:// (http and https are taken for those).
 * Throws `illegal-argument` saying which one is wrong and how.
 */
export function brokerUrls(given: string | URL | readonly (string | URL)[]): readonly string[] {
  const list = typeof given === 'string' || given instanceof URL ? [given] : given;
  if (list.length === 0) throw new RingmqError('illegal-argument', 'connect() needs the address of a broker');
  return list.map((one) => brokerUrl(String(one)));
}

function brokerUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RingmqError('illegal-argument', `'${text}' is no address: write it like ws://127.0.0.1:7400`);
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) {
    throw new RingmqError('illegal-argument', `'${text}' is no address: ws:// or wss:// is understood`);
  }
  if (url.hash !== '') throw new RingmqError('illegal-argument', `'${text}': a WebSocket address has no #fragment`);
  const rest = url.href.slice(url.protocol.length);
  return `${scheme}${url.pathname === '/' && url.search === '' ? rest.replace(/\/$/, '') : rest}`;
}
