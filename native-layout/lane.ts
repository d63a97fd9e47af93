// A lane: one single-producer, single-consumer ring of frames between two threads, and the small rings built like it.
//
//   byte 0     tail   (producer)      position of the next frame; published after its bytes
//   byte 128   head   (consumer)      bytes before it are free again
//   byte 256   frames, 8-byte aligned; the int32 at the start of each is its size, or a negative wrap mark
import { LINE_BYTES, layoutAssert } from './layout.ts';

export const LANE_TAIL = 0;
export const LANE_HEAD = LINE_BYTES / 4;
export const LANE_CONTROL_BYTES = LINE_BYTES * 2;

/** Stands where a frame's size would when the rest up to the end is unused. Never a valid size. */
export const LANE_WRAP = -1;

/** Frame kinds other than a batch start with a negative opcode-like size word on the wire; in lanes: byte 4. */
export const FRAME_ALIGN = 8;

// Completion: what a broker worker answers for one batch; 32 bytes.
//
//   0 size=32 | 4 request id | 8 status | 12 partition | 16 base offset (int64) | 24 count | 28 epoch
export const COMPLETION_BYTES = 32;
export const COMPLETION_REQUEST = 4;
export const COMPLETION_STATUS = 8;
export const COMPLETION_PARTITION = 12;
export const COMPLETION_BASE_OFFSET = 16;
export const COMPLETION_COUNT = 24;
export const COMPLETION_EPOCH = 28;

// Notice ring: int32 partition ids, same two cursors, positions count entries.
export const NOTICE_CONTROL_BYTES = LINE_BYTES * 2;

layoutAssert(COMPLETION_EPOCH + 4 === COMPLETION_BYTES, 'completion must be 32 bytes');
