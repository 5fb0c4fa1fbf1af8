/** COMMAND DOCS of the group sorted-set, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
bzmpop
 : O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in
 + the sorted set, and M being the number of elements popped.
  - timeout double
  - numkeys integer
  - key key @0 multiple
  - where oneof
    - min pure-token =MIN
    - max pure-token =MAX
  - count integer =COUNT optional
bzpopmax
 : O(log(N)) with N being the number of elements in the sorted set.
 ~ 6.0.0 \`timeout\` is interpreted as a double instead of an integer.
  - key key @0 multiple
  - timeout double
bzpopmin
 : O(log(N)) with N being the number of elements in the sorted set.
 ~ 6.0.0 \`timeout\` is interpreted as a double instead of an integer.
  - key key @0 multiple
  - timeout double
zadd
 : O(log(N)) for each item added, where N is the number of elements in the sorted set.
 ~ 2.4.0 Accepts multiple elements.
 ~ 3.0.2 Added the \`XX\`, \`NX\`, \`CH\` and \`INCR\` options.
 ~ 6.2.0 Added the \`GT\` and \`LT\` options.
  - key key @0
  - condition oneof since:3.0.2 optional
    - nx pure-token =NX
    - xx pure-token =XX
  - comparison oneof since:6.2.0 optional
    - gt pure-token =GT
    - lt pure-token =LT
  - change pure-token =CH since:3.0.2 optional
  - increment pure-token =INCR since:3.0.2 optional
  - score_member block multiple
    - score double
    - member string
zcard
 : O(1)
  - key key @0
zcount
 : O(log(N)) with N being the number of elements in the sorted set.
  - key key @0
  - min double
  - max double
zdiff
 : O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the
 + size of the first set, and K is the size of the result set.
  - numkeys integer
  - key key @0 multiple
  - withscores pure-token =WITHSCORES optional
zdiffstore
 : O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the
 + size of the first set, and K is the size of the result set.
  - destination key @0
  - numkeys integer
  - key key @1 multiple
zincrby
 : O(log(N)) where N is the number of elements in the sorted set.
  - key key @0
  - increment integer
  - member string
zinter
 : O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of
 + input sorted sets and M being the number of elements in the resulting sorted set.
  - numkeys integer
  - key key @0 multiple
  - weight integer =WEIGHTS optional multiple
  - aggregate oneof =AGGREGATE optional
    - sum pure-token =SUM
    - min pure-token =MIN
    - max pure-token =MAX
  - withscores pure-token =WITHSCORES optional
zintercard
 : O(N*K) worst case with N being the smallest input sorted set, K being the number of input
 + sorted sets.
  - numkeys integer
  - key key @0 multiple
  - limit integer =LIMIT optional
zinterstore
 : O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of
 + input sorted sets and M being the number of elements in the resulting sorted set.
  - destination key @0
  - numkeys integer
  - key key @1 multiple
  - weight integer =WEIGHTS optional multiple
  - aggregate oneof =AGGREGATE optional
    - sum pure-token =SUM
    - min pure-token =MIN
    - max pure-token =MAX
zlexcount
 : O(log(N)) with N being the number of elements in the sorted set.
  - key key @0
  - min string
  - max string
zmpop
 : O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in
 + the sorted set, and M being the number of elements popped.
  - numkeys integer
  - key key @0 multiple
  - where oneof
    - min pure-token =MIN
    - max pure-token =MAX
  - count integer =COUNT optional
zmscore
 : O(N) where N is the number of members being requested.
  - key key @0
  - member string multiple
zpopmax
 : O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of
 + elements popped.
  - key key @0
  - count integer optional
zpopmin
 : O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of
 + elements popped.
  - key key @0
  - count integer optional
zrandmember
 : O(N) where N is the number of elements returned
  - key key @0
  - options block optional
    - count integer
    - withscores pure-token =WITHSCORES optional
zrange
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + returned.
 ~ 6.2.0 Added the \`REV\`, \`BYSCORE\`, \`BYLEX\` and \`LIMIT\` options.
  - key key @0
  - start string
  - stop string
  - sortby oneof since:6.2.0 optional
    - byscore pure-token =BYSCORE
    - bylex pure-token =BYLEX
  - rev pure-token =REV since:6.2.0 optional
  - offset_count block =LIMIT since:6.2.0 optional
    - offset integer
    - count integer
  - withscores pure-token =WITHSCORES optional
zrangebylex
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you
 + can consider it O(log(N)).
 ! deprecated
 < 6.2.0 \`ZRANGE\` with the \`BYLEX\` argument
  - key key @0
  - min string
  - max string
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
zrangebyscore
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you
 + can consider it O(log(N)).
 ! deprecated
 < 6.2.0 \`ZRANGE\` with the \`BYSCORE\` argument
 ~ 2.0.0 Added the \`WITHSCORES\` modifier.
  - key key @0
  - min double
  - max double
  - withscores pure-token =WITHSCORES since:2.0.0 optional
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
zrangestore
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + stored into the destination key.
  - dst key @0
  - src key @1
  - min string
  - max string
  - sortby oneof optional
    - byscore pure-token =BYSCORE
    - bylex pure-token =BYLEX
  - rev pure-token =REV optional
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
zrank
 : O(log(N))
  - key key @0
  - member string
zrem
 : O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements
 + to be removed.
 ~ 2.4.0 Accepts multiple elements.
  - key key @0
  - member string multiple
zremrangebylex
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + removed by the operation.
  - key key @0
  - min string
  - max string
zremrangebyrank
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + removed by the operation.
  - key key @0
  - start integer
  - stop integer
zremrangebyscore
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + removed by the operation.
  - key key @0
  - min double
  - max double
zrevrange
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + returned.
 ! deprecated
 < 6.2.0 \`ZRANGE\` with the \`REV\` argument
  - key key @0
  - start integer
  - stop integer
  - withscores pure-token =WITHSCORES optional
zrevrangebylex
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you
 + can consider it O(log(N)).
 ! deprecated
 < 6.2.0 \`ZRANGE\` with the \`REV\` and \`BYLEX\` arguments
  - key key @0
  - max string
  - min string
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
zrevrangebyscore
 : O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements
 + being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you
 + can consider it O(log(N)).
 ! deprecated
 < 6.2.0 \`ZRANGE\` with the \`REV\` and \`BYSCORE\` arguments
 ~ 2.1.6 \`min\` and \`max\` can be exclusive.
  - key key @0
  - max double
  - min double
  - withscores pure-token =WITHSCORES optional
  - offset_count block =LIMIT optional
    - offset integer
    - count integer
zrevrank
 : O(log(N))
  - key key @0
  - member string
zscan
 : O(1) for every call. O(N) for a complete iteration, including enough command calls for the
 + cursor to return back to 0. N is the number of elements inside the collection..
  - key key @0
  - cursor integer
  - pattern pattern =MATCH optional
  - count integer =COUNT optional
zscore
 : O(1)
  - key key @0
  - member string
zunion
 : O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the
 + number of elements in the resulting sorted set.
  - numkeys integer
  - key key @0 multiple
  - weight integer =WEIGHTS optional multiple
  - aggregate oneof =AGGREGATE optional
    - sum pure-token =SUM
    - min pure-token =MIN
    - max pure-token =MAX
  - withscores pure-token =WITHSCORES optional
zunionstore
 : O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the
 + number of elements in the resulting sorted set.
  - destination key @0
  - numkeys integer
  - key key @1 multiple
  - weight integer =WEIGHTS optional multiple
  - aggregate oneof =AGGREGATE optional
    - sum pure-token =SUM
    - min pure-token =MIN
    - max pure-token =MAX
`;
