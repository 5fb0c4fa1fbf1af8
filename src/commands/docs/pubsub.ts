/** COMMAND DOCS of the group pubsub, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
psubscribe
 : O(N) where N is the number of patterns the client is already subscribed to.
  - pattern block multiple
    - pattern pattern
publish
 : O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total
 + number of subscribed patterns (by any client).
  - channel string
  - message string
pubsub
 : Depends on subcommand.
pubsub|channels
 : O(N) where N is the number of active channels, and assuming constant time pattern matching
 + (relatively short channels and patterns)
  - pattern pattern optional
pubsub|help
 : O(1)
pubsub|numpat
 : O(1)
pubsub|numsub
 : O(N) for the NUMSUB subcommand, where N is the number of requested channels
  - channel string optional multiple
pubsub|shardchannels
 : O(N) where N is the number of active shard channels, and assuming constant time pattern
 + matching (relatively short shard channels).
  - pattern pattern optional
pubsub|shardnumsub
 : O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels
  - shardchannel string optional multiple
punsubscribe
 : O(N+M) where N is the number of patterns the client is already subscribed and M is the number
 + of total patterns subscribed in the system (by any client).
  - pattern pattern optional multiple
spublish
 : O(N) where N is the number of clients subscribed to the receiving shard channel.
  - shardchannel string
  - message string
ssubscribe
 : O(N) where N is the number of shard channels to subscribe to.
  - shardchannel string multiple
subscribe
 : O(N) where N is the number of channels to subscribe to.
  - channel string multiple
sunsubscribe
 : O(N) where N is the number of clients already subscribed to a shard channel.
  - shardchannel string optional multiple
unsubscribe
 : O(N) where N is the number of clients already subscribed to a channel.
  - channel string optional multiple
`;
