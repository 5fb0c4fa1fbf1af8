/** What most scenarios write: SETs of random or JSON values to random keys. */
import { RANDOM_PLACE, type Template } from './workload.ts';

/** Clients of a closed load where a scenario does not say otherwise, and the requests of a batch. */
export const CLIENTS = 50;
export const DEPTH = 16;

/**
 * Options of a primary without a limit for replicas. A replica that is cut off for its backlog
 * would make the figures of both servers meaningless.
 */
export const NO_LIMIT = ['--client-output-buffer-limit', 'replica', '0', '0', '0'] as const;

export interface SetShape {
  readonly keys: number;
  readonly valueBytes: number;
  readonly seed: number;
  /** Values are JSON, and not random bytes. */
  readonly isJson?: boolean;
}

/** The part of a job of the load generator that says what it sends. */
export interface SetRequests {
  readonly port: number;
  readonly template: Template;
  readonly requests: number;
  readonly replyBytes: number;
}

export function setTemplate({ keys, valueBytes, seed, isJson = false }: SetShape): Template {
  return {
    words: ['SET', `key:${RANDOM_PLACE}`],
    randomBelow: keys,
    valueBytes,
    isJson,
    seed,
  };
}

/** SETs to the server at `port`: `requests` different ones, by default as many as there are keys. */
export function setRequests(port: number, shape: SetShape, requests = shape.keys): SetRequests {
  return { port, template: setTemplate(shape), requests, replyBytes: '+OK\r\n'.length };
}

/** As {@link setRequests}, by {@link CLIENTS} in batches of {@link DEPTH}, for a time. */
export function closedSets(port: number, shape: SetShape) {
  return { ...setRequests(port, shape), clients: CLIENTS, depth: DEPTH, replies: 0 };
}
