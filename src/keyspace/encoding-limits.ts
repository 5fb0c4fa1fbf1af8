/**
 * Up to where a collection keeps its small encoding; names as in redis.conf, where they are
 * explained.
 */
export interface EncodingLimits {
  readonly listMaxListpackSize: number;
  readonly hashMaxListpackEntries: number;
  readonly hashMaxListpackValue: number;
  readonly setMaxIntsetEntries: number;
  readonly setMaxListpackEntries: number;
  readonly setMaxListpackValue: number;
  readonly zsetMaxListpackEntries: number;
  readonly zsetMaxListpackValue: number;
  readonly streamNodeMaxBytes: number;
  readonly streamNodeMaxEntries: number;
}

/** The limits alone, out of something that has more: for another thread. */
export function encodingLimits(from: EncodingLimits): EncodingLimits {
  return {
    listMaxListpackSize: from.listMaxListpackSize,
    hashMaxListpackEntries: from.hashMaxListpackEntries,
    hashMaxListpackValue: from.hashMaxListpackValue,
    setMaxIntsetEntries: from.setMaxIntsetEntries,
    setMaxListpackEntries: from.setMaxListpackEntries,
    setMaxListpackValue: from.setMaxListpackValue,
    zsetMaxListpackEntries: from.zsetMaxListpackEntries,
    zsetMaxListpackValue: from.zsetMaxListpackValue,
    streamNodeMaxBytes: from.streamNodeMaxBytes,
    streamNodeMaxEntries: from.streamNodeMaxEntries,
  };
}
