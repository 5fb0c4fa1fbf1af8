/**
 * The limits up to which a collection keeps its small encoding. The names are from redis.conf,
 * which explains them.
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

/** Copies only the limits out of an object that has more, for another thread. */
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
