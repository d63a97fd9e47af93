import { expect, test } from 'vitest';
test('x', () => { using a = { [Symbol.dispose]() {} }; expect(1).toBe(1); expect(a).toBeTruthy(); });
