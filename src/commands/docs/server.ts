/** COMMAND DOCS of the group server, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
acl
 : Depends on subcommand.
acl|cat
 : O(1) since the categories and commands are a fixed set.
  - categoryname string optional
acl|getuser
 : O(N). Where N is the number of password, command and pattern rules that the user has.
 ~ 6.2.0 Added Pub/Sub channel patterns.
 ~ 7.0.0 Added selectors and changed the format of key and channel patterns from a list to their
 + rule representation.
  - username string
acl|help
 : O(1)
acl|list
 : O(N). Where N is the number of configured users.
acl|users
 : O(N). Where N is the number of configured users.
acl|whoami
 : O(1)
bgrewriteaof
 : O(1)
bgsave
 : O(1)
 ~ 3.2.2 Added the \`SCHEDULE\` option.
  - schedule pure-token =SCHEDULE since:3.2.2 optional
command
 : O(N) where N is the total number of Redis commands
command|count
 : O(1)
command|docs
 : O(N) where N is the number of commands to look up
  - command-name string optional multiple
command|getkeys
 : O(N) where N is the number of arguments to the command
command|getkeysandflags
 : O(N) where N is the number of arguments to the command
command|help
 : O(1)
command|info
 : O(N) where N is the number of commands to look up
 ~ 7.0.0 Allowed to be called with no argument to get info on all commands.
  - command-name string optional multiple
command|list
 : O(N) where N is the total number of Redis commands
  - filterby oneof =FILTERBY optional
    - module-name string =MODULE
    - category string =ACLCAT
    - pattern pattern =PATTERN
config
 : Depends on subcommand.
config|get
 : O(N) when N is the number of configuration parameters provided
 ~ 7.0.0 Added the ability to pass multiple pattern parameters in one call
  - parameter block multiple
    - parameter string
config|help
 : O(1)
config|resetstat
 : O(1)
config|rewrite
 : O(1)
config|set
 : O(N) when N is the number of configuration parameters provided
 ~ 7.0.0 Added the ability to set multiple parameters in one call.
  - parameter_value block multiple
    - parameter string
    - value string
dbsize
 : O(1)
debug
 : Depends on subcommand.
 ! syscmd
failover
 : O(1)
  - target block =TO optional
    - host string
    - port integer
    - force pure-token =FORCE optional
  - abort pure-token =ABORT optional
  - milliseconds integer =TIMEOUT optional
flushall
 : O(N) where N is the total number of keys in all databases
 ~ 4.0.0 Added the \`ASYNC\` flushing mode modifier.
 ~ 6.2.0 Added the \`SYNC\` flushing mode modifier.
  - async oneof optional
    - async pure-token =ASYNC since:4.0.0
    - sync pure-token =SYNC since:6.2.0
flushdb
 : O(N) where N is the number of keys in the selected database
 ~ 4.0.0 Added the \`ASYNC\` flushing mode modifier.
 ~ 6.2.0 Added the \`SYNC\` flushing mode modifier.
  - async oneof optional
    - async pure-token =ASYNC since:4.0.0
    - sync pure-token =SYNC since:6.2.0
info
 : O(1)
 ~ 7.0.0 Added support for taking multiple section arguments.
  - section string optional multiple
lastsave
 : O(1)
latency
 : Depends on subcommand.
latency|doctor
 : O(1)
latency|graph
 : O(1)
  - event string
latency|help
 : O(1)
latency|histogram
 : O(N) where N is the number of commands with latency information being retrieved.
  - command string optional multiple
latency|history
 : O(1)
  - event string
latency|latest
 : O(1)
latency|reset
 : O(1)
  - event string optional multiple
memory
 : Depends on subcommand.
memory|doctor
 : O(1)
memory|help
 : O(1)
memory|malloc-stats
 : Depends on how much memory is allocated, could be slow
memory|purge
 : Depends on how much memory is allocated, could be slow
memory|stats
 : O(1)
memory|usage
 : O(N) where N is the number of samples.
  - key key @0
  - count integer =SAMPLES optional
module
 : Depends on subcommand.
module|help
 : O(1)
module|list
 : O(N) where N is the number of loaded modules.
module|load
 : O(1)
  - path string
  - arg string optional multiple
module|loadex
 : O(1)
  - path string
  - configs block =CONFIG optional multiple multiple_token
    - name string
    - value string
  - args block =ARGS optional multiple
    - arg string
module|unload
 : O(1)
  - name string
monitor
psync
  - replicationid string
  - offset integer
replconf
 : O(1)
 ! syscmd
replicaof
 : O(1)
  - args oneof
    - host-port block
      - host string
      - port integer
    - no-one block
      - no pure-token =NO
      - one pure-token =ONE
role
 : O(1)
save
 : O(N) where N is the total number of keys in all databases
shutdown
 : O(N) when saving, where N is the total number of keys in all databases when saving data,
 + otherwise O(1)
 ~ 7.0.0 Added the \`NOW\`, \`FORCE\` and \`ABORT\` modifiers.
  - nosave_save oneof optional
    - nosave pure-token =NOSAVE
    - save pure-token =SAVE
  - now pure-token =NOW since:7.0.0 optional
  - force pure-token =FORCE since:7.0.0 optional
  - abort pure-token =ABORT since:7.0.0 optional
slaveof
 : O(1)
 ! deprecated
 < 5.0.0 \`REPLICAOF\`
  - args oneof
    - host-port block
      - host string
      - port integer
    - no-one block
      - no pure-token =NO
      - one pure-token =ONE
slowlog
 : Depends on subcommand.
slowlog|get
 : O(N) where N is the number of entries returned
 ~ 4.0.0 Added client IP address, port and name to the reply.
  - count integer optional
slowlog|help
 : O(1)
slowlog|len
 : O(1)
slowlog|reset
 : O(N) where N is the number of entries in the slowlog
swapdb
 : O(N) where N is the count of clients watching or blocking on keys from both databases.
  - index1 integer
  - index2 integer
sync
time
 : O(1)
`;
