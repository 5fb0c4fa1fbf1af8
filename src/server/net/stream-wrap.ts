/**
 * Access to the internals by which Node.js reads from and writes to the handle of a socket. They
 * are no public interface, so the used parts are checked here, once. Without them the public ways
 * serve, with the same results.
 */

export interface StreamWrap {
  readonly WriteWrap: new () => object;
  /** The state of the last call on any handle, at the indexes below. */
  readonly streamBaseState: Int32Array;
  /** The index of the bytes of the last read, or of a negative error. */
  readonly kReadBytesOrError: number;
  /** The index of the flag that the last write is still under way. */
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
    // Node.js under its permission model, or a later version without this access.
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
