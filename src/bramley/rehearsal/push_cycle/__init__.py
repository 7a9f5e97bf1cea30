"""Years of renewing push certificates, with the mistakes that lose fleets; and the same years without Bramley's checks.

`script` tells the story and knows nothing of the server; `fleet` and `control` are the two servers it is played with, `ways`
the roads to Apple, `doors` the ways into Bramley, `outcome` what came about.
"""
