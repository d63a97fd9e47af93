// Filters of groups in simulated runs, each with what it means: said once for the broker, and once in plain code.
import type { Filter } from '../../src/client/messaging.ts';
import type { About } from './messages.ts';

export interface SimFilter {
  readonly filter: Filter;
  readonly wants: (about: About) => boolean;
}

export const FILTERS = {
  tags: {
    filter: 'red || green',
    wants: ({ tag }) => tag === 'red' || tag === 'green',
  },
  // What compares a property that is not there is unknown, and so is its opposite.
  numbers: {
    filter: { sql: "(n > 2 AND TAGS <> 'blue') OR n IS NULL" },
    wants: ({ n, tag }) => n === undefined || (n > 2 && tag !== undefined && tag !== 'blue'),
  },
  not: {
    filter: { sql: "NOT (n BETWEEN 3 AND 5 OR TAGS IN ('red', 'blue'))" },
    wants: ({ n, tag }) => n !== undefined && (n < 3 || n > 5) && tag === 'green',
  },
  keys: {
    filter: { sql: "KEYS IS NULL OR KEYS ENDSWITH '3' OR n = 7" },
    wants: ({ n, key }) => key === undefined || key.endsWith('3') || n === 7,
  },
} as const satisfies Readonly<Record<string, SimFilter>>;

export type FilterName = keyof typeof FILTERS;
