"""A CertRep that was changed on its way: refused, or the same certificate."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.pki.scep import enrollment, server
from bramley.pki.scep.enrollment import Enrollment, Signer
from bramley.pki.scep.errors import BadReply, SCEPError

from .kit import Service

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")  # a changed octet can make a country of three letters
hostile = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def sent(service: Service, signer: Signer, device_csr: bytes, now: datetime) -> Enrollment:
    return enrollment.request(device_csr, signer=signer, ca=service.authority.certificate, now=now)


@pytest.fixture
def reply(service: Service, sent: Enrollment, now: datetime) -> bytes:
    request = server.open_request(sent.message, service.responder, now=now)
    return server.success(request, service.responder, service.issue(request), now=now)


@hostile
@given(data=st.data())
def test_a_changed_reply_is_refused_or_means_the_same(reply: bytes, sent: Enrollment, now: datetime, data: st.DataObject) -> None:
    changed = bytearray(reply)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = enrollment.accept(bytes(changed), sent, now=now)
    except SCEPError:
        return
    assert found == enrollment.accept(reply, sent, now=now)


@hostile
@given(noise=st.binary(max_size=400))
def test_noise_is_no_reply(sent: Enrollment, now: datetime, noise: bytes) -> None:
    with pytest.raises(BadReply):
        enrollment.accept(noise, sent, now=now)
