"""Certificates without signers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bramley.pki import oids
from bramley.pki.cms import Malformed, certs_only, content_info, der, parse_certs_only, sign

if TYPE_CHECKING:
    from tests.pki.cms.conftest import Identity


def test_certificates_come_back_in_the_callers_order(rsa_identity: Identity, ec_identity: Identity) -> None:
    for order in ([rsa_identity, ec_identity], [ec_identity, rsa_identity]):
        message = certs_only([one.certificate for one in order])
        assert parse_certs_only(message) == tuple(one.der for one in order)
    assert parse_certs_only(certs_only([])) == ()


def test_a_message_with_a_signer_is_not_certificates_only(rsa_identity: Identity) -> None:
    with pytest.raises(Malformed, match="certificates only"):
        parse_certs_only(sign(b"", key=rsa_identity.key, certificate=rsa_identity.certificate, detached=True))


def test_other_kinds_of_certificate_and_crls_are_passed_over(rsa_identity: Identity) -> None:
    message = content_info.wrap(
        oids.SIGNED_DATA,
        der.sequence(
            der.integer(5),
            der.set_of([]),
            der.sequence(der.oid(oids.DATA)),
            der.set_in_order([der.context(1, b""), rsa_identity.der, der.context(3, b"")], tag=0xA0),
            der.context(1, der.sequence()),
            der.set_of([]),
        ),
    )
    assert parse_certs_only(message) == (rsa_identity.der,)
