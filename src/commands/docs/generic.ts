/** COMMAND DOCS of the group generic, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
copy
 : O(N) worst case for collections, where N is the number of nested items. O(1) for string values.
  - source key @0
  - destination key @1
  - destination-db integer =DB optional
  - replace pure-token =REPLACE optional
del
 : O(N) where N is the number of keys that will be removed. When a key to remove holds a value
 + other than a string, the individual complexity for this key is O(M) where M is the number of
 + elements in the list, set, sorted set or hash. Removing a single key that holds a string value
 + is O(1).
  - key key @0 multiple
dump
 : O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis
 + objects composing the value and M their average size. For small string values the time
 + complexity is thus O(1)+O(1*M) where M is small, so simply O(1).
  - key key @0
exists
 : O(N) where N is the number of keys to check.
 ~ 3.0.3 Accepts multiple \`key\` arguments.
  - key key @0 multiple
expire
 : O(1)
 ~ 7.0.0 Added options: \`NX\`, \`XX\`, \`GT\` and \`LT\`.
  - key key @0
  - seconds integer
  - condition oneof since:7.0.0 optional
    - nx pure-token =NX
    - xx pure-token =XX
    - gt pure-token =GT
    - lt pure-token =LT
expireat
 : O(1)
 ~ 7.0.0 Added options: \`NX\`, \`XX\`, \`GT\` and \`LT\`.
  - key key @0
  - unix-time-seconds unix-time
  - condition oneof since:7.0.0 optional
    - nx pure-token =NX
    - xx pure-token =XX
    - gt pure-token =GT
    - lt pure-token =LT
expiretime
 : O(1)
  - key key @0
keys
 : O(N) with N being the number of keys in the database, under the assumption that the key names
 + in the database and the given pattern have limited length.
  - pattern pattern
move
 : O(1)
  - key key @0
  - db integer
object
 : Depends on subcommand.
object|encoding
 : O(1)
  - key key @0
object|freq
 : O(1)
  - key key @0
object|help
 : O(1)
object|idletime
 : O(1)
  - key key @0
object|refcount
 : O(1)
  - key key @0
persist
 : O(1)
  - key key @0
pexpire
 : O(1)
 ~ 7.0.0 Added options: \`NX\`, \`XX\`, \`GT\` and \`LT\`.
  - key key @0
  - milliseconds integer
  - condition oneof since:7.0.0 optional
    - nx pure-token =NX
    - xx pure-token =XX
    - gt pure-token =GT
    - lt pure-token =LT
pexpireat
 : O(1)
 ~ 7.0.0 Added options: \`NX\`, \`XX\`, \`GT\` and \`LT\`.
  - key key @0
  - unix-time-milliseconds unix-time
  - condition oneof since:7.0.0 optional
    - nx pure-token =NX
    - xx pure-token =XX
    - gt pure-token =GT
    - lt pure-token =LT
pexpiretime
 : O(1)
  - key key @0
pttl
 : O(1)
 ~ 2.8.0 Added the -2 reply.
  - key key @0
randomkey
 : O(1)
rename
 : O(1)
  - key key @0
  - newkey key @1
renamenx
 : O(1)
 ~ 3.2.0 The command no longer returns an error when source and destination names are the same.
  - key key @0
  - newkey key @1
restore
 : O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N
 + is the number of Redis objects composing the value and M their average size. For small string
 + values the time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for
 + sorted set values the complexity is O(N*M*log(N)) because inserting values into sorted sets is
 + O(log(N)).
 ~ 3.0.0 Added the \`REPLACE\` modifier.
 ~ 5.0.0 Added the \`ABSTTL\` modifier.
 ~ 5.0.0 Added the \`IDLETIME\` and \`FREQ\` options.
  - key key @0
  - ttl integer
  - serialized-value string
  - replace pure-token =REPLACE since:3.0.0 optional
  - absttl pure-token =ABSTTL since:5.0.0 optional
  - seconds integer =IDLETIME since:5.0.0 optional
  - frequency integer =FREQ since:5.0.0 optional
scan
 : O(1) for every call. O(N) for a complete iteration, including enough command calls for the
 + cursor to return back to 0. N is the number of elements inside the collection.
 ~ 6.0.0 Added the \`TYPE\` subcommand.
  - cursor integer
  - pattern pattern =MATCH optional
  - count integer =COUNT optional
  - type string =TYPE since:6.0.0 optional
sort
 : O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of
 + returned elements. When the elements are not sorted, complexity is O(N).
  - key key @0
  - pattern pattern @1 =BY optional
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
  - pattern pattern @1 =GET optional multiple multiple_token
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - sorting pure-token =ALPHA optional
  - destination key @2 =STORE optional
sort_ro
 : O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of
 + returned elements. When the elements are not sorted, complexity is O(N).
  - key key @0
  - pattern pattern @1 =BY optional
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
  - pattern pattern @1 =GET optional multiple multiple_token
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - sorting pure-token =ALPHA optional
touch
 : O(N) where N is the number of keys that will be touched.
  - key key @0 multiple
ttl
 : O(1)
 ~ 2.8.0 Added the -2 reply.
  - key key @0
type
 : O(1)
  - key key @0
unlink
 : O(1) for each key removed regardless of its size. Then the command does O(N) work in a
 + different thread in order to reclaim memory, where N is the number of allocations the deleted
 + objects where composed of.
  - key key @0 multiple
wait
 : O(1)
  - numreplicas integer
  - timeout integer
`;
