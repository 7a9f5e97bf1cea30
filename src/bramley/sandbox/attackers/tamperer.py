"""Somebody between a device and the server, who can change bodies and signatures but sign nothing."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Iterator

from bramley.clock import Clock
from bramley.pki import cms
from bramley.sandbox import signature
from bramley.sandbox.attackers.attempts import Attempt, Target, every_message, send
from bramley.sandbox.device import SimulatedDevice, messages
from bramley.sandbox.signature import Identity, SignatureStyle

_SHAPES = {SignatureStyle.APPLE: "without signed attributes", SignatureStyle.DER: "with signed attributes"}


async def replaced_body(device: SimulatedDevice, clock: Clock) -> AsyncIterator[Attempt]:
    """Messages of a live device, each with something about it changed: the body, the signature, or which goes with which."""
    identity = device.identity
    assert identity is not None, "the device is enrolled"
    target, transport = Target(device.mdm), device.transport
    who = device.sender()
    genuine = messages.encode(messages.idle(who))
    for style, shape in _SHAPES.items():
        headers = signature.header(genuine, identity, style, now=clock.now())
        for name, content_type, message in every_message(who, device.device, target.mdm.topic):
            body = messages.encode(message)
            if body != genuine:
                description = f"the signature of another message, {shape}: {name}"
                yield await send(transport, target.url(content_type), content_type, body, headers, description)
    for description, body, header in _forgeries(genuine, identity, device, clock):
        headers = {} if header is None else {signature.HEADER: header}
        yield await send(transport, target.mdm.server_url, messages.CONNECT_TYPE, body, headers, description)


def _forgeries(
    genuine: bytes, identity: Identity, device: SimulatedDevice, clock: Clock
) -> Iterator[tuple[str, bytes, str | None]]:
    """Description, body and header of each."""
    now = clock.now()
    forged = messages.encode(messages.report(device.sender(), str(uuid.uuid4()).upper(), "Acknowledged"))
    for style, shape in _SHAPES.items():
        message = signature.sign(genuine, identity, style, now=now)
        assert message is not None, "both shapes are signatures"
        yield f"one space more at the end of the body, {shape}", genuine + b" ", _header(message)
        yield f"an empty body, {shape}", b"", _header(message)
        for place in (len(message) // 2, len(message) - 20):
            changed = message[:place] + bytes((message[place] ^ 1,)) + message[place + 1 :]
            yield f"one bit of the signature changed, at octet {place}, {shape}", genuine, _header(changed)
        yield f"half of the signature, {shape}", genuine, _header(message[: len(message) // 2])
    with_attributes = cms.sign(genuine, key=identity.key, certificate=identity.certificate, detached=True, signing_time=now)
    signer = cms.parse_signed_data(with_attributes).signers[0]
    assert signer.signed_attributes_raw is not None, "it was made with signed attributes"
    # RFC 5652 section 5.4 signs attributes and content alike, so one can be passed off as the other
    stripped = signature.without_attributes(identity.certificate, signer.signature)
    yield "the signed attributes of a message in place of its body", signer.signed_attributes_raw, _header(stripped)
    yield "a signature whose attributes were taken away", genuine, _header(stripped)
    attached = cms.sign(genuine, key=identity.key, certificate=identity.certificate, signing_time=now)
    yield "a signature that brings its own content", forged, _header(attached)
    yield "no signature", forged, None
    yield "an empty signature", forged, ""
    yield "a signature that is not base64", forged, "no such thing"
    yield "a certificate without a signature", forged, _header(cms.certs_only([identity.certificate]))


def _header(message: bytes) -> str:
    return base64.b64encode(message).decode()
