"""Clients of APNs as the settings describe them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bramley.apple.push.client import CurlPushClient, PushClient, PushTarget
from bramley.operations import setting_files
from bramley.operations.installation import Installation
from bramley.operations.live import PushIdentity
from bramley.pki import certificates
from bramley.settings import Settings


def target_of(settings: Settings) -> PushTarget:
    """Where to push. BadInput where `push.ca_file` cannot be read."""
    push = settings.push
    return PushTarget(push.host, push.port, setting_files.read("push.ca_file", push.ca_file), push.proxy or None)


def clients(
    installation: Installation,
    target: PushTarget | None = None,
    *,
    connect_timeout: timedelta = timedelta(seconds=10),
    answer_timeout: timedelta = timedelta(seconds=30),
) -> Callable[[PushIdentity], PushClient]:
    """What makes a client for a push certificate, by default to where the settings say. BadInput as `target_of`."""
    where = target or target_of(installation.settings)

    def connect(identity: PushIdentity) -> PushClient:
        return CurlPushClient(
            certificate_pem=certificates.pem(identity.certificate),
            key=identity.key,
            topic=identity.topic,
            target=where,
            expiration=timedelta(days=installation.settings.push.expiration_days),
            clock=installation.clock,
            connect_timeout=connect_timeout,
            answer_timeout=answer_timeout,
        )

    return connect
