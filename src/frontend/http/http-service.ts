// The HTTP side of a front end, put together.
import { type Asset, loadAssets } from '../../admin/assets.ts';
import type { BrokerFigures } from '../../admin/broker-figures.ts';
import { GroupFigures } from '../../admin/group-figures.ts';
import { LABELLED_TOPICS_MAX, Prometheus } from '../../admin/prometheus.ts';
import type { BrokerFacts } from '../../admin/system-metrics.ts';
import type { TopicRoute } from '../../wire/commands.ts';
import type { FrontEnd } from '../front-end.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { json, NO_STORE } from './answers.ts';
import { CallsApi } from './calls-api.ts';
import { GroupsApi } from './groups-api.ts';
import { HistoryApi } from './history-api.ts';
import { MessagesApi } from './messages-api.ts';
import type { Origins } from './origins.ts';
import { HttpRouter } from './router.ts';
import { TopicsApi } from './topics-api.ts';

const UNAVAILABLE = 503;
const NOT_MODIFIED = 304;

export class HttpService {
  private readonly frontEnd: FrontEnd;
  private readonly figures: BrokerFigures;
  private readonly facts: BrokerFacts;
  private readonly prometheus: Prometheus;
  private readonly groups: GroupFigures;
  private readonly assets: ReadonlyMap<string, Asset> = loadAssets();
  private readonly router: HttpRouter;

  constructor(frontEnd: FrontEnd, origins: Origins, figures: BrokerFigures, facts: BrokerFacts) {
    this.frontEnd = frontEnd;
    this.figures = figures;
    this.facts = facts;
    this.prometheus = new Prometheus(frontEnd.participant.regions, figures, facts);
    const topics = new TopicsApi(frontEnd.ask);
    const messages = new MessagesApi(frontEnd);
    const history = new HistoryApi(frontEnd);
    const calls = new CallsApi(frontEnd);
    const groups = new GroupsApi(frontEnd);
    this.groups = new GroupFigures(
      (method, params) => {
        const asked = frontEnd.calls.call(method, params);
        frontEnd.kick();
        return asked;
      },
      () => performance.now(),
    );
    this.router = new HttpRouter({
      origins,
      asset: (request) => this.asset(request),
      health: () => this.health(),
      metrics: () => this.metrics(),
      topics: (request) => topics.list(request),
      createTopic: (request, topic) => topics.create(request, topic),
      deleteTopic: (request, topic) => topics.delete(request, topic),
      route: (request, topic) => topics.route(request, topic),
      publish: (request, topic) => messages.publish(request, topic),
      pull: (request, topic) => messages.pull(request, topic),
      query: (request, topic) => history.query(request, topic),
      setRetention: (request, topic) => topics.setRetention(request, topic),
      message: (request, id) => history.message(request, id),
      call: (request, method) => calls.call(request, method),
      groups: (request) => groups.list(request),
      group: (request, group) => groups.describe(request, group),
    });
  }

  handle(request: HttpRequest): Promise<HttpResponse> {
    return this.router.handle(request);
  }

  private asset(request: HttpRequest): HttpResponse | undefined {
    const asset = this.assets.get(request.path);
    if (!asset) return undefined;
    const { headers, etag, body } = asset;
    const known = request.header('if-none-match').split(',');
    if (known.some((one) => one.trim().replace(/^W\//, '') === etag))
      return { status: NOT_MODIFIED, headers, body: '' };
    return { status: 200, headers, body };
  }

  private health(): HttpResponse {
    const { name, version, transport, startedAt } = this.facts;
    const workers = this.figures.workers();
    const store = this.figures.storeState;
    const ok = this.figures.state === 'running' && workers.alive === workers.expected && store !== 'failed';
    const uptimeS = Math.round((Date.now() - startedAt) / 1_000);
    const status = ok ? 'ok' : store === 'failed' ? 'store-failed' : this.figures.state;
    return json(ok ? 200 : UNAVAILABLE, { status, broker: name, version, uptimeS, transport, workers, store });
  }

  private async metrics(): Promise<HttpResponse> {
    const body = await this.prometheus.render(await this.topics(), await this.groups.read());
    return { status: 200, headers: { 'content-type': this.prometheus.contentType, ...NO_STORE }, body };
  }

  /** Figures go out also when the NameServer does not answer. */
  private async topics(): Promise<readonly TopicRoute[]> {
    try {
      const reply = await this.frontEnd.ask({ type: 'topics-request', after: '', limit: LABELLED_TOPICS_MAX });
      return reply.type === 'topics-reply' ? reply.topics : [];
    } catch {
      return [];
    }
  }
}
