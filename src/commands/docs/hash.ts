/** COMMAND DOCS of the group hash, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
hdel
 : O(N) where N is the number of fields to be removed.
 ~ 2.4.0 Accepts multiple \`field\` arguments.
  - key key @0
  - field string multiple
hexists
 : O(1)
  - key key @0
  - field string
hget
 : O(1)
  - key key @0
  - field string
hgetall
 : O(N) where N is the size of the hash.
  - key key @0
hincrby
 : O(1)
  - key key @0
  - field string
  - increment integer
hincrbyfloat
 : O(1)
  - key key @0
  - field string
  - increment double
hkeys
 : O(N) where N is the size of the hash.
  - key key @0
hlen
 : O(1)
  - key key @0
hmget
 : O(N) where N is the number of fields being requested.
  - key key @0
  - field string multiple
hmset
 : O(N) where N is the number of fields being set.
 ! deprecated
 < 4.0.0 \`HSET\` with multiple field-value pairs
  - key key @0
  - field_value block multiple
    - field string
    - value string
hrandfield
 : O(N) where N is the number of fields returned
  - key key @0
  - options block optional
    - count integer
    - withvalues pure-token =WITHVALUES optional
hscan
 : O(1) for every call. O(N) for a complete iteration, including enough command calls for the
 + cursor to return back to 0. N is the number of elements inside the collection..
  - key key @0
  - cursor integer
  - pattern pattern =MATCH optional
  - count integer =COUNT optional
hset
 : O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is
 + called with multiple field/value pairs.
 ~ 4.0.0 Accepts multiple \`field\` and \`value\` arguments.
  - key key @0
  - field_value block multiple
    - field string
    - value string
hsetnx
 : O(1)
  - key key @0
  - field string
  - value string
hstrlen
 : O(1)
  - key key @0
  - field string
hvals
 : O(N) where N is the size of the hash.
  - key key @0
`;
