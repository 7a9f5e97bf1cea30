"""certmonger as the client: the daemon on a message bus of its own, and `getcert`."""

from __future__ import annotations

from pathlib import Path

from bramley.model.enrollments import Purpose
from tests.interop.kit import Ended, Relay, Server, require, run
from tests.interop.page import Row, table

REQUEST, RESUBMIT, REKEY = table("certmonger")

# The bus starts the daemon when it is first asked for, and ends it when it ends itself.
SCRIPT = """
set -e
getcert add-scep-ca -s -c bramley -u "$1" -N "$2"
getcert request -s -c bramley -I device -k "$PWD/key.pem" -f "$PWD/cert.pem" -N CN=router -L "$3" -w -v
shift 3
for verb in "$@"; do
    cp cert.pem "before-$verb.pem"
    cp key.pem "before-$verb.key"
    getcert "$verb" -s -i device -w -v
done
"""


async def getcert(server: Server, relay: Relay, folder: Path, challenge: str, *verbs: str) -> Ended:
    """Asks for a certificate, then does what the verbs say to it."""
    (folder / "runtime").mkdir(mode=0o700)
    environment = {"XDG_RUNTIME_DIR": str(folder / "runtime"), "XDG_CONFIG_HOME": str(folder / "config")}
    arguments = ("getcert", relay.url, str(server.root), challenge, *verbs)
    return await run("dbus-run-session", "--", "sh", "-c", SCRIPT, *arguments, folder=folder, environment=environment)


async def test_enrolls_and_renews_with_the_same_key_and_with_a_new_one(server: Server, relay: Relay, tmp_path: Path) -> None:
    require("certmonger", "getcert", "dbus-run-session")
    challenge = await server.challenge()

    (await getcert(server, relay, tmp_path, challenge.secret, "resubmit", "rekey")).succeeded()

    first = await server.judge(tmp_path / "before-resubmit.pem", tmp_path / "before-resubmit.key", challenge)
    same_key = await server.judge(tmp_path / "before-rekey.pem", tmp_path / "before-rekey.key", challenge)
    new_key = await server.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    assert await server.spent_on(challenge) == first
    assert [await server.purpose(version) for version in (first, same_key, new_key)] == [
        Purpose.ENROLL,
        Purpose.RENEW,
        Purpose.RENEW,
    ]
    assert first.spki_sha256 == same_key.spki_sha256 != new_key.spki_sha256
    for row, sent in zip((REQUEST, RESUBMIT, REKEY), relay.sent, strict=True):
        row.expect(sent)
        assert row.outcome == "issued"
    # By GET, though POST is offered: what `limits.request_line_bytes` has to leave room for.
    assert (
        3_000
        < max(sent.request_line for sent in relay.sent)
        < server.service.live.installation.settings.limits.request_line_bytes / 1.5
    )


async def test_a_wrong_challenge_is_refused(server: Server, relay: Relay, tmp_path: Path) -> None:
    require("certmonger", "getcert", "dbus-run-session")

    ended = await getcert(server, relay, tmp_path, "guessed")

    assert ended.status != 0
    assert "CA_REJECTED" in ended.output.decode() + ended.said
    assert await server.refusals() == ["challenge-unknown"]
    assert not (tmp_path / "cert.pem").exists()


def test_the_page_names_what_is_run() -> None:
    def verb(row: Row) -> str:
        return row.options[1]

    assert [verb(row) for row in (REQUEST, RESUBMIT, REKEY)] == ["request", "resubmit", "rekey"]
