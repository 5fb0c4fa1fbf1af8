/** COMMAND DOCS of the group hyperloglog, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
pfadd
 : O(1) to add every element.
  - key key @0
  - element string optional multiple
pfcount
 : O(1) with a very small average constant time when called with a single key. O(N) with N being
 + the number of keys, and much bigger constant times, when called with multiple keys.
  - key key @0 multiple
pfdebug
 : N/A
 ! syscmd
  - subcommand string
  - key key @0
pfmerge
 : O(N) to merge N HyperLogLogs, but with high constant times.
  - destkey key @0
  - sourcekey key @1 multiple
pfselftest
 : N/A
 ! syscmd
`;
