/** COMMAND DOCS of the group string, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
append
 : O(1). The amortized time complexity is O(1) assuming the appended value is small and the
 + already present value is of any size, since the dynamic string library used by Redis will
 + double the free space available on every reallocation.
  - key key @0
  - value string
decr
 : O(1)
  - key key @0
decrby
 : O(1)
  - key key @0
  - decrement integer
get
 : O(1)
  - key key @0
getdel
 : O(1)
  - key key @0
getex
 : O(1)
  - key key @0
  - expiration oneof optional
    - seconds integer =EX
    - milliseconds integer =PX
    - unix-time-seconds unix-time =EXAT
    - unix-time-milliseconds unix-time =PXAT
    - persist pure-token =PERSIST
getrange
 : O(N) where N is the length of the returned string. The complexity is ultimately determined by
 + the returned length, but because creating a substring from an existing string is very cheap, it
 + can be considered O(1) for small strings.
  - key key @0
  - start integer
  - end integer
getset
 : O(1)
 ! deprecated
 < 6.2.0 \`SET\` with the \`!GET\` argument
  - key key @0
  - value string
incr
 : O(1)
  - key key @0
incrby
 : O(1)
  - key key @0
  - increment integer
incrbyfloat
 : O(1)
  - key key @0
  - increment double
lcs
 : O(N*M) where N and M are the lengths of s1 and s2, respectively
  - key1 key @0
  - key2 key @0
  - len pure-token =LEN optional
  - idx pure-token =IDX optional
  - len integer =MINMATCHLEN optional
  - withmatchlen pure-token =WITHMATCHLEN optional
mget
 : O(N) where N is the number of keys to retrieve.
  - key key @0 multiple
mset
 : O(N) where N is the number of keys to set.
  - key_value block multiple
    - key key @0
    - value string
msetnx
 : O(N) where N is the number of keys to set.
  - key_value block multiple
    - key key @0
    - value string
psetex
 : O(1)
  - key key @0
  - milliseconds integer
  - value string
set
 : O(1)
 ~ 2.6.12 Added the \`EX\`, \`PX\`, \`NX\` and \`XX\` options.
 ~ 6.0.0 Added the \`KEEPTTL\` option.
 ~ 6.2.0 Added the \`GET\`, \`EXAT\` and \`PXAT\` option.
 ~ 7.0.0 Allowed the \`NX\` and \`GET\` options to be used together.
  - key key @0
  - value string
  - condition oneof since:2.6.12 optional
    - nx pure-token =NX
    - xx pure-token =XX
  - get pure-token =GET since:6.2.0 optional
  - expiration oneof optional
    - seconds integer =EX since:2.6.12
    - milliseconds integer =PX since:2.6.12
    - unix-time-seconds unix-time =EXAT since:6.2.0
    - unix-time-milliseconds unix-time =PXAT since:6.2.0
    - keepttl pure-token =KEEPTTL since:6.0.0
setex
 : O(1)
  - key key @0
  - seconds integer
  - value string
setnx
 : O(1)
  - key key @0
  - value string
setrange
 : O(1), not counting the time taken to copy the new string in place. Usually, this string is very
 + small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the
 + length of the value argument.
  - key key @0
  - offset integer
  - value string
strlen
 : O(1)
  - key key @0
substr
 : O(N) where N is the length of the returned string. The complexity is ultimately determined by
 + the returned length, but because creating a substring from an existing string is very cheap, it
 + can be considered O(1) for small strings.
 ! deprecated
 < 2.0.0 \`GETRANGE\`
  - key key @0
  - start integer
  - end integer
`;
