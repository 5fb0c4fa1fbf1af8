/**
 * COMMAND DOCS of the group transactions, as read.ts reads it. Made by bin/make-command-docs.js.
 */
export const text = `
discard
 : O(N), when N is the number of queued commands
exec
 : Depends on commands in the transaction
multi
 : O(1)
unwatch
 : O(1)
watch
 : O(1) for every key.
  - key key @0 multiple
`;
