/**
 * Lines in an increment that are no commands. Every reader of the format passes over a line that
 * begins with `#`.
 *
 *   #TS:1700000000                     Redis' own: the commands after it are not older than this
 *   #headwater:at <replid> <offset>    the stream after this line follows byte <offset> of history <replid>
 *   #headwater:base <replid> <offset> <db>  the commands after this line make the dataset of history
 *                                      <replid> at <offset>, whose stream has selected <db>
 *   #headwater:beside <bytes>          the command after it, of so many bytes, is no part of the stream
 *   #headwater:end <offset>            the file was closed here, and nothing follows
 *
 * With them base offset and position give the replication offset of each byte. A server of another
 * make that has the same directory writes commands without such a line: after `end` they are known
 * as foreign, and the offsets of the file are worth nothing from there on.
 */
import { isReplid } from '../../../replication/replid.ts';

const MARK = '#headwater:';
const LINE_END = '\r\n';

export type Annotation =
  | {
      readonly kind: 'base';
      readonly replid: string;
      readonly offset: number;
      readonly db: number;
    }
  | { readonly kind: 'at'; readonly replid: string; readonly offset: number }
  | { readonly kind: 'beside'; readonly bytes: number }
  | { readonly kind: 'end'; readonly offset: number }
  /** A timestamp, or a line of somebody else. */
  | { readonly kind: 'other' };

export const timestampLine = (seconds: number): string => `#TS:${seconds}${LINE_END}`;
export const atLine = (replid: string, offset: number): string =>
  `${MARK}at ${replid} ${offset}${LINE_END}`;
export const baseLine = (replid: string, offset: number, db: number): string =>
  `${MARK}base ${replid} ${offset} ${db}${LINE_END}`;
export const besideLine = (bytes: number): string => `${MARK}beside ${bytes}${LINE_END}`;
export const endLine = (offset: number): string => `${MARK}end ${offset}${LINE_END}`;

/** Reads the words of a line that begins with `#`. What is not understood is `other`. */
export function parseAnnotation(words: readonly string[]): Annotation {
  const number = (word: string | undefined): number =>
    word !== undefined && /^\d{1,15}$/.test(word) ? Number(word) : -1;
  switch (words[0]) {
    case `${MARK}at`: {
      const replid = words[1] ?? '';
      const offset = number(words[2]);
      if (isReplid(replid) && offset >= 0) return { kind: 'at', replid, offset };
      break;
    }
    case `${MARK}base`: {
      const replid = words[1] ?? '';
      const offset = number(words[2]);
      const db = number(words[3]);
      if (isReplid(replid) && offset >= 0 && db >= 0) return { kind: 'base', replid, offset, db };
      break;
    }
    case `${MARK}beside`: {
      const bytes = number(words[1]);
      if (bytes > 0) return { kind: 'beside', bytes };
      break;
    }
    case `${MARK}end`: {
      const offset = number(words[1]);
      if (offset >= 0) return { kind: 'end', offset };
      break;
    }
    default:
  }
  return { kind: 'other' };
}
