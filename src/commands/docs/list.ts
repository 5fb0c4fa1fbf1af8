/** COMMAND DOCS of the group list, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
blmove
 : O(1)
  - source key @0
  - destination key @1
  - wherefrom oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
  - whereto oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
  - timeout double
blmpop
 : O(N+M) where N is the number of provided keys and M is the number of elements returned.
  - timeout double
  - numkeys integer
  - key key @0 multiple
  - where oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
  - count integer =COUNT optional
blpop
 : O(N) where N is the number of provided keys.
 ~ 6.0.0 \`timeout\` is interpreted as a double instead of an integer.
  - key key @0 multiple
  - timeout double
brpop
 : O(N) where N is the number of provided keys.
 ~ 6.0.0 \`timeout\` is interpreted as a double instead of an integer.
  - key key @0 multiple
  - timeout double
brpoplpush
 : O(1)
 ! deprecated
 < 6.2.0 \`BLMOVE\` with the \`RIGHT\` and \`LEFT\` arguments
 ~ 6.0.0 \`timeout\` is interpreted as a double instead of an integer.
  - source key @0
  - destination key @1
  - timeout double
lindex
 : O(N) where N is the number of elements to traverse to get to the element at index. This makes
 + asking for the first or the last element of the list O(1).
  - key key @0
  - index integer
linsert
 : O(N) where N is the number of elements to traverse before seeing the value pivot. This means
 + that inserting somewhere on the left end on the list (head) can be considered O(1) and
 + inserting somewhere on the right end (tail) is O(N).
  - key key @0
  - where oneof
    - before pure-token =BEFORE
    - after pure-token =AFTER
  - pivot string
  - element string
llen
 : O(1)
  - key key @0
lmove
 : O(1)
  - source key @0
  - destination key @1
  - wherefrom oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
  - whereto oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
lmpop
 : O(N+M) where N is the number of provided keys and M is the number of elements returned.
  - numkeys integer
  - key key @0 multiple
  - where oneof
    - left pure-token =LEFT
    - right pure-token =RIGHT
  - count integer =COUNT optional
lpop
 : O(N) where N is the number of elements returned
 ~ 6.2.0 Added the \`count\` argument.
  - key key @0
  - count integer since:6.2.0 optional
lpos
 : O(N) where N is the number of elements in the list, for the average case. When searching for
 + elements near the head or the tail of the list, or when the MAXLEN option is provided, the
 + command may run in constant time.
  - key key @0
  - element string
  - rank integer =RANK optional
  - num-matches integer =COUNT optional
  - len integer =MAXLEN optional
lpush
 : O(1) for each element added, so O(N) to add N elements when the command is called with multiple
 + arguments.
 ~ 2.4.0 Accepts multiple \`element\` arguments.
  - key key @0
  - element string multiple
lpushx
 : O(1) for each element added, so O(N) to add N elements when the command is called with multiple
 + arguments.
 ~ 4.0.0 Accepts multiple \`element\` arguments.
  - key key @0
  - element string multiple
lrange
 : O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end
 + (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.
  - key key @0
  - start integer
  - stop integer
lrem
 : O(N+M) where N is the length of the list and M is the number of elements removed.
  - key key @0
  - count integer
  - element string
lset
 : O(N) where N is the length of the list. Setting either the first or the last element of the
 + list is O(1).
  - key key @0
  - index integer
  - element string
ltrim
 : O(N) where N is the number of elements to be removed by the operation.
  - key key @0
  - start integer
  - stop integer
rpop
 : O(N) where N is the number of elements returned
 ~ 6.2.0 Added the \`count\` argument.
  - key key @0
  - count integer since:6.2.0 optional
rpoplpush
 : O(1)
 ! deprecated
 < 6.2.0 \`LMOVE\` with the \`RIGHT\` and \`LEFT\` arguments
  - source key @0
  - destination key @1
rpush
 : O(1) for each element added, so O(N) to add N elements when the command is called with multiple
 + arguments.
 ~ 2.4.0 Accepts multiple \`element\` arguments.
  - key key @0
  - element string multiple
rpushx
 : O(1) for each element added, so O(N) to add N elements when the command is called with multiple
 + arguments.
 ~ 4.0.0 Accepts multiple \`element\` arguments.
  - key key @0
  - element string multiple
`;
