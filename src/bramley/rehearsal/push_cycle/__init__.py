"""Years of renewing push certificates, with the mistakes that lose fleets; and the same years without Bramley's checks.

`script` tells the story in terms of `parts` and knows no server; `fleet` and `control` are the two that it is played with,
`ways` and `desks` the roads to Apple, `doors` the ways into Bramley, `outcome` what came about, `performance` all of it.
"""
