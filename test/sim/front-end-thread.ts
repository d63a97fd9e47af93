// The front end's thread in a simulated process: an event loop of its own, on the simulated network.
import { CODES } from '../../src/base/codes.ts';
import { type Log, makeLog } from '../../src/base/log.ts';
import { FrontEnd } from '../../src/frontend/front-end.ts';
import { CallsApi } from '../../src/frontend/http/calls-api.ts';
import { HistoryApi } from '../../src/frontend/http/history-api.ts';
import { MessagesApi } from '../../src/frontend/http/messages-api.ts';
import { Origins } from '../../src/frontend/http/origins.ts';
import { HttpRouter } from '../../src/frontend/http/router.ts';
import type { Attachment } from '../../src/memory/regions.ts';
import type { Listener, Network } from './network.ts';
import { EventLoop, type World } from './world.ts';

const STALL_MS = 10_000;
const CLOSE_WAIT_MS = 50;
const silent: Log = makeLog('silent');

export type FrontEndThread = Listener;

export async function startFrontEnd(world: World, attachment: Attachment): Promise<FrontEndThread> {
  const loop = new EventLoop('front-end');
  let frontEnd: FrontEnd | undefined;
  await world.turn(loop, () => {
    const config = {
      brokerName: 'sim',
      host: 'sim',
      port: 1,
      shared: false,
      transport: 'ws',
      origins: [],
      connectionsMax: 100,
      systemMetrics: false,
      startedAt: 0,
      logLevel: 'silent',
      stallMs: STALL_MS,
    } as const;
    frontEnd = new FrontEnd(attachment, config, 'sim', silent, () => {});
  });
  const made = frontEnd as unknown as FrontEnd;
  return { frontEnd: made, loop, http: httpOf(made) };
}

/** What of HTTP moves or finds messages, and calls; the parsing is a transport's, and has no place here. */
function httpOf(frontEnd: FrontEnd): Listener['http'] {
  const messages = new MessagesApi(frontEnd);
  const history = new HistoryApi(frontEnd);
  const calls = new CallsApi(frontEnd);
  const notHere = (): never => {
    throw new Error('the simulator has nothing of that');
  };
  const router = new HttpRouter({
    origins: new Origins([], 'localhost'),
    publish: (request, topic) => messages.publish(request, topic),
    pull: (request, topic) => messages.pull(request, topic),
    asset: notHere,
    health: notHere,
    metrics: notHere,
    topics: notHere,
    createTopic: notHere,
    deleteTopic: notHere,
    route: notHere,
    query: (request, topic) => history.query(request, topic),
    setRetention: notHere,
    message: (request, id) => history.message(request, id),
    call: (request, method) => calls.call(request, method),
    groups: notHere,
    group: notHere,
  });
  return (request) => router.handle(request);
}

/** In order. To be called in turns of its thread. */
export async function closeFrontEnd({ frontEnd, loop }: FrontEndThread, network: Network): Promise<void> {
  const { number, text } = CODES['shutting-down'];
  await frontEnd.drain();
  network.closeAll(number, text);
  await new Promise((resolve) => setTimeout(resolve, CLOSE_WAIT_MS));
  network.serverGone();
  frontEnd.close();
  loop.end();
}
