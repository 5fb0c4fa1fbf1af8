/** COMMAND DOCS of the group connection, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
auth
 : O(N) where N is the number of passwords defined for the user
 ~ 6.0.0 Added ACL style (username and password).
  - username string since:6.0.0 optional
  - password string
client
 : Depends on subcommand.
client|caching
 : O(1)
  - mode oneof
    - yes pure-token =YES
    - no pure-token =NO
client|getname
 : O(1)
client|getredir
 : O(1)
client|help
 : O(1)
client|id
 : O(1)
client|info
 : O(1)
client|kill
 : O(N) where N is the number of client connections
 ~ 2.8.12 Added new filter format.
 ~ 2.8.12 \`ID\` option.
 ~ 3.2.0 Added \`master\` type in for \`TYPE\` option.
 ~ 5.0.0 Replaced \`slave\` \`TYPE\` with \`replica\`. \`slave\` still supported for backward
 + compatibility.
 ~ 6.2.0 \`LADDR\` option.
  - filter oneof
    - ip:port string until:2.8.12
    - new-format oneof multiple
      - client-id integer =ID since:2.8.12 optional
      - normal_master_slave_pubsub oneof =TYPE since:2.8.12 optional
        - normal pure-token =NORMAL
        - master pure-token =MASTER since:3.2.0
        - slave pure-token =SLAVE
        - replica pure-token =REPLICA since:5.0.0
        - pubsub pure-token =PUBSUB
      - username string =USER optional
      - ip:port string =ADDR optional
      - ip:port string =LADDR since:6.2.0 optional
      - yes/no string =SKIPME optional
client|list
 : O(N) where N is the number of client connections
 ~ 2.8.12 Added unique client \`id\` field.
 ~ 5.0.0 Added optional \`TYPE\` filter.
 ~ 6.0.0 Added \`user\` field.
 ~ 6.2.0 Added \`argv-mem\`, \`tot-mem\`, \`laddr\` and \`redir\` fields and the optional \`ID\` filter.
 ~ 7.0.0 Added \`resp\`, \`multi-mem\`, \`rbs\` and \`rbp\` fields.
 ~ 7.0.3 Added \`ssub\` field.
  - normal_master_replica_pubsub oneof =TYPE since:5.0.0 optional
    - normal pure-token =NORMAL
    - master pure-token =MASTER
    - replica pure-token =REPLICA
    - pubsub pure-token =PUBSUB
  - id block =ID since:6.2.0 optional
    - client-id integer multiple
client|no-evict
 : O(1)
  - enabled oneof
    - on pure-token =ON
    - off pure-token =OFF
client|pause
 : O(1)
 ~ 6.2.0 \`CLIENT PAUSE WRITE\` mode added along with the \`mode\` option.
  - timeout integer
  - mode oneof since:6.2.0 optional
    - write pure-token =WRITE
    - all pure-token =ALL
client|reply
 : O(1)
  - on_off_skip oneof
    - on pure-token =ON
    - off pure-token =OFF
    - skip pure-token =SKIP
client|setname
 : O(1)
  - connection-name string
client|tracking
 : O(1). Some options may introduce additional complexity.
  - status oneof
    - on pure-token =ON
    - off pure-token =OFF
  - client-id integer =REDIRECT optional
  - prefix string =PREFIX optional multiple multiple_token
  - bcast pure-token =BCAST optional
  - optin pure-token =OPTIN optional
  - optout pure-token =OPTOUT optional
  - noloop pure-token =NOLOOP optional
client|trackinginfo
 : O(1)
client|unblock
 : O(log N) where N is the number of client connections
  - client-id integer
  - timeout_error oneof optional
    - timeout pure-token =TIMEOUT
    - error pure-token =ERROR
client|unpause
 : O(N) Where N is the number of paused clients
echo
 : O(1)
  - message string
hello
 : O(1)
 ~ 6.2.0 \`protover\` made optional; when called without arguments the command reports the current
 + connection's context.
  - arguments block optional
    - protover integer
    - username_password block =AUTH optional
      - username string
      - password string
    - clientname string =SETNAME optional
ping
 : O(1)
  - message string optional
quit
 : O(1)
reset
 : O(1)
select
 : O(1)
  - index integer
`;
