/** COMMAND DOCS of the group stream, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
xack
 : O(1) for each message ID processed.
  - key key @0
  - group string
  - id string multiple
xadd
 : O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.
 ~ 6.2.0 Added the \`NOMKSTREAM\` option, \`MINID\` trimming strategy and the \`LIMIT\` option.
 ~ 7.0.0 Added support for the \`<ms>-*\` explicit ID form.
  - key key @0
  - nomkstream pure-token =NOMKSTREAM since:6.2.0 optional
  - trim block optional
    - strategy oneof
      - maxlen pure-token =MAXLEN
      - minid pure-token =MINID since:6.2.0
    - operator oneof optional
      - equal pure-token ==
      - approximately pure-token =~
    - threshold string
    - count integer =LIMIT since:6.2.0 optional
  - id_or_auto oneof
    - auto_id pure-token =*
    - id string
  - field_value block multiple
    - field string
    - value string
xautoclaim
 : O(1) if COUNT is small.
 ~ 7.0.0 Added an element to the reply array, containing deleted entries the command cleared from
 + the PEL
  - key key @0
  - group string
  - consumer string
  - min-idle-time string
  - start string
  - count integer =COUNT optional
  - justid pure-token =JUSTID optional
xclaim
 : O(log N) with N being the number of messages in the PEL of the consumer group.
  - key key @0
  - group string
  - consumer string
  - min-idle-time string
  - id string multiple
  - ms integer =IDLE optional
  - unix-time-milliseconds unix-time =TIME optional
  - count integer =RETRYCOUNT optional
  - force pure-token =FORCE optional
  - justid pure-token =JUSTID optional
  - id string =LASTID optional
xdel
 : O(1) for each single item to delete in the stream, regardless of the stream size.
  - key key @0
  - id string multiple
xgroup
 : Depends on subcommand.
xgroup|create
 : O(1)
 ~ 7.0.0 Added the \`entries_read\` named argument.
  - key key @0
  - groupname string
  - id oneof
    - id string
    - new_id pure-token =$
  - mkstream pure-token =MKSTREAM optional
  - entries_read integer =ENTRIESREAD optional
xgroup|createconsumer
 : O(1)
  - key key @0
  - groupname string
  - consumername string
xgroup|delconsumer
 : O(1)
  - key key @0
  - groupname string
  - consumername string
xgroup|destroy
 : O(N) where N is the number of entries in the group's pending entries list (PEL).
  - key key @0
  - groupname string
xgroup|help
 : O(1)
xgroup|setid
 : O(1)
 ~ 7.0.0 Added the optional \`entries_read\` argument.
  - key key @0
  - groupname string
  - id oneof
    - id string
    - new_id pure-token =$
  - entries_read integer =ENTRIESREAD optional
xinfo
 : Depends on subcommand.
xinfo|consumers
 : O(1)
  - key key @0
  - groupname string
xinfo|groups
 : O(1)
 ~ 7.0.0 Added the \`entries-read\` and \`lag\` fields
  - key key @0
xinfo|help
 : O(1)
xinfo|stream
 : O(1)
 ~ 6.0.0 Added the \`FULL\` modifier.
 ~ 7.0.0 Added the \`max-deleted-entry-id\`, \`entries-added\`, \`recorded-first-entry-id\`,
 + \`entries-read\` and \`lag\` fields
  - key key @0
  - full block =FULL optional
    - count integer =COUNT optional
xlen
 : O(1)
  - key key @0
xpending
 : O(N) with N being the number of elements returned, so asking for a small fixed number of
 + entries per call is O(1). O(M), where M is the total number of entries scanned when used with
 + the IDLE filter. When the command returns just the summary and the list of consumers is small,
 + it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.
 ~ 6.2.0 Added the \`IDLE\` option and exclusive range intervals.
  - key key @0
  - group string
  - filters block optional
    - min-idle-time integer =IDLE since:6.2.0 optional
    - start string
    - end string
    - count integer
    - consumer string optional
xrange
 : O(N) with N being the number of elements being returned. If N is constant (e.g. always asking
 + for the first 10 elements with COUNT), you can consider it O(1).
 ~ 6.2.0 Added exclusive ranges.
  - key key @0
  - start string
  - end string
  - count integer =COUNT optional
xread
 : For each stream mentioned: O(N) with N being the number of elements being returned, it means
 + that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will
 + pay O(M) time in order to serve the M clients blocked on the stream getting new data.
  - count integer =COUNT optional
  - milliseconds integer =BLOCK optional
  - streams block =STREAMS
    - key key @0 multiple
    - id string multiple
xreadgroup
 : For each stream mentioned: O(M) with M being the number of elements returned. If M is constant
 + (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the
 + other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients
 + blocked on the stream getting new data.
  - group_consumer block =GROUP
    - group string
    - consumer string
  - count integer =COUNT optional
  - milliseconds integer =BLOCK optional
  - noack pure-token =NOACK optional
  - streams block =STREAMS
    - key key @0 multiple
    - id string multiple
xrevrange
 : O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the
 + first 10 elements with COUNT), you can consider it O(1).
 ~ 6.2.0 Added exclusive ranges.
  - key key @0
  - end string
  - start string
  - count integer =COUNT optional
xsetid
 : O(1)
 ~ 7.0.0 Added the \`entries_added\` and \`max_deleted_entry_id\` arguments.
  - key key @0
  - last-id string
  - entries_added integer =ENTRIESADDED since:7.0.0 optional
  - max_deleted_entry_id string =MAXDELETEDID since:7.0.0 optional
xtrim
 : O(N), with N being the number of evicted entries. Constant times are very small however, since
 + entries are organized in macro nodes containing multiple entries that can be released with a
 + single deallocation.
 ~ 6.2.0 Added the \`MINID\` trimming strategy and the \`LIMIT\` option.
  - key key @0
  - trim block
    - strategy oneof
      - maxlen pure-token =MAXLEN
      - minid pure-token =MINID since:6.2.0
    - operator oneof optional
      - equal pure-token ==
      - approximately pure-token =~
    - threshold string
    - count integer =LIMIT since:6.2.0 optional
`;
