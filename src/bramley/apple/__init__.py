"""Clients of Apple's services. Nothing here reads or writes the database: callers decide what an answer means."""
