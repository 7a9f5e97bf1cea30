"""What connections get from a listener: first handshakes in memory, then one against the `openssl` command."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.tls.errors import BadServerCertificate
from bramley.tls.live import LiveCertificate, ServerPair


def client_context(ca: authority.Authority, identity: tuple[x509.Certificate, keys.PrivateKey] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates.der(ca.certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if identity is not None:
        certificate, key = identity
        with tempfile.NamedTemporaryFile() as file:
            key_pem = pem_key(key)
            file.write(key_pem + certificates.pem(certificate))
            file.flush()
            context.load_cert_chain(file.name)
    return context


def pem_key(key: keys.PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Handshake:
    """A client and a server that shake hands in memory; both see the same bytes as over a network."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost") -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client.check_hostname = name is not None
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(4):
            for side in (self.client, self.server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    def presented(self) -> x509.Certificate:
        der = self.client.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)

    def client_certificate(self) -> bytes | None:
        return self.server.getpeercert(binary_form=True)


def identity_of(
    ca: authority.Authority, key: keys.PrivateKey, begin: datetime, name: str = "device"
) -> tuple[x509.Certificate, keys.PrivateKey]:
    certificate = authority.issue(
        ca, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make(name), now=begin, lifetime=timedelta(days=365)
    )
    return certificate, key


def test_a_listener_presents_the_pair_it_was_given(ca: authority.Authority, rsa_pair: ServerPair) -> None:
    seen = Handshake(LiveCertificate(rsa_pair).context(), client_context(ca))

    assert certificates.pem(seen.presented()) == rsa_pair.chain_pem
    assert seen.client.version() == "TLSv1.3"
    assert seen.client.selected_alpn_protocol() == "http/1.1"


def test_a_new_pair_of_another_key_type_takes_over_for_clients_with_and_without_a_name(
    ca: authority.Authority, rsa_pair: ServerPair, ec_pair: ServerPair
) -> None:
    live = LiveCertificate(rsa_pair)
    context = live.context()

    live.replace(ec_pair)

    assert certificates.pem(Handshake(context, client_context(ca)).presented()) == ec_pair.chain_pem
    assert certificates.pem(Handshake(context, client_context(ca), name=None).presented()) == ec_pair.chain_pem


def test_after_a_change_from_rsa_to_ec_a_client_that_only_speaks_rsa_is_not_served_the_old_pair(
    ca: authority.Authority, rsa_pair: ServerPair, ec_pair: ServerPair
) -> None:
    live = LiveCertificate(rsa_pair)
    context = live.context()
    live.replace(ec_pair)
    old = client_context(ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")

    with pytest.raises(ssl.SSLError):
        Handshake(context, old)


def test_a_pair_that_does_not_match_is_refused_and_the_old_one_stays(
    ca: authority.Authority, rsa_pair: ServerPair, ec_pair: ServerPair
) -> None:
    live = LiveCertificate(rsa_pair)
    context = live.context()

    with pytest.raises(BadServerCertificate, match="another certificate"):
        live.replace(ServerPair(rsa_pair.chain_pem, ec_pair.key))

    assert certificates.pem(Handshake(context, client_context(ca)).presented()) == rsa_pair.chain_pem


def test_text_that_is_no_certificate_is_refused(rsa_key: keys.PrivateKey) -> None:
    with pytest.raises(BadServerCertificate):
        LiveCertificate(ServerPair(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", rsa_key))


def test_a_client_without_a_certificate_is_let_in(ca: authority.Authority, ec_pair: ServerPair) -> None:
    seen = Handshake(LiveCertificate(ec_pair).context([ca.certificate]), client_context(ca))

    assert seen.client_certificate() is None


@pytest.mark.parametrize("years_ago", [0, 3], ids=["in date", "expired"])
def test_a_client_certificate_of_our_ca_arrives_expired_or_not(
    ca: authority.Authority, ec_pair: ServerPair, ec_key: keys.PrivateKey, years_ago: int
) -> None:
    identity = identity_of(ca, ec_key, datetime.now(UTC) - timedelta(days=365 * years_ago))

    seen = Handshake(LiveCertificate(ec_pair).context([ca.certificate]), client_context(ca, identity))

    assert seen.client_certificate() == certificates.der(identity[0])


def test_a_client_certificate_of_a_ca_with_the_same_name_ends_the_handshake(
    ca: authority.Authority, ec_pair: ServerPair, ec_key: keys.PrivateKey
) -> None:
    other_key = keys.generate(keys.KeyAlgorithm.P_256)
    now = datetime.now(UTC)
    look_alike = authority.Authority(
        authority.self_signed(profiles.ROOT_CA, other_key, ca.certificate.subject, now=now), other_key
    )

    with pytest.raises(ssl.SSLError):
        Handshake(LiveCertificate(ec_pair).context([ca.certificate]), client_context(ca, identity_of(look_alike, ec_key, now)))


def test_an_issuing_ca_is_trusted_without_its_root(ca: authority.Authority, ec_pair: ServerPair, ec_key: keys.PrivateKey) -> None:
    now = datetime.now(UTC)
    key = keys.generate(keys.KeyAlgorithm.P_256)
    certificate = authority.issue(ca, profiles.IDENTITY_CA, key.public_key(), subject=names.make("Issuing"), now=now)
    issuing = authority.Authority(certificate, key, (ca.certificate,))
    identity = identity_of(issuing, ec_key, now)

    seen = Handshake(LiveCertificate(ec_pair).context([certificate]), client_context(ca, identity))

    assert seen.client_certificate() == certificates.der(identity[0])


def test_a_swapped_in_certificate_keeps_asking_devices_for_theirs_and_can_change_whom_it_trusts(
    ca: authority.Authority, rsa_pair: ServerPair, ec_pair: ServerPair, ec_key: keys.PrivateKey
) -> None:
    now = datetime.now(UTC)
    key = keys.generate(keys.KeyAlgorithm.P_256)
    successor = authority.Authority(authority.self_signed(profiles.ROOT_CA, key, names.make("Successor"), now=now), key)
    old, new = identity_of(ca, ec_key, now - timedelta(days=800)), identity_of(successor, ec_key, now)
    live = LiveCertificate(rsa_pair)
    context = live.context([ca.certificate])

    live.replace(ec_pair)
    assert Handshake(context, client_context(ca, old)).client_certificate() == certificates.der(old[0])

    live.replace(ec_pair, client_ca=[ca.certificate, successor.certificate])
    for identity in (old, new):
        assert Handshake(context, client_context(ca, identity)).client_certificate() == certificates.der(identity[0])


def test_no_key_stays_on_disk(ec_pair: ServerPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    LiveCertificate(ec_pair).context()

    assert list(tmp_path.rglob("*")) == []


def test_openssl_agrees_about_the_chain_and_gets_no_session_ticket(
    ca: authority.Authority, ec_pair: ServerPair, tmp_path: Path
) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(certificates.pem(ca.certificate))
    context = LiveCertificate(ec_pair).context([ca.certificate])
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _peer = listening.accept()
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        command = ["openssl", "s_client", "-connect", address, "-CAfile", str(root), "-verify_return_error", "-ign_eof"]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=20, check=False)
        thread.join()

    assert b"Verify return code: 0 (ok)" in done.stdout
    assert b"hello" in done.stdout
    assert b"New Session Ticket arrived" not in done.stdout
