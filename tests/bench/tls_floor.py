"""The least that a TLS server can do: accept, shake hands, read one request, answer, in a blocking loop."""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _context() -> ssl.SSLContext:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    sans = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = authority.self_signed(profiles.HTTPS_SERVER, key, names.make("localhost"), sans=sans, now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pair.pem")
        path.write_bytes(pem + certificates.pem(certificate))
        context.load_cert_chain(path)
    return context


def main() -> None:
    context = _context()
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512) as listening:
        while True:
            accepted, _address = listening.accept()
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    received = connection.recv(65536)
                    while b"</plist>" not in received:
                        more = connection.recv(65536)
                        if not more:
                            break
                        received += more
                    else:
                        connection.sendall(ANSWER)
            except OSError:
                continue  # the client went away, as the one that looks whether we listen does


if __name__ == "__main__":
    main()
