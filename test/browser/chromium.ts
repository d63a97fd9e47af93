// Chromium for the tests of this folder: one for each file, with a new profile, and pages that remember whatever went
// wrong in them.
import fs from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Debian's; another one with CHROMIUM=path. */
const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The browser client's module, as loadClient() puts it into a page. */
export type Ringmq = typeof import('../../src/client/browser.ts');

declare global {
  var ringmq: Ringmq;
}

/** Starts a browser with a profile of its own. Throws, saying what is missing, where there is none. */
export async function launch(): Promise<Browser> {
  if (!fs.existsSync(EXECUTABLE)) {
    throw new Error(`no browser at ${EXECUTABLE}: install Debian's package chromium, or set CHROMIUM to another one`);
  }
  return chromium.launch({ executablePath: EXECUTABLE, args: ARGS });
}

/** A page, and everything about it that a person would call broken. */
export interface Watched {
  readonly page: Page;
  /** Errors on the console, exceptions, requests that failed or were refused. */
  readonly complaints: string[];
}

export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()} failed`));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.url()} was answered with ${response.status()}`);
  });
  await page.goto(url);
  return { page, complaints };
}

/** A bare page of the broker with the browser client in `ringmq`. */
export async function clientPage(browser: Browser, httpUrl: string): Promise<Page> {
  const { page } = await openPage(browser, `${httpUrl}/health`);
  const content = `import * as ringmq from '/ringmq.js'; globalThis.ringmq = ringmq;`;
  await page.addScriptTag({ type: 'module', content });
  await page.waitForFunction(() => globalThis.ringmq !== undefined);
  return page;
}

/** http://… of a broker's ws://… */
export function httpOf(wsUrl: string | undefined): string {
  return (wsUrl ?? '').replace(/^ws/, 'http');
}
