"""What can be set: one frozen tree. Each setting carries its one-line explanation and what values it may have.

The reference page and `bramley settings` are generated from these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, get_type_hints


def _field(
    default: Any,
    explanation: str,
    *,
    within: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    above: float = -inf,
    secret: bool = False,
) -> Any:
    """A setting. Its value is `within` both ends, greater than `above`, and one of the choices if there are any.

    One that is `secret` may hold a password, and is left out of the repr.
    """
    checks = {"within": within, "choices": choices, "above": above}
    return field(default=default, repr=not secret, metadata={"explanation": explanation, **checks})


def default_data_folder() -> Path:
    """`$XDG_DATA_HOME/bramley`, by default `~/.local/share/bramley`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "bramley"


@dataclass(frozen=True, slots=True)
class Listen:
    """The main listener."""

    host: str = _field("0.0.0.0", "address to listen on")  # noqa: S104 - a server for a fleet listens to the fleet
    port: int = _field(8443, "TCP port; 0 takes a free one", within=(0, 65535))
    tls: bool = _field(True, "speak TLS; false only on a loopback address or with proxy.addresses")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Proxies in front that end TLS."""

    addresses: tuple[str, ...] = _field((), "addresses and networks of the proxies in front, whose word is believed")
    client_certificate: str = _field(
        "", "header in which they pass on a device's TLS certificate, as in RFC 9440 or as escaped PEM; empty: in none"
    )
    forwarded: str = _field(
        "X-Forwarded-For",
        "header in which they tell who called them: X-Forwarded-For or Forwarded",
        choices=("X-Forwarded-For", "Forwarded"),
    )


@dataclass(frozen=True, slots=True)
class DeviceListen:
    """The listener for identification by TLS client certificate."""

    host: str = _field("0.0.0.0", "address of the listener that asks devices for a TLS client certificate")  # noqa: S104
    port: int = _field(-1, "its TCP port; -1 switches it off, 0 takes a free one", within=(-1, 65535))


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, counts and times of what comes in."""

    checkin_bytes: int = _field(256 * 1024, "largest check-in body", above=0)
    connect_bytes: int = _field(16 * 1024 * 1024, "largest command result body", above=0)
    scep_bytes: int = _field(64 * 1024, "largest SCEP message", above=0)
    ocsp_bytes: int = _field(16 * 1024, "largest OCSP request", above=0)
    api_bytes: int = _field(32 * 1024 * 1024, "largest body of an API call", above=0)
    header_bytes: int = _field(16 * 1024, "largest request header, all lines together", above=0)
    request_line_bytes: int = _field(8 * 1024, "longest request line", above=0)
    header_seconds: float = _field(10.0, "time for a request header to arrive whole", above=0)
    body_seconds: float = _field(60.0, "time for a request body to arrive whole", above=0)
    plist_depth: int = _field(64, "deepest nesting of a property list", above=0)
    shutdown_seconds: float = _field(10.0, "time for running requests to end at shutdown", above=0)
    connections: int = _field(10_000, "open connections in all; beyond it new ones wait", above=0)
    connections_per_address: int = _field(5_000, "open connections from one address; beyond it new ones are closed", above=0)
    failures: int = _field(
        200, "failures at once that one address may make, at each of SCEP, links and sign-in, before 429", above=0
    )
    failures_per_minute: int = _field(60, "how many of them are forgotten in a minute", above=0)
    fetches_per_link: int = _field(5_000, "how often one enrollment link may be opened in an hour", above=0)
    identities_per_enrollment: int = _field(20, "how often one enrollment may renew its identity in an hour", above=0)


@dataclass(frozen=True, slots=True)
class Push:
    """Apple Push Notification service."""

    host: str = _field("api.push.apple.com", "the APNs server")
    port: int = _field(443, "its port: 443, or 2197 where 443 is filtered", within=(1, 65535))
    ca_file: str = _field("", "PEM file of roots to trust instead of the public ones; for stand-ins")
    proxy: str = _field("", "outbound HTTP proxy for pushes, such as http://proxy.example:3128")
    expiration_days: int = _field(7, "how long APNs keeps a push for a sleeping device (1 to 30)", within=(1, 30))
    wakes_per_second: float = _field(
        50.0, "devices woken in a second when many are, since each one calls back; 0: as fast as APNs takes them", within=(0, 1e6)
    )


@dataclass(frozen=True, slots=True)
class Apple:
    """Apple's certificates, and what is fetched from Apple but for pushes."""

    roots_file: str = _field("", "PEM file of root certificates to take for Apple's instead of the pinned ones; for stand-ins")
    intermediates_url: str = _field(
        "https://www.apple.com/certificateauthority/", "where Apple's intermediate certificates are fetched from"
    )
    root_url: str = _field(
        "https://www.apple.com/appleca/AppleIncRootCertificate.cer", "where Apple's root certificate is fetched from"
    )
    proxy: str = _field(
        "",
        "outbound HTTP proxy for Apple's web servers, mdmcert.download and timestamp authorities, such as http://proxy.example:3128",
    )


@dataclass(frozen=True, slots=True)
class Mdmcert:
    """mdmcert.download, one of the ways to a push certificate."""

    url: str = _field("https://mdmcert.download/api/v1/signrequest", "where requests are sent to be signed")
    client_key: str = _field(
        "", "the key that the service gave to your product or organization; there is none by default", secret=True
    )
    ca_file: str = _field("", "PEM file of roots to trust for it instead of the public ones; for stand-ins")


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What the enrollment profile makes devices trust."""

    anchors: str = _field(
        "root",
        "CA certificates in it: root, this installation's own; none, where a proxy in front shows a publicly trusted certificate",
        choices=("root", "none"),
    )
    pin: bool = _field(False, "have devices take no server certificate but those of this installation's HTTPS CA for MDM")


@dataclass(frozen=True, slots=True)
class Profiles:
    """Configuration profiles on their way to devices."""

    cipher: str = _field(
        "aes-128-cbc",
        "what they are encrypted with: aes-128-cbc, as Apple documents for every version; aes-256-cbc, where you have tried it",
        choices=("aes-128-cbc", "aes-256-cbc"),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Device identities."""

    source: str = _field(
        "scep",
        "how devices come by one: scep, they make the key; pkcs12, the server does and sends it in the profile, which is weaker",
        choices=("scep", "pkcs12"),
    )
    lifetime_days: int = _field(365, "life of a device identity", within=(1, 3650))
    renew_at: float = _field(2 / 3, "share of its life after which an identity is renewed", within=(0.1, 0.9))
    jitter: float = _field(0.05, "renewals are spread by up to this share of the life, either way", within=(0, 0.2))
    grace_hours: int = _field(72, "how long the old identity is accepted after the new one was first used", within=(0, 24 * 365))
    clock_skew_minutes: int = _field(5, "how far a clock may be off when an identity's dates are checked", within=(0, 24 * 60))
    expired: str = _field(
        "renew-only",
        "what an expired identity is still good for: renew-only, to fetch its renewal and nothing else; refuse, nothing",
        choices=("renew-only", "refuse"),
    )
    expired_days: int = _field(400, "for how many days after its end, with renew-only", within=(1, 3650))

    @property
    def after_end(self) -> timedelta | None:
        """How long after its end an identity may still fetch its renewal; None: not at all."""
        return timedelta(days=self.expired_days) if self.expired == "renew-only" else None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What others are told of revoked certificates."""

    crl_hours: int = _field(24, "life of a CRL; the next is published when half of it has passed", within=(4, 24 * 365))
    ocsp_minutes: int = _field(10, "how long an OCSP answer may be kept", within=(1, 7 * 24 * 60))


@dataclass(frozen=True, slots=True)
class SCEP:
    """How devices get identities."""

    challenge_hours: int = _field(24, "life of the one-time challenge in an enrollment profile", within=(1, 24 * 365))
    renewal_challenge_days: int = _field(14, "life of the one-time challenge in a renewal", within=(1, 365))
    legacy_algorithms: bool = _field(
        False, "for clients older than RFC 8894: accept single DES, and a POST that repeats its message in the query"
    )
    mode: str = _field(
        "ca",
        "who answers SCEP: ca, the identity CA itself; ra, a certificate of its own, as always where that CA's key is EC",
        choices=("ca", "ra"),
    )
    approval: str = _field(
        "none", "manual: a first identity waits until a person approves the request", choices=("none", "manual")
    )
    approval_days: int = _field(7, "how long a request waits for a person before it is denied", within=(1, 30))
    static_challenge: str = _field(
        "", "a challenge that anyone may use any number of times; empty: there is none, which is safer", secret=True
    )
    webhook_url: str = _field("", "https:// URL that is asked whether a first request with an unknown challenge is let in")
    webhook_secret: str = _field("", "the key under which questions to it are signed", secret=True)
    webhook_ca_file: str = _field("", "PEM file of roots to trust for it instead of the public ones")
    outside_url: str = _field("", "SCEP URL of an outside CA that issues the identities of devices; empty: our own does")
    outside_by: str = _field(
        "proxy",
        "how they get there: proxy, by way of this server, which asks in their place; device, by themselves",
        choices=("proxy", "device"),
    )
    outside_ca: str = _field("", "SHA-256 of that CA's certificate, where several outside CAs are trusted")
    outside_challenge: str = _field("", "the static challenge that it wants, if it wants one", secret=True)
    outside_legacy: bool = _field(False, "take its answers in SHA-1 and single DES, as micromdm's scepserver gives them")
    outside_ca_file: str = _field("", "PEM file of roots to trust for its HTTPS instead of the public ones")

    @property
    def is_proxied(self) -> bool:
        """Whether this server asks an outside CA in the devices' place."""
        return bool(self.outside_url) and self.outside_by == "proxy"

    @property
    def is_bypassed(self) -> bool:
        """Whether devices ask an outside CA themselves."""
        return bool(self.outside_url) and self.outside_by == "device"


@dataclass(frozen=True, slots=True)
class Log:
    """Logging."""

    level: str = _field("info", "debug, info, warning or error", choices=("debug", "info", "warning", "error"))
    format: str = _field("auto", "text, json, or auto: text on a terminal", choices=("auto", "text", "json"))


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them; `load` makes one."""

    organization: str = _field("Bramley", "the organization's name, in profiles and certificates")
    url: str = _field("", "public base URL of this server; by default https://HOSTNAME:PORT, fixed at the first start")
    data: Path = _field(Path(), "the data folder; by default $XDG_DATA_HOME/bramley or ~/.local/share/bramley")
    database: str = _field("", "postgresql://… for a PostgreSQL server; empty: SQLite in the data folder", secret=True)
    former_paths: tuple[str, ...] = _field(
        (), "further paths where device messages are taken: those of the ServerURL and CheckInURL of a former MDM's devices"
    )
    listen: Listen = field(default_factory=Listen)
    proxy: Proxy = field(default_factory=Proxy)
    device_listener: DeviceListen = field(default_factory=DeviceListen)
    limits: Limits = field(default_factory=Limits)
    push: Push = field(default_factory=Push)
    apple: Apple = field(default_factory=Apple)
    mdmcert: Mdmcert = field(default_factory=Mdmcert)
    enrollment: Enrollment = field(default_factory=Enrollment)
    profiles: Profiles = field(default_factory=Profiles)
    identity: Identity = field(default_factory=Identity)
    revocation: Revocation = field(default_factory=Revocation)
    scep: SCEP = field(default_factory=SCEP)
    log: Log = field(default_factory=Log)


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting as the reference page shows it."""

    name: str
    environment: str
    default: object
    explanation: str


def explain() -> Iterator[Explained]:
    """Every setting, in order."""
    for path, _kind, item in leaves():
        yield Explained(".".join(path), variable(path), item.default, item.metadata["explanation"])


def variable(path: tuple[str, ...]) -> str:
    """The name in the environment of the setting at a path."""
    return "BRAMLEY_" + "_".join(path).upper()


def leaves(section: type = Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type, Field[Any]]]:
    """Path, type and field of every setting, in order."""
    hints = get_type_hints(section)
    for item in fields(section):
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], (*path, item.name))
        else:
            yield (*path, item.name), hints[item.name], item
