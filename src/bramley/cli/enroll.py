"""`bramley enroll`: bringing devices in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from bramley.cli.arguments import duration
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import certificates, enrolling
from bramley.operations.enrolling import CreatedLink
from bramley.operations.installation import Installation
from bramley.storage.protocols import CertificateRow

app = noun("Bring devices in.")

_ACTIVE = (VersionState.ACTIVE,)


@app.command("link", cls=Verb)
def link(
    ctx: typer.Context,
    label: Annotated[str, typer.Option(help="What it is for; shown in events.")] = "",
    uses: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many devices may use it.")] = 1,
    expires: Annotated[timedelta, typer.Option(parser=duration, metavar="TIME", help="How long: 12h, 7d, 2w.")] = "7d",  # type: ignore[assignment]  # parsed
    udid: Annotated[
        str | None, typer.Option(help="Only for this device, even where it is enrolled already and starts afresh.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="The push topic to enroll under, where there are several; else the one that lasts longest.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Make an enrollment link, and say how to use it. Its URL is shown this once: only a hash of it is kept."""
    session = Session(ctx)

    async def create(installation: Installation) -> tuple[CreatedLink, Sequence[CertificateRow], Sequence[CertificateRow], str]:
        made = await enrolling.create_link(
            installation, label=label, uses=uses, expires_in=expires, udid=udid, topic=topic, actor=ACTOR
        )
        pushes = await certificates.listing(installation, kind=Kind.PUSH, states=_ACTIVE, limit=1)
        roots = await certificates.listing(installation, kind=Kind.ROOT_CA, states=_ACTIVE, limit=1)
        return made, pushes, roots, installation.url

    made, pushes, roots, url = session.run(create, dry_run=dry_run)
    output, root_url, fingerprint = session.output, f"{url}/pki/root.cer", roots[0].version.sha256 or ""
    if dry_run:
        output.remark("The link could be made; nothing was changed.")
        return
    if output.as_json:
        output.json(
            {
                "id": made.link.id,
                "url": made.url,
                "label": label,
                "uses": uses,
                "udid": udid,
                "topic": topic,
                "expires_at": made.link.expires_at,
                "root_ca_url": root_url,
                "root_ca_sha256": fingerprint,
                "push_certificate": bool(pushes),
            }
        )
        return
    output.line(made.url)
    output.remark(f"For {uses} device(s), until {made.link.expires_at:%Y-%m-%d %H:%M} UTC. How to use it:")
    for line in _how_to(root_url, fingerprint):
        output.remark(line)
    if not pushes:
        output.remark("It works only once there is a push certificate: `bramley push start`.")


def _how_to(root_url: str, fingerprint: str) -> Sequence[str]:
    """A root that comes in a manually installed profile is not trusted for TLS on iOS until a person says so."""
    pairs = ":".join(fingerprint[i : i + 2] for i in range(0, len(fingerprint), 2)).upper()
    return (
        "  1. Trust this server's root CA. Unless its HTTPS certificate is from a public CA, first open",
        f"     {root_url}",
        f"     on the device, install it, and compare its SHA-256: {pairs}",
        "  2. iPhone, iPad: Settings > General > About > Certificate Trust Settings: switch full trust on for it.",
        "     Mac: in Keychain Access, set the certificate to Always Trust.",
        "  3. Open the link in Safari and install the profile: iPhone, iPad in Settings > General > VPN & Device Management;",
        "     Mac in System Settings > General > Device Management.",
    )
