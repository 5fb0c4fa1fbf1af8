/** COMMAND DOCS of the group geo, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = `
geoadd
 : O(log(N)) for each item added, where N is the number of elements in the sorted set.
 ~ 6.2.0 Added the \`CH\`, \`NX\` and \`XX\` options.
  - key key @0
  - condition oneof since:6.2.0 optional
    - nx pure-token =NX
    - xx pure-token =XX
  - change pure-token =CH since:6.2.0 optional
  - longitude_latitude_member block multiple
    - longitude double
    - latitude double
    - member string
geodist
 : O(log(N))
  - key key @0
  - member1 string
  - member2 string
  - unit oneof optional
    - m pure-token =M
    - km pure-token =KM
    - ft pure-token =FT
    - mi pure-token =MI
geohash
 : O(log(N)) for each member requested, where N is the number of elements in the sorted set.
  - key key @0
  - member string multiple
geopos
 : O(N) where N is the number of members requested.
  - key key @0
  - member string multiple
georadius
 : O(N+log(M)) where N is the number of elements inside the bounding box of the circular area
 + delimited by center and radius and M is the number of items inside the index.
 ! deprecated
 < 6.2.0 \`GEOSEARCH\` and \`GEOSEARCHSTORE\` with the \`BYRADIUS\` argument
 ~ 6.2.0 Added the \`ANY\` option for \`COUNT\`.
 ~ 7.0.0 Added support for uppercase unit names.
  - key key @0
  - longitude double
  - latitude double
  - radius double
  - unit oneof
    - m pure-token =M
    - km pure-token =KM
    - ft pure-token =FT
    - mi pure-token =MI
  - withcoord pure-token =WITHCOORD optional
  - withdist pure-token =WITHDIST optional
  - withhash pure-token =WITHHASH optional
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY since:6.2.0 optional
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - key key @1 =STORE optional
  - key key @2 =STOREDIST optional
georadius_ro
 : O(N+log(M)) where N is the number of elements inside the bounding box of the circular area
 + delimited by center and radius and M is the number of items inside the index.
 ! deprecated
 < 6.2.0 \`GEOSEARCH\` with the \`BYRADIUS\` argument
 ~ 6.2.0 Added the \`ANY\` option for \`COUNT\`.
  - key key @0
  - longitude double
  - latitude double
  - radius double
  - unit oneof
    - m pure-token =M
    - km pure-token =KM
    - ft pure-token =FT
    - mi pure-token =MI
  - withcoord pure-token =WITHCOORD optional
  - withdist pure-token =WITHDIST optional
  - withhash pure-token =WITHHASH optional
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY since:6.2.0 optional
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
georadiusbymember
 : O(N+log(M)) where N is the number of elements inside the bounding box of the circular area
 + delimited by center and radius and M is the number of items inside the index.
 ! deprecated
 < 6.2.0 \`GEOSEARCH\` and \`GEOSEARCHSTORE\` with the \`BYRADIUS\` and \`FROMMEMBER\` arguments
 ~ 7.0.0 Added support for uppercase unit names.
  - key key @0
  - member string
  - radius double
  - unit oneof
    - m pure-token =M
    - km pure-token =KM
    - ft pure-token =FT
    - mi pure-token =MI
  - withcoord pure-token =WITHCOORD optional
  - withdist pure-token =WITHDIST optional
  - withhash pure-token =WITHHASH optional
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY optional
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - key key @1 =STORE optional
  - key key @2 =STOREDIST optional
georadiusbymember_ro
 : O(N+log(M)) where N is the number of elements inside the bounding box of the circular area
 + delimited by center and radius and M is the number of items inside the index.
 ! deprecated
 < 6.2.0 \`GEOSEARCH\` with the \`BYRADIUS\` and \`FROMMEMBER\` arguments
  - key key @0
  - member string
  - radius double
  - unit oneof
    - m pure-token =M
    - km pure-token =KM
    - ft pure-token =FT
    - mi pure-token =MI
  - withcoord pure-token =WITHCOORD optional
  - withdist pure-token =WITHDIST optional
  - withhash pure-token =WITHHASH optional
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY optional
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
geosearch
 : O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the
 + shape provided as the filter and M is the number of items inside the shape
 ~ 7.0.0 Added support for uppercase unit names.
  - key key @0
  - from oneof
    - member string =FROMMEMBER
    - longitude_latitude block =FROMLONLAT
      - longitude double
      - latitude double
  - by oneof
    - circle block
      - radius double =BYRADIUS
      - unit oneof
        - m pure-token =M
        - km pure-token =KM
        - ft pure-token =FT
        - mi pure-token =MI
    - box block
      - width double =BYBOX
      - height double
      - unit oneof
        - m pure-token =M
        - km pure-token =KM
        - ft pure-token =FT
        - mi pure-token =MI
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY optional
  - withcoord pure-token =WITHCOORD optional
  - withdist pure-token =WITHDIST optional
  - withhash pure-token =WITHHASH optional
geosearchstore
 : O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the
 + shape provided as the filter and M is the number of items inside the shape
 ~ 7.0.0 Added support for uppercase unit names.
  - destination key @0
  - source key @1
  - from oneof
    - member string =FROMMEMBER
    - longitude_latitude block =FROMLONLAT
      - longitude double
      - latitude double
  - by oneof
    - circle block
      - radius double =BYRADIUS
      - unit oneof
        - m pure-token =M
        - km pure-token =KM
        - ft pure-token =FT
        - mi pure-token =MI
    - box block
      - width double =BYBOX
      - height double
      - unit oneof
        - m pure-token =M
        - km pure-token =KM
        - ft pure-token =FT
        - mi pure-token =MI
  - order oneof optional
    - asc pure-token =ASC
    - desc pure-token =DESC
  - count block optional
    - count integer =COUNT
    - any pure-token =ANY optional
  - storedist pure-token =STOREDIST optional
`;
