"""The operators' JSON API under /api/v1, described in OpenAPI 3.1 at /api/v1/openapi.json.

No answer holds a token, a key, a push token, a PushMagic, or a command's payload.
"""
