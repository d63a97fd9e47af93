// The audit of the torture ends with the broker that it looks at: what waits for the next one holds it up, because that
// is started when the audit is over.
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { Audit } from '../../../torture/audit.ts';
import { Checker } from '../../../torture/checker.ts';
import { FakeBroker } from '../../support/fake-broker.ts';

/** Far less than a request waits for a broker. */
const SOON_MS = 10_000;

let broker: FakeBroker | undefined;

afterEach(async () => {
  await broker?.stop();
  broker = undefined;
});

test(
  'a broker that is gone before anything was asked ends the audit',
  async () => {
    const died = new AbortController();
    const run = new Audit(new Checker()).run(`ws://127.0.0.1:${await freePort()}`, ['alpha'], false, died.signal);
    died.abort();
    await expect(run).rejects.toThrow('closed');
  },
  SOON_MS,
);

test(
  'a broker that dies before it has answered which topics there are ends the audit',
  async () => {
    const died = new AbortController();
    let asked = (): void => {};
    const question = new Promise<void>((resolve) => {
      asked = resolve;
    });
    broker = await FakeBroker.start({
      onCommand: (_session, _correlation, { type }) => {
        if (type !== 'topics-request') return false;
        asked();
        return true;
      },
    });
    const run = new Audit(new Checker()).run(broker.url, ['alpha'], false, died.signal);
    run.catch(() => {});
    await question;
    await broker.stop();
    died.abort();
    await expect(run).rejects.toThrow('closed');
  },
  SOON_MS,
);
