"""Stand-ins for Apple and simulated devices, for rehearsals, demonstrations and tests. Never part of a running server."""
