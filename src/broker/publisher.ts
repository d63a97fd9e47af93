// The worker's ends of one publishing (or reading) thread's lanes.
import { LaneReader, LaneWriter } from '../memory/lane.ts';
import { NoticeWriter } from '../memory/notice.ts';
import { laneBack, laneTo, noticesFrom, type Regions } from '../memory/regions.ts';
import { CompletionWriter } from './completions.ts';

export class Publisher {
  readonly seat: number;
  readonly lane: LaneReader;
  readonly completions: CompletionWriter;
  readonly notices: NoticeWriter;

  constructor(regions: Regions, seat: number, ownSeat: number) {
    this.seat = seat;
    this.lane = new LaneReader(regions.laneWords, regions.laneBytes, laneTo(regions.sizes, seat, ownSeat));
    const back = new LaneWriter(regions.laneWords, regions.laneBytes, laneBack(regions.sizes, seat, ownSeat));
    this.completions = new CompletionWriter(back);
    this.notices = new NoticeWriter(regions.laneWords, noticesFrom(regions.sizes, seat, ownSeat));
  }
}
