// Requests of a session: answers find who asked, also when they come too late.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Requests } from '../../../src/client/ws-requests.ts';
import type { Command } from '../../../src/wire/commands.ts';

const QUESTION: Command = { type: 'topics-request', after: '', limit: 1 };
const REFUSED: Command = { type: 'refused', code: 'too-late', text: '' };

test('what comes after its request was given up is nobody’s, and no news either', async () => {
  const requests = new Requests(5, { trySend: () => true, why: () => '' });
  await expect(requests.ask(QUESTION)).rejects.toMatchObject({ code: 'timeout' });
  expect(requests.answer(1, REFUSED)).toBe(true);
  expect(requests.pending).toBe(0);
});

test('what answers nothing is news', () => {
  const requests = new Requests(5, { trySend: () => true, why: () => '' });
  expect(requests.answer(0, REFUSED)).toBe(false);
});

test('an answer in time settles its request', async () => {
  const requests = new Requests(1_000, { trySend: () => true, why: () => '' });
  const asked = requests.ask(QUESTION);
  await sleep(1);
  expect(requests.answer(1, REFUSED)).toBe(true);
  await expect(asked).rejects.toMatchObject({ code: 'too-late' });
});
