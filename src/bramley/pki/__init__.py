"""Keys, certificates, requests, chains, CMS and SCEP, usable alone.

Nothing here knows of MDM, HTTP, SQL or settings: transports, key sources and the time are handed in. The only import from
the rest of Bramley is the root of its errors.
"""
