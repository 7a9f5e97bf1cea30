"""Whole stories on one machine: the real server, the stand-ins for Apple and simulated devices, in one process."""
