"""Four attackers, each with every way it has. A server is well when every attempt is refused, and none with a 401.

    someone_elses_udid   a device of the fleet, with a live identity, that speaks for another
    revoked_identity     a device whose identity was revoked
    replaced_body        somebody who can change what a device sends, or send it again with another signature
    look_alike_ca        somebody with a CA of their own that bears the name of the server's

Each is an async generator of `Attempt`. They stop at nothing, CheckOut included: attack a fleet that may be lost.
"""

from __future__ import annotations

from bramley.sandbox.attackers.attempts import Attempt
from bramley.sandbox.attackers.impostor import someone_elses_udid
from bramley.sandbox.attackers.look_alike import look_alike_ca
from bramley.sandbox.attackers.revoked import revoked_identity
from bramley.sandbox.attackers.tamperer import replaced_body

__all__ = ["Attempt", "look_alike_ca", "replaced_body", "revoked_identity", "someone_elses_udid"]
