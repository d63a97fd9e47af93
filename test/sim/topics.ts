// Makes the topics of a run, as an application does that starts first.
import { RingmqError } from '../../src/base/codes.ts';
import { InProcessConnection } from '../../src/client/in-process.ts';
import type { BrokerProcess } from './broker-process.ts';
import type { TopicPlan } from './plan.ts';
import { EventLoop, type World } from './world.ts';

/** Until all are there. `turnsUntil`: gives everybody turns until the condition holds. */
export async function makeTopics(
  world: World,
  broker: BrokerProcess,
  topics: readonly TopicPlan[],
  turnsUntil: (done: () => boolean) => Promise<void>,
): Promise<void> {
  const loop = new EventLoop('admin');
  let connection: InProcessConnection | undefined;
  await world.turn(loop, () => {
    connection = new InProcessConnection(broker.attachment);
  });
  if (!connection) return;
  const left = new Set(topics);
  for (const topic of topics) {
    const { name, ...settings } = topic;
    const options = { ...settings, ifNotExists: true };
    const make = (): void => {
      connection?.createTopic(name, options).then(
        () => left.delete(topic),
        (error: unknown) => {
          if (!(error instanceof RingmqError)) throw error;
          setTimeout(make, 100);
        },
      );
    };
    await world.turn(loop, make);
  }
  broker.guest = async () => {
    await world.turnLoop(loop);
    await world.turn(loop, () => {
      if (connection?.state === 'connected') connection.poll();
    });
  };
  await turnsUntil(() => left.size === 0);
  let closed = false;
  await world.turn(loop, () => {
    void connection?.close().then(() => {
      closed = true;
    });
  });
  await turnsUntil(() => closed);
  broker.guest = undefined;
  loop.end();
}
