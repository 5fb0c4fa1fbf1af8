/**
 * COMMAND DOCS of commands and options that are new in Redis 7.2, in the form that read.ts reads.
 * The other files were made from an older server. An entry here replaces one there. Written by
 * hand, from the page of the command.
 */
export const text = `
client|no-touch
 : O(1)
  - enabled oneof
    - on pure-token =ON
    - off pure-token =OFF
client|setinfo
 : O(1)
  - attr oneof
    - libname string =lib-name
    - libver string =lib-ver
waitaof
 : O(1)
  - numlocal integer
  - numreplicas integer
  - timeout integer
xinfo|consumers
 : O(1)
 ~ 7.2.0 Added the \`inactive\` field.
  - key key @0
  - group string
xinfo|stream
 : O(1)
 ~ 6.0.0 Added the \`FULL\` modifier.
 ~ 7.0.0 Added the \`max-deleted-entry-id\`, \`entries-added\`, \`recorded-first-entry-id\`,
 + \`entries-read\` and \`lag\` fields
 ~ 7.2.0 Added the \`active-time\` field, and changed the meaning of \`seen-time\`.
  - key key @0
  - full-block block optional
    - full pure-token =FULL
    - count integer =COUNT optional
zrank
 : O(log(N))
 ~ 7.2.0 Added the optional \`WITHSCORE\` argument.
  - key key @0
  - member string
  - withscore pure-token =WITHSCORE optional
zrevrank
 : O(log(N))
 ~ 7.2.0 Added the optional \`WITHSCORE\` argument.
  - key key @0
  - member string
  - withscore pure-token =WITHSCORE optional
`;
