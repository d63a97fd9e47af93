// The dashboard: one page, one connection to the broker that served it. It knows nothing that any other client could
// not know: figures come as messages on a topic, everything else through the client's public interface.
import { BROWSER } from '../../client/browser.ts';
import { WsConnection } from '../../client/ws-connection.ts';
import { Charts } from './charts.ts';
import { ConnectionBar } from './connection-bar.ts';
import { Cord } from './cord.ts';
import { Feed } from './feed.ts';
import { Groups } from './groups.ts';
import { Metrics } from './metrics.ts';
import { Notices } from './notices.ts';
import { PublishForm } from './publish-form.ts';
import { Snippets } from './snippets.ts';
import type { Stream } from './stream.ts';
import { Topics } from './topics.ts';

/** A person looks at this: coming back is never put off for long. */
const RETRY_MAX_MS = 5_000;

function main(): void {
  const notices = new Notices();
  addEventListener('error', (event) => notices.show('this page', event.error ?? event.message));
  addEventListener('unhandledrejection', (event) => notices.show('this page', event.reason));

  const cord = new Cord(BROWSER);
  const connection = new WsConnection(cord, location.origin, {
    name: 'dashboard',
    reconnect: { maxMs: RETRY_MAX_MS },
  });
  connection.onError((error) => notices.show('connection', error));

  const metrics = new Metrics(connection, new Charts(), notices);
  const feed = new Feed(connection, notices);
  const snippets = new Snippets(notices);
  const form = new PublishForm(connection, (topic) => {
    void topics.refresh();
    if (feed.topic !== topic) topics.select(topic);
  });
  const show = (topic: string): void => {
    if (feed.topic !== topic) feed.open(topic);
    form.offer(topic);
    snippets.use(topic);
    history.replaceState(null, '', `#${encodeURIComponent(topic)}`);
  };
  const topics: Topics = new Topics(connection, notices, show, (topic) => form.use(topic));
  const groups = new Groups(connection, notices);
  new ConnectionBar(connection, cord, notices, () =>
    [metrics.stream, feed.stream].filter((one): one is Stream => one !== undefined),
  );

  const linked = linkedTopic();
  if (linked !== '') {
    // Subscribing would make a topic of any name; asking for its route does not.
    connection.route(linked).then(
      () => topics.select(linked),
      (error: unknown) => notices.show(`reading ${linked}`, error),
    );
  }
  connection.onState(({ to }) => {
    if (to !== 'connected') return;
    void topics.refresh();
    void groups.refresh();
  });
}

/** The topic that the address names: everything behind #. */
function linkedTopic(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

main();
