// Handler of a pool: the message says what it shall do.
const { threadId } = require('node:worker_threads');

module.exports = async function handle({ body, key, properties, topic, attempts }) {
  const text = Buffer.from(body).toString();
  if (text === 'hang' && attempts === 1) for (;;);
  if (text === 'exit' && attempts === 1) process.exit(3);
  if (text === 'fail' && attempts < 3) {
    throw new TypeError(`attempt ${attempts} of ${key} in ${topic}, ${properties?.why}, thread ${threadId > 0}`);
  }
  if (text === 'later' && attempts === 1) {
    throw Object.assign(new Error('not now'), { name: 'RetryLater', delayMs: 5 });
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
};
