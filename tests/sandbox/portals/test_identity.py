"""Accounts and topics: creating makes a new one, renewing keeps it, and only its owner sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from bramley.apple.push.topic import topic_of
from bramley.pki import certificates, chains
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals import NotAMember, NotVisible, PortalRefused, SandboxApple
from bramley.sandbox.portals.vendors import new_csr, rsa_key
from tests.conftest import SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER, OTHER_ACCOUNT, Request


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def test_creating_makes_a_new_topic_each_time(
    portals: SandboxApple, apple: SandboxAppleCA, clock: SetClock, request_for: Callable[..., Request]
) -> None:
    file = request_for().file
    first, second = portals.identity.create(ACCOUNT, file), portals.identity.create(ACCOUNT, file)
    assert topic_of(first) != topic_of(second)
    assert topic_of(first) == "com.apple.mgmt.External." + common_name(first).removeprefix("APSP:")
    assert first.not_valid_after_utc == clock.now() + timedelta(days=365)
    assert [row.topic for row in portals.identity.list(ACCOUNT)] == [topic_of(first), topic_of(second)]
    chains.verify(
        first,
        intermediates=[apple.intermediate],
        anchors=[apple.root],
        at=clock.now(),
        extended_key_usage=ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string,
    )


def test_renewing_keeps_topic_and_name_year_after_year(
    portals: SandboxApple, clock: SetClock, request_for: Callable[..., Request], apple: SandboxAppleCA
) -> None:
    first = portals.identity.create(ACCOUNT, request_for().file)
    topic = topic_of(first)
    for year in range(1, 4):
        clock.moment += timedelta(days=400)  # late: Apple renews what has lapsed
        vendor_key, key = rsa_key(), rsa_key()
        vendor = certificates.load(portals.developer.issue_vendor(DEVELOPER, new_csr(vendor_key, "v")))
        file = Request(new_csr(key, "push"), vendor_key, [*apple.vendor_chain(vendor)]).file
        renewed = portals.identity.renew(ACCOUNT, topic, file)
        assert (topic_of(renewed), common_name(renewed)) == (topic, common_name(first))
        assert renewed.serial_number != first.serial_number
        assert certificates.matches(renewed, key.public_key())
        assert renewed.not_valid_after_utc == clock.now() + timedelta(days=365)
        (row,) = portals.identity.list(ACCOUNT)
        assert (len(row.issued), row.newest) == (year + 1, renewed)


def test_another_account_does_not_even_see_the_topic(portals: SandboxApple, request_for: Callable[..., Request]) -> None:
    file = request_for().file
    topic = topic_of(portals.identity.create(ACCOUNT, file))
    with pytest.raises(NotVisible) as there:
        portals.identity.renew(OTHER_ACCOUNT, topic, file)
    with pytest.raises(NotVisible) as nowhere:
        portals.identity.renew(OTHER_ACCOUNT, "com.apple.mgmt.External.none", file)
    assert there.value.message.replace(topic, "T") == nowhere.value.message.replace("com.apple.mgmt.External.none", "T")
    with pytest.raises(NotVisible):
        portals.identity.revoke(OTHER_ACCOUNT, topic)
    with pytest.raises(NotVisible):
        portals.identity.transfer(topic, OTHER_ACCOUNT, ACCOUNT)
    assert portals.identity.list(OTHER_ACCOUNT) == ()
    (row,) = portals.identity.list(ACCOUNT)
    assert (len(row.issued), row.revoked) == (1, False)


def test_an_account_that_nobody_has(portals: SandboxApple, request_for: Callable[..., Request]) -> None:
    file, identity = request_for().file, portals.identity
    topic = topic_of(identity.create(ACCOUNT, file))
    for attempt in (
        lambda: identity.create("nobody", file),
        lambda: identity.renew("nobody", topic, file),
        lambda: identity.list("nobody"),
        lambda: identity.transfer(topic, ACCOUNT, "nobody"),
    ):
        with pytest.raises(NotAMember, match="nobody"):
            attempt()
    assert len(identity.list(ACCOUNT)) == 1


def test_apple_support_moves_a_topic_to_another_account(portals: SandboxApple, request_for: Callable[..., Request]) -> None:
    file = request_for().file
    topic = topic_of(portals.identity.create(ACCOUNT, file))
    portals.identity.transfer(topic, ACCOUNT, OTHER_ACCOUNT)
    assert topic_of(portals.identity.renew(OTHER_ACCOUNT, topic, file)) == topic
    with pytest.raises(NotVisible):
        portals.identity.renew(ACCOUNT, topic, file)


def test_what_was_revoked_is_not_renewed(portals: SandboxApple, request_for: Callable[..., Request]) -> None:
    file = request_for().file
    first = portals.identity.create(ACCOUNT, file)
    second = portals.identity.renew(ACCOUNT, topic_of(first), file)
    assert portals.identity.revoke(ACCOUNT, topic_of(first)) == (first, second)
    with pytest.raises(PortalRefused, match="cannot be renewed"):
        portals.identity.renew(ACCOUNT, topic_of(first), file)
