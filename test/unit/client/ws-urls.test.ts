import fs from 'node:fs';
import { expect, test } from 'vitest';
import { CLIENT_VERSION } from '../../../src/client/ws-link.ts';
import { brokerUrls } from '../../../src/client/ws-urls.ts';

test('addresses are normalised; http is taken for ws', () => {
  expect(brokerUrls('ws://127.0.0.1:7400')).toEqual(['ws://127.0.0.1:7400']);
  expect(brokerUrls(['http://a:1/', new URL('https://b/path?x=1')])).toEqual(['ws://a:1', 'wss://b/path?x=1']);
  expect(brokerUrls('ws://[::1]:7400/')).toEqual(['ws://[::1]:7400']);
});

test('what is no address is refused, saying which and how', () => {
  expect(() => brokerUrls('127.0.0.1:7400')).toThrow(/127\.0\.0\.1:7400.*ws:\/\//);
  expect(() => brokerUrls('ftp://host')).toThrow(/ftp:\/\/host.*ws:\/\//);
  expect(() => brokerUrls('ws://host/#part')).toThrow(/fragment/);
  expect(() => brokerUrls([])).toThrow(/address/);
});

test('the version that clients say is the package’s', () => {
  const { version } = JSON.parse(fs.readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  expect(CLIENT_VERSION).toBe(version);
});
