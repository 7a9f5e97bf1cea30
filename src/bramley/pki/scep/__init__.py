"""SCEP (RFC 8894), both ends, without HTTP, storage or a policy of who may have a certificate.

server      what each operation answers: GetCACaps, GetCACert, PKIOperation
client      a client over any transport
challenge   one-time challenge passwords
messages    the types: Request, Transaction, MessageType, PKIStatus, FailInfo
errors      SCEPError and its branches
"""
