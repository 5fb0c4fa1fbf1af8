/** COMMAND DOCS of the group set, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
sadd
 : O(1) for each element added, so O(N) to add N elements when the command is called with multiple
 + arguments.
 ~ 2.4.0 Accepts multiple \`member\` arguments.
  - key key @0
  - member string multiple
scard
 : O(1)
  - key key @0
sdiff
 : O(N) where N is the total number of elements in all given sets.
  - key key @0 multiple
sdiffstore
 : O(N) where N is the total number of elements in all given sets.
  - destination key @0
  - key key @1 multiple
sinter
 : O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.
  - key key @0 multiple
sintercard
 : O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.
  - numkeys integer
  - key key @0 multiple
  - limit integer =LIMIT optional
sinterstore
 : O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.
  - destination key @0
  - key key @1 multiple
sismember
 : O(1)
  - key key @0
  - member string
smembers
 : O(N) where N is the set cardinality.
  - key key @0
smismember
 : O(N) where N is the number of elements being checked for membership
  - key key @0
  - member string multiple
smove
 : O(1)
  - source key @0
  - destination key @1
  - member string
spop
 : Without the count argument O(1), otherwise O(N) where N is the value of the passed count.
 ~ 3.2.0 Added the \`count\` argument.
  - key key @0
  - count integer since:3.2.0 optional
srandmember
 : Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed
 + count.
 ~ 2.6.0 Added the optional \`count\` argument.
  - key key @0
  - count integer since:2.6.0 optional
srem
 : O(N) where N is the number of members to be removed.
 ~ 2.4.0 Accepts multiple \`member\` arguments.
  - key key @0
  - member string multiple
sscan
 : O(1) for every call. O(N) for a complete iteration, including enough command calls for the
 + cursor to return back to 0. N is the number of elements inside the collection..
  - key key @0
  - cursor integer
  - pattern pattern =MATCH optional
  - count integer =COUNT optional
sunion
 : O(N) where N is the total number of elements in all given sets.
  - key key @0 multiple
sunionstore
 : O(N) where N is the total number of elements in all given sets.
  - destination key @0
  - key key @1 multiple
`;
