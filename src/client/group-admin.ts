// What every kind of connection does with groups of consumers: looks at them, sets them, moves them, ends them.
import { RingmqError } from '../base/codes.ts';
import { isGroupName, isTopicName } from '../base/units.ts';
import { wholeDescription } from '../wire/group-pages.ts';
import type {
  CallOptions,
  GroupDescription,
  GroupSettings,
  GroupSummary,
  Method,
  ParamsOf,
  ResetTo,
  ResultOf,
} from '../wire/services.ts';
import { ConnectionEvents } from './connection-events.ts';

/** Groups have retry topics, whose names have to fit. */
const GROUP_LENGTH_MAX = 120;
/** Most messages that one call replays. */
const REPLAY_CALL_MAX = 1_024;

export abstract class GroupAdmin extends ConnectionEvents {
  /** Asks the coordinator. */
  abstract call<M extends Method>(
    method: M,
    params: ParamsOf<M>,
    options?: CallOptions,
  ): Promise<{ readonly result: ResultOf<M>; readonly payload: Uint8Array }>;

  /** All groups, by name. */
  async groups(): Promise<readonly GroupSummary[]> {
    const all: GroupSummary[] = [];
    for (;;) {
      const { result } = await this.call('group-list', { after: all.at(-1)?.group ?? '' });
      all.push(...result.groups);
      // A page without groups would be asked for again and again.
      if (!result.more || result.groups.length === 0) return all;
    }
  }

  async describeGroup(group: string): Promise<GroupDescription> {
    checkGroup(group);
    return wholeDescription(async (after) => {
      return (await this.call('group-describe', after === undefined ? { group } : { group, after })).result;
    });
  }

  async setGroup(group: string, settings: Partial<GroupSettings>): Promise<GroupSettings> {
    checkGroup(group);
    return (await this.call('group-settings', { group, settings })).result;
  }

  async resetGroup(group: string, topic: string, to: ResetTo, partition = -1): Promise<void> {
    checkGroup(group);
    if (!isTopicName(topic))
      throw new RingmqError('illegal-topic', `topic ${JSON.stringify(topic)} cannot be one's name`);
    await this.call('group-reset', { group, topic, partition, to });
  }

  async deleteGroup(group: string): Promise<void> {
    checkGroup(group);
    await this.call('group-delete', { group });
  }

  async replayDeadLetters(
    group: string,
    max = Number.POSITIVE_INFINITY,
  ): Promise<{ readonly replayed: number; readonly left: number }> {
    checkGroup(group);
    if (!(max >= 1)) throw new RingmqError('illegal-argument', `replayDeadLetters: max is ${max}: 1 or more`);
    let replayed = 0;
    for (;;) {
      const maxMessages = Math.min(max - replayed, REPLAY_CALL_MAX);
      const { result } = await this.call('dlq-replay', { group, maxMessages });
      replayed += result.replayed;
      if (result.left === 0 || result.replayed === 0 || replayed >= max) return { replayed, left: result.left };
    }
  }
}

function checkGroup(group: string): void {
  if (isGroupName(group) && !group.includes('|') && group.length <= GROUP_LENGTH_MAX) return;
  const text = `names have 1 to ${GROUP_LENGTH_MAX} characters of A-Z a-z 0-9 % . _ -`;
  throw new RingmqError('illegal-group', `group ${JSON.stringify(group.slice(0, 300))}: ${text}`);
}
