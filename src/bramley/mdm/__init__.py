"""The device protocol: what Apple devices send, who they prove to be, and what they are told.

Decides and stores; speaks no HTTP. `identity` proves possession of a key, `binding` ties it to an enrollment, `checkin` and
`connect` act on it inside the caller's transaction.
"""
