"""Years of device identities: renewed, rescued, lost and stolen, under a CA that is replaced; and a server that renews none.

`plan` says who plays which part, `player` is one device in it, `fleet` all of them with their server, `wiping` what happens to
some, `thief` what is tried with copies of old identities. `story` tells the years, `outcome` what came about, `performance` is
all of it.
"""
