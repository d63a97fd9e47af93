// What to paste into a terminal or a program to talk to this very broker.
import { byId, setText } from './elements.ts';
import type { Notices } from './notices.ts';

const TOPIC_UNTIL_CHOSEN = 'demo';
const COPIED_MS = 1_500;

export class Snippets {
  private readonly tabs: readonly HTMLButtonElement[];
  private readonly code = byId('snippet-code');
  private readonly panel = byId('snippet-panel');
  private readonly copyButton = byId<HTMLButtonElement>('snippet-copy');
  private readonly notices: Notices;
  private topic = TOPIC_UNTIL_CHOSEN;
  private chosen: HTMLButtonElement;

  constructor(notices: Notices) {
    this.notices = notices;
    this.tabs = [...byId('snippet-tabs').querySelectorAll('button')];
    this.chosen = this.tabs[0];
    for (const tab of this.tabs) {
      tab.addEventListener('click', () => this.choose(tab));
      tab.addEventListener('keydown', (event) => this.step(event));
    }
    this.copyButton.addEventListener('click', () => void this.copy());
    this.choose(this.chosen);
  }

  /** The topic that the snippets speak of. */
  use(topic: string): void {
    this.topic = topic;
    this.show();
  }

  private choose(tab: HTMLButtonElement): void {
    this.chosen = tab;
    for (const one of this.tabs) {
      one.setAttribute('aria-selected', String(one === tab));
      one.tabIndex = one === tab ? 0 : -1;
    }
    this.panel.setAttribute('aria-labelledby', tab.id);
    this.show();
  }

  /** Arrow keys, as in every list of tabs. */
  private step(event: KeyboardEvent): void {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const next = this.tabs[(this.tabs.indexOf(this.chosen) + by + this.tabs.length) % this.tabs.length];
    this.choose(next);
    next.focus();
    event.preventDefault();
  }

  private show(): void {
    const write = SNIPPETS[this.chosen.id];
    setText(this.code, write(location.origin, location.origin.replace(/^http/, 'ws'), this.topic));
  }

  private async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.code.textContent ?? '');
      setText(this.copyButton, 'Copied');
      setTimeout(() => setText(this.copyButton, 'Copy'), COPIED_MS);
    } catch (error) {
      // Without https, or without permission: the text is selected at least.
      getSelection()?.selectAllChildren(this.code);
      this.notices.show('copying (the text is selected: press Ctrl+C)', error);
    }
  }
}

type Write = (http: string, ws: string, topic: string) => string;

const SNIPPETS: Readonly<Record<string, Write>> = {
  'snippet-curl': (http, _, topic) => `# publish bytes as they are; the answer says partition and offset
curl ${http}/api/topics/${encodeURIComponent(topic)}/messages --data-binary 'hello from curl'

# publish JSON, with a key and a tag
curl ${http}/api/topics/${encodeURIComponent(topic)}/messages -H 'content-type: application/json' \\
  -d '{"key": "customer-7", "tag": "paid", "body": {"total": 9.5}}'

# what there is
curl ${http}/api/topics`,

  'snippet-websocket': (_, ws, topic) => `const topic = ${JSON.stringify(topic)};
const socket = new WebSocket('${ws}', 'ringmq.json.v1');
socket.onopen = () => {
  socket.send(JSON.stringify({ op: 'subscribe', topic, id: 1 }));
};
socket.onmessage = ({ data }) => {
  const said = JSON.parse(data);
  console.log(said.op, said.offset ?? '', said.body ?? said);
  if (said.op !== 'subscribed') return;
  socket.send(JSON.stringify({ op: 'publish', topic, body: { hello: 'world' }, id: 2 }));
};`,

  'snippet-browser': (http, ws, topic) => `import { connect } from '${http}/ringmq.js';

const connection = connect('${ws}');

for await (const message of connection.consumer('${topic}', { from: { last: 10 } })) {
  console.log(message.partition, message.offset, message.text());
}`,

  'snippet-node': (_, ws, topic) => `import { connect } from 'ringmq/client';

const connection = connect('${ws}');

connection.consumer('${topic}', {
  onMessage: (message) => console.log(message.offset, message.text()),
});

const receipt = await connection.producer('${topic}').send('hello from Node');
console.log('accepted at', receipt.partition, receipt.offset);`,

  'snippet-cli': (_, ws, topic) => `# in one terminal
npx ringmq sub ${topic} --url ${ws}

# in another
npx ringmq pub ${topic} --url ${ws} --message 'hello from the command line'
seq 1 1000 | npx ringmq pub ${topic} --url ${ws}`,
};
