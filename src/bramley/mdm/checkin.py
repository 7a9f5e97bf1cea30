"""Check-in messages from authenticated devices, each handled inside the caller's write transaction.

`Authenticate` and `TokenUpdate` have modules of their own. What is refused raises, and so undoes the transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from bramley.mdm import authenticate, plist, token_update
from bramley.mdm.answer import DONE, PLIST_TYPE, Answer
from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.errors import BadMessage, NotOffered, Quarantined
from bramley.mdm.messages import (
    Authenticate,
    CheckinMessage,
    CheckOut,
    DeclarativeManagement,
    GetBootstrapToken,
    GetToken,
    SetBootstrapToken,
    TokenUpdate,
    Unknown,
    UserAuthenticate,
)
from bramley.mdm.records import device_enrollment, end, event, retire_identities, secret_place
from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.events import EventKind
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx


def handle(
    tx: Tx,
    device: AuthenticatedDevice,
    message: CheckinMessage,
    *,
    now: datetime,
    sealer: Sealer,
    topics: Collection[str],
) -> Answer:
    """What to answer, with the effects of the message written to `tx`.

    `device` must come from authenticating this very message. `topics` are the push topics of this server. The caller
    promotes a version on its first use in the same transaction, so that `device.is_first_use` is true once.

    Raises Refused where the message asks for what its sender may not have, NotOffered for a message type that this
    server does not serve, Quarantined for secrets of a quarantined enrollment, BadMessage for an unknown type.
    """
    assert device.sender == message.sender, "a device is authenticated for one message"
    match message:
        case Authenticate():
            authenticate.handle(tx, device, message, now=now, topics=topics)
            return DONE
        case TokenUpdate():
            # an identity that has ended says how its device is woken, and no more
            heard = replace(message, unlock_token=None) if device.has_ended else message
            token_update.handle(tx, device, heard, now=now, sealer=sealer, topics=topics)
            return DONE
        case CheckOut():
            _check_out(tx, device, now)
            return DONE
        case SetBootstrapToken():
            _set_bootstrap_token(tx, device, message.token, now, sealer)
            return DONE
        case GetBootstrapToken():
            return _get_bootstrap_token(tx, device, now, sealer)
        case GetToken() | UserAuthenticate() | DeclarativeManagement():
            raise NotOffered(type(message).__name__)
        case Unknown():
            raise BadMessage(f"Expected a MessageType that Apple documents; {message.message_type[:40]!r} came.")


def _check_out(tx: Tx, device: AuthenticatedDevice, now: datetime) -> None:
    """Ends a device with its channels, or one channel. A quarantined device stays so: what waits for it still counts."""
    enrollment = device_enrollment(tx, device)
    if device.sender.user is not None:
        for channel in tx.enrollments.channels(enrollment.key):
            if channel.key == device.presented.channel_key and channel.state is not EnrollmentState.CHECKED_OUT:
                detail: dict[str, object] = {"cancelled": end(tx, channel, now)}
                tx.events.append(event(EventKind.ENROLLMENT_CHECKED_OUT, device, now, key=channel.key, detail=detail))
        return
    quarantined = enrollment.state is EnrollmentState.QUARANTINED
    cancelled = 0
    if not quarantined:
        cancelled = end(tx, enrollment, now)
        retire_identities(tx, enrollment.key, now)
    detail = {"quarantined": quarantined, "cancelled": cancelled}
    tx.events.append(event(EventKind.ENROLLMENT_CHECKED_OUT, device, now, detail=detail))


def _set_bootstrap_token(tx: Tx, device: AuthenticatedDevice, token: bytes | None, now: datetime, sealer: Sealer) -> None:
    enrollment = _escrowing(tx, device, "SetBootstrapToken")
    sealed = sealer.seal(token, secret_place(enrollment.key, "bootstrap-token")) if token else None
    tx.enrollments.update(replace(enrollment, bootstrap_token=sealed, changed_at=now))
    kind = EventKind.BOOTSTRAP_TOKEN_SET if token else EventKind.BOOTSTRAP_TOKEN_DELETED
    tx.events.append(event(kind, device, now))


def _get_bootstrap_token(tx: Tx, device: AuthenticatedDevice, now: datetime, sealer: Sealer) -> Answer:
    enrollment = _escrowing(tx, device, "GetBootstrapToken")
    if enrollment.bootstrap_token is None:
        return DONE
    token = sealer.open(enrollment.bootstrap_token, secret_place(enrollment.key, "bootstrap-token"))
    tx.events.append(event(EventKind.BOOTSTRAP_TOKEN_READ, device, now))
    return Answer(plist.dumps({"BootstrapToken": token}), PLIST_TYPE)


def _escrowing(tx: Tx, device: AuthenticatedDevice, kind: str) -> Enrollment:
    """The enrollment whose bootstrap token the message is about: a device's own, and not a quarantined one's."""
    if device.sender.user is not None:
        raise NotOffered(kind, f"{kind} is for the device channel; it came on a user's.")
    enrollment = device_enrollment(tx, device)
    if enrollment.state is EnrollmentState.QUARANTINED:
        raise Quarantined(f"{kind} is withheld: {enrollment.id} is quarantined.")
    return enrollment
