"""Clients of Apple's services, and `http`, the way to ask any web service.

Nothing here reads or writes the database: callers decide what an answer means.
"""
