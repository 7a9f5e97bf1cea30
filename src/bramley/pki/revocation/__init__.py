"""What a CA tells others of revoked certificates: whole lists (`crl`), and single answers (`ocsp_requests`, `ocsp_responses`).

Stateless: what is revoked, which number a list has and when it is published are decided by whoever calls.
"""
