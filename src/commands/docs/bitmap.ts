/** COMMAND DOCS of the group bitmap, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
bitcount
 : O(N)
 ~ 7.0.0 Added the \`BYTE|BIT\` option.
  - key key @0
  - index block optional
    - start integer
    - end integer
    - index_unit oneof since:7.0.0 optional
      - byte pure-token =BYTE
      - bit pure-token =BIT
bitfield
 : O(1) for each subcommand specified
  - key key @0
  - operation oneof optional multiple
    - encoding_offset block =GET
      - encoding string
      - offset integer
    - write block
      - wrap_sat_fail oneof =OVERFLOW optional
        - wrap pure-token =WRAP
        - sat pure-token =SAT
        - fail pure-token =FAIL
      - write_operation oneof
        - encoding_offset_value block =SET
          - encoding string
          - offset integer
          - value integer
        - encoding_offset_increment block =INCRBY
          - encoding string
          - offset integer
          - increment integer
bitfield_ro
 : O(1) for each subcommand specified
  - key key @0
  - encoding_offset block =GET optional multiple multiple_token
    - encoding string
    - offset integer
bitop
 : O(N)
  - operation string
  - destkey key @0
  - key key @1 multiple
bitpos
 : O(N)
 ~ 7.0.0 Added the \`BYTE|BIT\` option.
  - key key @0
  - bit integer
  - index block optional
    - start integer
    - end_index block optional
      - end integer
      - index_unit oneof since:7.0.0 optional
        - byte pure-token =BYTE
        - bit pure-token =BIT
getbit
 : O(1)
  - key key @0
  - offset integer
setbit
 : O(1)
  - key key @0
  - offset integer
  - value integer
`;
