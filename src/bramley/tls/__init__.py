"""This server's own HTTPS certificate: what listeners present, and how a new one takes over while they run."""
