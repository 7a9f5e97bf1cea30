"""A certification authority: what each kind of certificate holds (`profiles`) and how it is issued (`authority`).

Stateless: who may have a certificate, serial numbers in use and revocation are decided by whoever calls.
"""
