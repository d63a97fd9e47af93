// Groups over plain HTTP: what there is, and what each one looks like.
import { wholeDescription } from '../../wire/group-pages.ts';
import type { QueueRef, ResultOf } from '../../wire/services.ts';
import type { Calls } from '../calls.ts';
import type { HttpRequest, HttpResponse } from '../transport/transport.ts';
import { json } from './answers.ts';
import { Query } from './query.ts';

export interface GroupsApiContext {
  readonly calls: Calls;
  /** There is work for the next turn. */
  readonly kick: () => void;
}

export class GroupsApi {
  private readonly context: GroupsApiContext;

  constructor(context: GroupsApiContext) {
    this.context = context;
  }

  /** GET /api/groups?after=NAME */
  async list(request: HttpRequest): Promise<HttpResponse> {
    const after = new Query(request.query, ['after']).text('after');
    return json(200, await this.ask(this.context.calls.call('group-list', { after })));
  }

  /** GET /api/groups/NAME */
  async describe(_request: HttpRequest, group: string): Promise<HttpResponse> {
    const { calls } = this.context;
    const page = (after?: QueueRef) => {
      return this.ask<'group-describe'>(
        calls.call('group-describe', after === undefined ? { group } : { group, after }),
      );
    };
    return json(200, await wholeDescription(page));
  }

  private async ask<M extends 'group-list' | 'group-describe'>(
    asked: Promise<{ readonly result: ResultOf<M> }>,
  ): Promise<ResultOf<M>> {
    this.context.kick();
    return (await asked).result;
  }
}
