/**
 * The door to how Node.js itself reads from and writes to the handle of a socket: no public
 * interface, so what is used of it is checked here, once. Without it the public ways serve, with
 * the same results.
 */

export interface StreamWrap {
  readonly WriteWrap: new () => object;
  /** State of the last call on any handle, at the indexes below. */
  readonly streamBaseState: Int32Array;
  /** Bytes that the last read brought, or a negative error. */
  readonly kReadBytesOrError: number;
  /** Whether the last write is still under way. */
  readonly kLastWriteWasAsync: number;
}

export const streamWrap: StreamWrap | undefined = find();

function find(): StreamWrap | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> };
  if (binding === undefined) return undefined;
  let wrap: Partial<StreamWrap>;
  try {
    wrap = binding('stream_wrap');
  } catch {
    // Node.js under its permission model, or a later one without this door.
    return undefined;
  }
  const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = wrap;
  if (
    WriteWrap === undefined ||
    streamBaseState === undefined ||
    kReadBytesOrError === undefined ||
    kLastWriteWasAsync === undefined
  )
    return undefined;
  return { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync };
}
