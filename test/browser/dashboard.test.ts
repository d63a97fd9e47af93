// The dashboard in a real browser, against a real broker.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../src/client/node.ts';
import type { WsConnection } from '../../src/client/ws-connection.ts';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import { httpOf, launch, openPage, type Watched } from './chromium.ts';

let broker: Broker;
let browser: Browser;
let node: WsConnection;
let http = '';
const pages: Page[] = [];

beforeAll(async () => {
  broker = await startBroker({ name: 'test-broker', workers: 1, listen: { port: 0, frontends: 1 } });
  http = httpOf(broker.url);
  node = connect(broker.url as string);
  await node.ready();
  browser = await launch();
});

afterEach(async () => {
  for (const page of pages.splice(0)) await page.context().close();
});

afterAll(async () => {
  await browser?.close();
  await node?.close();
  await broker?.stop();
});

async function dashboard(topic = '', options: Parameters<typeof openPage>[2] = {}): Promise<Watched> {
  const watched = await openPage(browser, `${http}/#${topic}`, options);
  pages.push(watched.page);
  await watched.page.locator('#connection-state[data-state=connected]').waitFor();
  return watched;
}

async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).textContent()) ?? '';
}

/** Waits until the text of an element matches. */
async function shows(page: Page, selector: string, pattern: RegExp): Promise<void> {
  await expect.poll(() => textOf(page, selector), { timeout: 15_000 }).toMatch(pattern);
}

/** Waits until the feed has subscribed to a topic. */
async function reads(page: Page, topic: string): Promise<void> {
  await shows(page, '#feed-topic', new RegExp(`^${topic}$`));
  await shows(page, '#feed-status', /^\d+ message/);
}

async function publish(page: Page, fields: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) {
    const field = page.locator(`#publish-form [name=${name}]`);
    if (name === 'kind') await field.selectOption(value);
    else await field.fill(value);
  }
  await page.locator('#publish-send').click();
}

test('the page loads without complaints, is connected, and its figures change', async () => {
  const { page, complaints } = await dashboard();
  await shows(page, '#broker-name', /^test-broker$/);
  await shows(page, '#broker-version', /^\d+\.\d+\.\d+$/);
  await shows(page, '#broker-uptime', /\d/);
  await shows(page, '#broker-transport', /\w/);
  await shows(page, '#tile-connections', /^[1-9]/);
  await shows(page, '#tile-threads', /^[1-9]\d* of [1-9]/);
  await shows(page, '#card-cpu .figure:first-child .value', /\d %$/);
  await shows(page, '#card-memory .figure:first-child .value', /iB$/);
  await shows(page, '#card-traffic .figure:first-child .value', /B\/s$/);
  const uptime = await textOf(page, '#broker-uptime');
  const messagesIn = await textOf(page, '#tile-messages-in');
  await node.createTopic('figures');
  await node.producer('figures').sendBatch(Array.from({ length: 5_000 }, (_, n) => String(n)));
  await expect.poll(() => textOf(page, '#broker-uptime'), { timeout: 15_000 }).not.toBe(uptime);
  await expect
    .poll(async () => Number((await textOf(page, '#tile-messages-in')).replaceAll(',', '')), { timeout: 15_000 })
    .toBeGreaterThanOrEqual(Number(messagesIn.replaceAll(',', '')) + 5_000);
  const cores = await page.locator('#cores li').count();
  expect(cores).toBeGreaterThan(0);
  expect(complaints).toEqual([]);
  expect(await page.locator('#notices li').count()).toBe(0);
});

test('the charts are full of what happened before the page was opened', async () => {
  const { page } = await dashboard();
  const published = async () => {
    const { partitions } = await node.route('sys.metrics');
    return partitions.reduce((sum, one) => sum + one.nextOffset, 0);
  };
  await expect.poll(published, { timeout: 15_000 }).toBeGreaterThan(6);
  await page.reload();
  const openedAt = Date.now();
  const chart = page.locator('#card-memory .u-over');
  await chart.waitFor();
  await shows(page, '#card-memory .figure:first-child .value', /iB$/);
  // The point nearest to the left edge is the oldest; every chart shows the moment under the pointer.
  await chart.hover({ position: { x: 1, y: 40 } });
  await shows(page, '#card-memory .at', /^\d\d:\d\d:\d\d$/);
  await shows(page, '#card-cpu .at', /^\d\d:\d\d:\d\d$/);
  const [hours, minutes, seconds] = (await textOf(page, '#card-memory .at')).split(':').map(Number);
  const at = new Date(openedAt).setHours(hours, minutes, seconds);
  expect(openedAt - at).toBeGreaterThan(2_000);
});

test('a message published with the form appears with the offset of its receipt', async () => {
  const { page, complaints } = await dashboard();
  await publish(page, { topic: 'form', key: 'k-1', tag: 'blue', body: '{"total": 9.5}', times: '1', kind: 'json' });
  await shows(page, '#publish-result', /^accepted: partition \d+, offset 0$/);
  const [, partition] = /partition (\d+)/.exec(await textOf(page, '#publish-result')) ?? [];
  const row = page.locator(`#feed-list li[data-partition="${partition}"][data-offset="0"]`);
  await row.waitFor();
  expect(await row.locator('.key').textContent()).toBe('k-1');
  expect(await row.locator('.tag').textContent()).toBe('blue');
  expect(await row.locator('.body').textContent()).toBe('{"total": 9.5}');
  await row.locator('summary').click();
  expect(await row.locator('pre').textContent()).toBe('{\n  "total": 9.5\n}');
  expect(await row.locator('.facts').textContent()).toMatch(/offset 0 · stored .* · 14 bytes · key k-1 · tag blue/);
  expect(complaints).toEqual([]);
});

test('many messages from the form are numbered, and the receipt names every run of offsets', async () => {
  const { page } = await dashboard();
  await publish(page, { topic: 'many', key: 'one-key', body: 'number {n}', times: '25' });
  await shows(page, '#publish-result', /^accepted 25 messages in .*; offsets by partition: \d: 0 to 24$/);
  await expect.poll(() => page.locator('#feed-list li').count()).toBe(25);
  expect(await page.locator('#feed-list .body').first().textContent()).toBe('number 24');
  await shows(page, '#topics-body tr.selected', /^many425/);
});

test('refusals are shown with their code and their reason', async () => {
  const { page } = await dashboard();
  await publish(page, { topic: 'no spaces', body: 'x', times: '1' });
  await shows(page, '#publish-result', /^illegal-topic \(203\): .+/);
  await publish(page, { topic: 'form', body: '{"half": ', kind: 'json' });
  await shows(page, '#publish-result', /^the body is not JSON: .+/);
  await page.goto(`${http}/#nobody-made-this`);
  await page.reload();
  await shows(page, '#notices', /reading nobody-made-this: unknown-topic \(200\): .+/);
  expect((await node.topics()).map((route) => route.topic)).not.toContain('nobody-made-this');
  await page.getByRole('button', { name: 'Dismiss this message' }).click();
  expect(await page.locator('#notices li').count()).toBe(0);
});

test('a topic that is deleted while it is read says so', async () => {
  await node.createTopic('short-lived');
  const { page } = await dashboard('short-lived');
  await reads(page, 'short-lived');
  await node.deleteTopic('short-lived');
  await shows(page, '#notices', /reading short-lived: unknown-topic \(200\): topic short-lived was deleted/);
  await shows(page, '#feed-list', /the subscription has ended/);
});

test('messages from outside appear: HTTP, the Node client, and bytes that are no text', async () => {
  await node.createTopic('outside', { partitions: 1 });
  const { page } = await dashboard('outside');
  await reads(page, 'outside');
  const posted = await fetch(`${http}/api/topics/outside/messages?tag=posted`, { method: 'POST', body: 'over HTTP' });
  expect(posted.ok).toBe(true);
  await node.producer('outside').send('from Node', { key: 'node' });
  await node.producer('outside').send(Uint8Array.of(0, 255, 16, 128));
  await expect
    .poll(() => page.locator('#feed-list .body').allTextContents())
    .toEqual(['00 ff 10 80', 'from Node', 'over HTTP']);
  const binary = page.locator('#feed-list li').first();
  await binary.locator('summary').click();
  expect(await binary.locator('pre').textContent()).toMatch(/^000000 {2}00 ff 10 80 +\.{4}$/);
});

test('the feed can be paused: what comes meanwhile is counted and not shown', async () => {
  await node.createTopic('paused', { partitions: 1 });
  const { page } = await dashboard('paused');
  await reads(page, 'paused');
  const producer = node.producer('paused');
  await producer.send('before');
  await expect.poll(() => page.locator('#feed-list li').count()).toBe(1);
  await page.locator('#feed-pause').click();
  await producer.sendBatch(['a', 'b', 'c']);
  await shows(page, '#feed-status', /^4 messages .*paused$/);
  expect(await page.locator('#feed-list li').count()).toBe(1);
  await page.locator('#feed-pause').click();
  await producer.send('after');
  await expect.poll(() => page.locator('#feed-list .body').allTextContents()).toEqual(['after', 'before']);
});

test('a flood is counted to the last message, sampled, and the page says so', async () => {
  const total = 300_000;
  await node.createTopic('flood', { partitions: 2 });
  const { page, complaints } = await dashboard('flood');
  await reads(page, 'flood');
  const producer = node.producer('flood', { timeoutMs: 60_000 });
  const body = new Uint8Array(64).fill(120);
  let sampled = '';
  const flooding = (async () => {
    for (let n = 0; n < total; n += 10_000) {
      await producer.sendBatch(Array.from({ length: 10_000 }, () => body));
      await new Promise((resolve) => setTimeout(resolve, 60));
      const status = await textOf(page, '#feed-status');
      if (status.includes('showing')) sampled = status;
    }
  })();
  await flooding;
  await shows(page, '#feed-status', /^300,000 messages/);
  expect(sampled).toMatch(/showing 1 of every [\d,]+$/);
  expect(await page.locator('#feed-list li').count()).toBeLessThanOrEqual(200);
  expect(complaints).toEqual([]);
});

test('topics are listed with their rate, filtered by name, and chosen with the keyboard', async () => {
  await node.createTopic('keys.one', { partitions: 3, overflow: 'drop-oldest' });
  await node.createTopic('keys.two', { partitions: 1, overflow: 'reject' });
  const { page } = await dashboard();
  await page.locator('#topics-filter').fill('KEYS.');
  await expect.poll(() => page.locator('#topics-body th').allTextContents()).toEqual(['keys.one', 'keys.two']);
  const cells = page.locator('#topics-body tr').first().locator('td');
  // The rate is known after the second look.
  await expect
    .poll(() => cells.allTextContents(), { timeout: 10_000 })
    .toEqual(['3', '0', '0', 'drop-oldest', 'memory']);
  await page.getByRole('button', { name: 'keys.two' }).focus();
  await page.keyboard.press('Enter');
  await shows(page, '#feed-topic', /^keys\.two$/);
  expect(new URL(page.url()).hash).toBe('#keys.two');
  await page.locator('#snippet-curl').focus();
  await page.keyboard.press('ArrowRight');
  await shows(page, '#snippet-code', /ringmq\.json\.v1/);
});

test('without a data folder the page says so; with one it shows the store and what is kept', async () => {
  const { page: volatile } = await dashboard();
  await shows(volatile, '#tile-store', /^off$/);
  await shows(volatile, '#tile-log', /memory only/);

  const data = mkdtempSync(path.join(tmpdir(), 'ringmq-dashboard-'));
  const durable = await startBroker({ workers: 1, data, listen: { port: 0, frontends: 1 } });
  try {
    const base = httpOf(durable.url);
    for (const [topic, body] of [
      ['kept', '{"retentionMs":7200000}'],
      ['passing', '{"durable":false}'],
    ]) {
      expect((await fetch(`${base}/api/topics/${topic}`, { method: 'PUT', body })).status).toBe(201);
    }
    await fetch(`${base}/api/topics/kept/messages`, { method: 'POST', body: 'one' });
    const { page, complaints } = await openPage(browser, base);
    pages.push(page);
    await shows(page, '#tile-store', /^running$/);
    await shows(page, '#tile-log', /B of log · \d.*\/s · \d+ commits\/s$/);
    const kept = () => page.locator('#topics-body td:last-child').allTextContents();
    await expect.poll(kept, { timeout: 10_000 }).toEqual(['disk, 2 h 0 min', 'memory', 'memory']);
    expect(complaints).toEqual([]);
  } finally {
    await durable.stop();
    rmSync(data, { recursive: true, force: true });
  }
});

test('groups are listed with their members, lag and dead letters, and go when they are deleted', async () => {
  const { page, complaints } = await dashboard();
  expect(await page.locator('#groups').isVisible()).toBe(false);
  const consumer = node.consumer('shared', { group: 'team', onMessage: () => {} });
  await consumer.ready();
  const cells = () => page.locator('#groups-body tr').first().locator('th, td').allTextContents();
  await expect.poll(cells, { timeout: 15_000 }).toEqual(['team', 'shared', '1', '0', '0', '0']);
  expect(await page.locator('#groups').isVisible()).toBe(true);
  await consumer.close();
  await node.producer('shared').sendBatch(['a', 'b', 'c']);
  await expect.poll(cells, { timeout: 15_000 }).toEqual(['team', 'shared', '0', '3', '0', '0']);
  await node.deleteGroup('team');
  await expect.poll(() => page.locator('#groups').isVisible(), { timeout: 15_000 }).toBe(false);
  expect(complaints).toEqual([]);
});

describe('for everybody', () => {
  test('a phone has no horizontal scroll', async () => {
    const { page } = await dashboard('', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await shows(page, '#tile-connections', /^[1-9]/);
    const { scroll, width } = await page.evaluate(() => {
      return { scroll: document.documentElement.scrollWidth, width: innerWidth };
    });
    expect(scroll).toBeLessThanOrEqual(width);
    const outside = await page.evaluate(() => {
      const wide = [...document.querySelectorAll('main *')].filter(
        (one) => one.getBoundingClientRect().right > innerWidth,
      );
      // What scrolls inside its own box is fine.
      return wide.filter((one) => !one.closest('pre, .scroll, .plot')).map((one) => one.outerHTML.slice(0, 80));
    });
    expect(outside).toEqual([]);
  });

  test('controls, charts and tables have names, and ids are unique', async () => {
    const { page } = await dashboard();
    const broken = await page.evaluate(() => {
      const found: string[] = [];
      for (const control of document.querySelectorAll<HTMLInputElement>('input, select, textarea')) {
        if (!control.labels?.length) found.push(`no label: ${control.id}`);
      }
      for (const button of document.querySelectorAll('button')) {
        if (!(button.textContent?.trim() || button.ariaLabel)) found.push(`no name: ${button.outerHTML}`);
      }
      for (const chart of document.querySelectorAll('[role=img]')) {
        if (!chart.ariaLabel) found.push(`no name: ${chart.outerHTML.slice(0, 80)}`);
      }
      for (const cell of document.querySelectorAll('thead th')) {
        if (cell.getAttribute('scope') !== 'col') found.push(`no scope: ${cell.textContent}`);
      }
      const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
      for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: ${id}`);
      for (const one of document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby]')) {
        const named = ['aria-controls', 'aria-labelledby', 'aria-describedby'].map((name) => one.getAttribute(name));
        for (const id of named) if (id && !document.getElementById(id)) found.push(`nothing has id ${id}`);
      }
      return found;
    });
    expect(broken).toEqual([]);
    expect(await page.locator('html').getAttribute('lang')).toBe('en');
  });

  test.each(['dark', 'light'] as const)('text has a contrast of 4.5 to 1 or more: %s', async (colorScheme) => {
    const { page } = await dashboard('', { colorScheme });
    const colors = await page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      const names = ['bg', 'panel', 'raised', 'text', 'muted', 'in', 'out', 'cpu', 'memory', 'good', 'warn', 'bad'];
      return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    });
    const { bg, panel, raised, ...inks } = colors;
    for (const [name, ink] of Object.entries(inks)) {
      for (const paper of [bg, panel, raised]) expect(contrast(ink, paper), `${name} on ${paper}`).toBeGreaterThan(4.5);
    }
  });
});

/** Contrast ratio of two #rrggbb colours: WCAG 2.2, relative luminance. */
function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(color: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
