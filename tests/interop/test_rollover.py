"""The identity CA is rolled over to a new key, and clients renew across it, with what they knew of the CA before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from bramley.model.enrollments import Purpose
from bramley.operations import identities
from tests.docs.pages import read, rows
from tests.interop.kit import Relay, Sent, Server, require, run
from tests.interop.test_scepclient import scepclient
from tests.interop.test_strongswan import pki_scep

RENEWING = ("--cert", "old.pem", "--key", "old.key")

TRIED = {
    ("certmonger", "`getcert resubmit`"): ("the former CA", "issued"),
    ("certmonger", "`getcert refresh-ca`, then `getcert rekey`"): ("the new CA", "issued"),
    ("strongSwan", "`ca.pem` from before"): ("the former CA", "issued"),
    ("strongSwan", "`ca.pem` from before, once that CA is withdrawn"): ("the former CA", "`WrongRecipient`"),
    ("strongSwan", "`ca.pem` fetched anew"): ("the new CA", "issued"),
    ("scepclient", "`again`"): ("the new CA", "issued"),
}
"""What each client encrypts its renewal to, and what comes of it: the table of the page, held against what happens here."""


def outcome(client: str, how: str, sent: Sent, former: x509.Certificate, new: x509.Certificate) -> str:
    """What should come of it; what was sent is held against the table at once."""
    names = {former.serial_number: "the former CA", new.serial_number: "the new CA"}
    written_to, result = TRIED[client, how]
    assert names[sent.recipient] == written_to
    return result


def test_the_page_says_what_is_tried() -> None:
    found = rows(read("reference/scep.md"), "### Across a rollover")
    assert {(client, how.strip("`")): tuple(rest) for client, how, *rest in found} == {
        (client, how.strip("`")): tuple(each.strip("`") for each in rest) for (client, how), rest in TRIED.items()
    }


async def enrolled(server: Server, relay: Relay, folder: Path, key: Path, challenge: str) -> None:
    """strongSwan enrolls; its identity is what it renews next."""
    first = (await pki_scep(server, relay, folder, key, "--password", challenge)).succeeded()
    keep(folder, first.output, key)


def keep(folder: Path, certificate: bytes, key: Path) -> None:
    (folder / "old.pem").write_bytes(certificate)
    (folder / "old.key").write_bytes(key.read_bytes())


async def fetch_next(server: Server, folder: Path) -> Path:
    """The next CA as an administrator gets it by hand: by GetNextCACert, its signature by the CA of before checked."""
    url = f"{server.url}?operation=GetNextCACert"
    (await run("curl", "--fail", "--cacert", server.root, "--output", "next.p7", url, folder=folder)).succeeded()
    trust = ("-CAfile", server.root, "-certfile", server.ca, "-purpose", "any")
    checking = ("openssl", "cms", "-verify", "-inform", "DER", "-in", "next.p7", *trust, "-out", "certs")
    (await run(*checking, folder=folder)).succeeded()
    printing = ("openssl", "pkcs7", "-inform", "DER", "-in", "certs", "-print_certs", "-out", "next.pem")
    (await run(*printing, folder=folder)).succeeded()
    return folder / "next.pem"


async def test_strongswan_with_the_certificate_of_before_and_anew(
    server: Server, relay: Relay, tmp_path: Path, device_key: Path, new_key: Path
) -> None:
    """With the former one it goes on until that is withdrawn; only its remark on trust misses the new one."""
    require("pki")
    challenge = await server.challenge()
    await enrolled(server, relay, tmp_path, device_key, challenge.secret)
    first, former = x509.load_pem_x509_certificate((tmp_path / "old.pem").read_bytes()), server.issuing
    await server.prepare_rollover()
    now = await server.roll_over()

    renewed = (await pki_scep(server, relay, tmp_path, new_key, *RENEWING)).succeeded()
    assert outcome("strongSwan", "`ca.pem` from before", relay.sent[-1], former, now.issuing) == "issued"
    assert "Issued certificate is not trusted" in renewed.said
    keep(tmp_path, renewed.output, new_key)
    version = await now.judge(tmp_path / "old.pem", new_key, challenge)
    assert await now.purpose(version) is Purpose.RENEW

    # it never shows its new identity to the server, so the one before has to be revoked
    live = server.service.live
    await identities.revoke(live.installation, f"{first.serial_number:x}", reason="renewed", actor="test")
    await now.withdraw()
    refused = await pki_scep(server, relay, tmp_path, device_key, *RENEWING)
    withdrawn = "`ca.pem` from before, once that CA is withdrawn"
    assert outcome("strongSwan", withdrawn, relay.sent[-1], former, now.issuing) == f"`{(await server.refusals())[0]}`"
    assert refused.status != 0

    fetched = ("--scepca", "--url", relay.url, "--outform", "pem", "--caout", "got.pem")
    (await run("pki", *fetched, folder=tmp_path)).succeeded()
    assert (tmp_path / "got-1.pem").read_text().split() == now.ca.read_text().split()
    again = (await pki_scep(now, relay, tmp_path, device_key, *RENEWING)).succeeded()
    assert outcome("strongSwan", "`ca.pem` fetched anew", relay.sent[-1], former, now.issuing) == "issued"
    assert "Issued certificate is trusted" in again.said
    (tmp_path / "new.pem").write_bytes(again.output)
    await now.judge(tmp_path / "new.pem", device_key, challenge)


async def test_strongswan_with_the_next_ca_fetched_ahead(
    server: Server, relay: Relay, tmp_path: Path, device_key: Path, new_key: Path
) -> None:
    require("pki", "curl")
    challenge = await server.challenge()
    await enrolled(server, relay, tmp_path, device_key, challenge.secret)
    await server.prepare_rollover()
    next_ca = await fetch_next(server, tmp_path)
    now = await server.roll_over()
    assert x509.load_pem_x509_certificate(next_ca.read_bytes()) == now.issuing

    trusting = await pki_scep(server, relay, tmp_path, new_key, *RENEWING, "--cacert", next_ca)
    (tmp_path / "new.pem").write_bytes(trusting.succeeded().output)
    await now.judge(tmp_path / "new.pem", new_key, challenge)
    assert "Issued certificate is trusted" in trusting.said


async def test_scepclient(lenient: Server, lenient_relay: Relay, tmp_path: Path) -> None:
    """It asks for the CA each time."""
    require("scepclient")
    challenge, former = await lenient.challenge(), lenient.issuing
    (await scepclient(lenient_relay.url, tmp_path, "-challenge", challenge.secret)).succeeded()
    await lenient.prepare_rollover()
    now = await lenient.roll_over()

    (await scepclient(lenient_relay.url, tmp_path)).succeeded()

    assert outcome("scepclient", "`again`", lenient_relay.sent[-1], former, now.issuing) == "issued"
    version = await now.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    assert await now.purpose(version) is Purpose.RENEW


# One daemon all the way, as on a machine that runs for months.
CERTMONGER = """
set -e
getcert add-scep-ca -s -c bramley -u "$1" -N "$2"
getcert request -s -c bramley -I device -k "$PWD/key.pem" -f "$PWD/cert.pem" -N CN=router -L "$3" -w -v
touch enrolled
while [ ! -e rolled-over ]; do sleep 0.1; done
getcert resubmit -s -i device -w -v
cp cert.pem before-rekey.pem
cp key.pem before-rekey.key
getcert refresh-ca -s -c bramley -v
while [ ! -e refreshed ]; do sleep 0.1; done
getcert rekey -s -i device -w -v
"""


async def test_certmonger(server: Server, relay: Relay, tmp_path: Path) -> None:
    require("certmonger", "getcert", "dbus-run-session")
    challenge = await server.challenge()
    former = server.issuing
    (tmp_path / "runtime").mkdir(mode=0o700)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    arguments = ("getcert", relay.url, str(server.root), challenge.secret)

    async def meanwhile() -> Server:
        await until((tmp_path / "enrolled").exists)
        await server.prepare_rollover()
        now = await server.roll_over()
        (tmp_path / "rolled-over").touch()
        # it does not say when it has asked, so this waits for what it writes down
        line = now.ca.read_text().splitlines()[1]
        await until(lambda: any(line in text for text in written_down(tmp_path / ".config/certmonger/cas")))
        (tmp_path / "refreshed").touch()
        return now

    asking = run("dbus-run-session", "--", "sh", "-c", CERTMONGER, *arguments, folder=tmp_path, environment=environment)
    async with asyncio.TaskGroup() as both:
        client, administrator = both.create_task(asking), both.create_task(meanwhile())

    client.result().succeeded()
    now = administrator.result()
    _enrolled, resubmitted, rekeyed = relay.sent
    for how, sent, name in (
        ("`getcert resubmit`", resubmitted, "before-rekey"),
        ("`getcert refresh-ca`, then `getcert rekey`", rekeyed, "cert"),
    ):
        assert outcome("certmonger", how, sent, former, now.issuing) == "issued"
        key = tmp_path / ("key.pem" if name == "cert" else f"{name}.key")
        version = await now.judge(tmp_path / f"{name}.pem", key, challenge)
        assert await now.purpose(version) is Purpose.RENEW


def written_down(folder: Path) -> Iterator[str]:
    """What is in a folder in which files come and go."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            yield file.read_text()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.05)
