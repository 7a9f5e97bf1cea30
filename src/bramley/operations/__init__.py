"""The use cases, each one transaction: what the command line, the web and the jobs do with an installation.

The only layer that combines apple, mdm, profiles, tls and lifecycle. Functions take what they work on as the first argument:
an `Installation` (database, seal, clock, settings), or `Live`, a running server's view of it with the keys at hand.
"""
