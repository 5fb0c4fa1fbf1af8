/** COMMAND DOCS of the group cluster, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
asking
 : O(1)
cluster
 : Depends on subcommand.
readonly
 : O(1)
readwrite
 : O(1)
`;
