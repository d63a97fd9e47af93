// What the features of this folder are told with: they run in every client, also in threads and in browsers, so that
// nothing here or there is imported.

/**
 * `ringmq`: the client's module. `open(options)`: one more connection, closed afterwards. `id` tells the runs of a
 * broker apart.
 */
export function makeTools({ ringmq, open, id }) {
  let names = 0;
  const tools = {
    ringmq,
    open,
    /** A name that nobody else has. */
    name: (what) => `${what}-${id}-${++names}`,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    async until(isSo, what, withinMs = 20_000) {
      const deadline = performance.now() + withinMs;
      for (;;) {
        const answer = await isSo();
        if (answer) return answer;
        if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
        await tools.sleep(5);
      }
    },
    equal(actual, expected, what = '') {
      const [is, shall] = [JSON.stringify(actual), JSON.stringify(expected)];
      if (is !== shall) throw new Error(`${what}: ${is} instead of ${shall}`);
    },
    /** Code and text of what refuses; '' if nothing does. */
    async refusal(ask) {
      try {
        await ask();
        return '';
      } catch (error) {
        return `${error.code}: ${error.message}`;
      }
    },
    /** Refuses with this code, and a text that matches. */
    async refused(code, text, ask) {
      const refusal = await tools.refusal(ask);
      if (!refusal.startsWith(`${code}: `) || !text.test(refusal)) {
        throw new Error(`"${refusal}" instead of ${code} with ${text}`);
      }
    },
    numbers: (count, from = 0) => Array.from({ length: count }, (_, i) => `${from + i}`),
    texts: (messages) => messages.map((one) => one.text()),
    /** A consumer of a topic from its beginning, and what it gets. */
    async listen(bus, topic, options = {}) {
      const heard = [];
      const consumer = bus.consumer(topic, {
        from: 'earliest',
        onMessage: (message) => void heard.push(message),
        ...options,
      });
      await consumer.ready();
      return { consumer, heard };
    },
    lag: async (bus, group) => (await bus.describeGroup(group)).queues.reduce((sum, one) => sum + one.lag, 0),
  };
  return tools;
}
