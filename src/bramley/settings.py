"""Everything that can be set: one frozen tree, from a TOML file and the environment.

`limits.scep_bytes` in the file is `BRAMLEY_LIMITS_SCEP_BYTES` in the environment, which wins. Each field carries its one-line
explanation; the reference page and `bramley settings` are generated from these.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

from bramley.errors import BadInput


def _field(default: Any, explanation: str) -> Any:
    return field(default=default, metadata={"explanation": explanation})


def _section(kind: type, explanation: str) -> Any:
    return field(default_factory=kind, metadata={"explanation": explanation})


def default_data_folder() -> Path:
    """`$XDG_DATA_HOME/bramley`, by default `~/.local/share/bramley`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "bramley"


@dataclass(frozen=True, slots=True)
class Listen:
    host: str = _field("0.0.0.0", "address to listen on")  # noqa: S104 - a server for a fleet listens to the fleet
    port: int = _field(8443, "TCP port; 0 takes a free one")
    tls: bool = _field(True, "speak TLS; false only on a loopback address or with proxy.addresses")


@dataclass(frozen=True, slots=True)
class Proxy:
    addresses: tuple[str, ...] = _field((), "addresses and networks of the proxies in front, whose word is believed")
    client_certificate: str = _field(
        "", "header in which they pass on a device's TLS certificate, as in RFC 9440 or as escaped PEM; empty: in none"
    )
    forwarded: str = _field("X-Forwarded-For", "header in which they tell who called them: X-Forwarded-For or Forwarded")


@dataclass(frozen=True, slots=True)
class DeviceListen:
    host: str = _field("0.0.0.0", "address of the listener that asks devices for a TLS client certificate")  # noqa: S104
    port: int = _field(-1, "its TCP port; -1 switches it off, 0 takes a free one")


@dataclass(frozen=True, slots=True)
class Limits:
    checkin_bytes: int = _field(256 * 1024, "largest check-in body")
    connect_bytes: int = _field(16 * 1024 * 1024, "largest command result body")
    scep_bytes: int = _field(64 * 1024, "largest SCEP message")
    api_bytes: int = _field(32 * 1024 * 1024, "largest body of an API call")
    header_bytes: int = _field(16 * 1024, "largest request header, all lines together")
    request_line_bytes: int = _field(8 * 1024, "longest request line")
    header_seconds: float = _field(10.0, "time for a request header to arrive whole")
    body_seconds: float = _field(60.0, "time for a request body to arrive whole")
    plist_depth: int = _field(64, "deepest nesting of a property list")
    shutdown_seconds: float = _field(10.0, "time for running requests to end at shutdown")
    connections: int = _field(10_000, "open connections in all; beyond it new ones wait")
    connections_per_address: int = _field(5_000, "open connections from one address; beyond it new ones are closed")
    failures: int = _field(200, "failures at once that one address may make, at each of SCEP, links and sign-in, before 429")
    failures_per_minute: int = _field(60, "how many of them are forgotten in a minute")
    fetches_per_link: int = _field(5_000, "how often one enrollment link may be opened in an hour")
    identities_per_enrollment: int = _field(20, "how often one enrollment may renew its identity in an hour")


@dataclass(frozen=True, slots=True)
class Push:
    host: str = _field("api.push.apple.com", "the APNs server")
    port: int = _field(443, "its port: 443, or 2197 where 443 is filtered")
    ca_file: str = _field("", "PEM file of roots to trust instead of the public ones; for stand-ins")
    proxy: str = _field("", "outbound HTTP proxy for pushes, such as http://proxy.example:3128")
    expiration_days: int = _field(7, "how long APNs keeps a push for a sleeping device (1 to 30)")


@dataclass(frozen=True, slots=True)
class Identity:
    lifetime_days: int = _field(365, "life of a device identity")
    renew_at: float = _field(2 / 3, "share of its life after which an identity is renewed")
    jitter: float = _field(0.05, "renewals are spread by up to this share of the life, either way")
    grace_hours: int = _field(72, "how long the old identity is accepted after the new one was first used")
    clock_skew_minutes: int = _field(5, "how far a clock may be off when an identity's dates are checked")


@dataclass(frozen=True, slots=True)
class SCEP:
    challenge_hours: int = _field(24, "life of the one-time challenge in an enrollment profile")
    renewal_challenge_days: int = _field(14, "life of the one-time challenge in a renewal")
    legacy_algorithms: bool = _field(
        False, "for clients older than RFC 8894: accept single DES, and a POST that repeats its message in the query"
    )


@dataclass(frozen=True, slots=True)
class Log:
    level: str = _field("info", "debug, info, warning or error")
    format: str = _field("auto", "text, json, or auto: text on a terminal")


@dataclass(frozen=True, slots=True)
class Settings:
    organization: str = _field("Bramley", "the organization's name, in profiles and certificates")
    url: str = _field("", "public base URL of this server; by default https://HOSTNAME:PORT, fixed at the first start")
    data: Path = _field(Path(), "the data folder; by default $XDG_DATA_HOME/bramley or ~/.local/share/bramley")
    # not in the repr, since it may hold a password
    database: str = field(
        default="",
        repr=False,
        metadata={"explanation": "postgresql://… for a PostgreSQL server; empty: SQLite in the data folder"},
    )
    listen: Listen = _section(Listen, "the main listener")
    proxy: Proxy = _section(Proxy, "proxies in front that end TLS")
    device_listener: DeviceListen = _section(DeviceListen, "the listener for identification by TLS client certificate")
    limits: Limits = _section(Limits, "sizes and times")
    push: Push = _section(Push, "Apple Push Notification service")
    identity: Identity = _section(Identity, "device identities")
    scep: SCEP = _section(SCEP, "how devices get identities")
    log: Log = _section(Log, "logging")


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting as the reference page shows it."""

    name: str
    environment: str
    default: object
    explanation: str


def explain() -> Iterator[Explained]:
    """Every setting, in order."""
    for path, kind, explanation, default in _leaves(Settings):
        del kind
        yield Explained(".".join(path), _variable(path), default, explanation)


def load(file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from a TOML file, then `BRAMLEY_…` variables, then top-level overrides. BadInput names what is wrong."""
    environment = os.environ if environment is None else environment
    tree = _read(file) if file else {}
    for path, kind, _explanation, _default in _leaves(Settings):
        text = environment.get(_variable(path))
        if text is not None:
            _set(tree, path, _from_text(text, kind, _variable(path)))
    _refuse_unknown(environment)
    for name, value in overrides.items():
        if value is not None:
            section = tree.get(name)
            # a part of a section leaves the rest of it as it was
            tree[name] = {**section, **value} if isinstance(section, dict) and isinstance(value, Mapping) else value
    tree.setdefault("data", default_data_folder())
    settings: Settings = _build(Settings, tree, ())
    _check(settings)
    return settings


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise BadInput(f"{part} is a section: expected a table, found {type(tree).__name__}.")
    tree[path[-1]] = value


OTHER_VARIABLES = frozenset({"BRAMLEY_CONFIG", "BRAMLEY_SEALING_KEY", "BRAMLEY_TESTS_MAY_NOT_SKIP", "BRAMLEY_VECTORS"})
"""Variables of ours that are not settings: the file itself, secrets that belong in no file, and the tests' recordings."""


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be a setting silently not set."""
    known = {_variable(path) for path, *_ in _leaves(Settings)} | OTHER_VARIABLES
    for name in environment:
        if name.startswith("BRAMLEY_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise BadInput(f"{name} in the environment names no setting.", advice=f"Did you mean {near[0]}?" if near else "")


def _variable(path: tuple[str, ...]) -> str:
    return "BRAMLEY_" + "_".join(path).upper()


def _leaves(kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type, str, object]]:
    hints = get_type_hints(kind)
    for item in fields(kind):
        if is_dataclass(hints[item.name]):
            yield from _leaves(hints[item.name], (*path, item.name))
        else:
            yield (*path, item.name), hints[item.name], item.metadata["explanation"], item.default


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise BadInput(f"The settings file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"The settings file {file} is not TOML: {error}.") from None


def _build(kind: type, tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    hints = get_type_hints(kind)
    for name in tree:
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            advice = f"Did you mean {'.'.join((*path, near[0]))}?" if near else ""
            raise BadInput(f"There is no setting {'.'.join((*path, name))}.", advice=advice)
    values: dict[str, Any] = {}
    for name, value in tree.items():
        full = ".".join((*path, name))
        hint = hints[name]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise BadInput(f"{full} is a section: expected a table, found {type(value).__name__}.")
            values[name] = _build(hint, value, (*path, name))  # type: ignore[arg-type]  # a dataclass type
        else:
            values[name] = _converted(value, hint, full)
    return kind(**values)


def _converted(value: Any, hint: type, name: str) -> Any:
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise BadInput(f"{name} must be a list of texts; found {value!r}.")
    if hint is Path and isinstance(value, str | Path):
        if not str(value):
            raise BadInput(f"{name} must not be empty.")
        return Path(value).expanduser()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise BadInput(f"{name} must be of type {hint.__name__}; found {value!r}.")


def _from_text(text: str, kind: type, name: str) -> Any:
    if kind is bool:
        if text.lower() in {"true", "yes", "1", "on"}:
            return True
        if text.lower() in {"false", "no", "0", "off"}:
            return False
        raise BadInput(f"{name} must be true or false; found {text!r}.")
    if kind is Path and not text:
        raise BadInput(f"{name} must not be empty.", advice="Remove it to have the default.")
    if get_origin(kind) is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"{name} must be of type {kind.__name__}; found {text!r}.") from None


_RANGES = {
    "push.port": (1, 65535),
    "push.expiration_days": (1, 30),
    "listen.port": (0, 65535),
    "device_listener.port": (-1, 65535),
    "identity.lifetime_days": (1, 3650),
    "identity.renew_at": (0.1, 0.9),
    "identity.jitter": (0, 0.2),
    "identity.grace_hours": (0, 24 * 365),
    "identity.clock_skew_minutes": (0, 24 * 60),
    "scep.challenge_hours": (1, 24 * 365),
    "scep.renewal_challenge_days": (1, 365),
}
_CHOICES = {
    "proxy.forwarded": ("X-Forwarded-For", "Forwarded"),
    "log.level": ("debug", "info", "warning", "error"),
    "log.format": ("auto", "text", "json"),
}


def _check(settings: Settings) -> None:
    if settings.url:
        _check_url(settings.url)
    if settings.database:
        _check_database(settings.database)
    for name, (lowest, highest) in _RANGES.items():
        value = _value(settings, name)
        if not lowest <= value <= highest:
            raise BadInput(f"{name} must be {lowest} to {highest}; found {value}.")
    for name, choices in _CHOICES.items():
        if _value(settings, name) not in choices:
            raise BadInput(f"{name} must be one of {', '.join(choices)}; found {_value(settings, name)!r}.")
    for item in fields(settings.limits):
        value = getattr(settings.limits, item.name)
        if not 0 < value < float("inf"):
            raise BadInput(f"limits.{item.name} must be more than 0; found {value}.")
    _check_proxy(settings)


_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADERS_WITH_A_MEANING = frozenset({"mdm-signature", "authorization", "content-type", "content-length", "host", "connection"})


def _check_proxy(settings: Settings) -> None:
    proxy, listen = settings.proxy, settings.listen
    for text in proxy.addresses:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise BadInput(
                f"proxy.addresses must hold addresses and networks, such as 192.0.2.7 or 192.0.2.0/28; found {text!r}."
            ) from None
        if network.prefixlen == 0:
            raise BadInput(
                f"proxy.addresses must not hold {text}: then anybody could claim to be any device.",
                advice="Name the addresses from which the proxies connect.",
            )
    name = proxy.client_certificate
    if name and (not _HEADER_NAME.fullmatch(name) or name.lower() in _HEADERS_WITH_A_MEANING | {"x-forwarded-for", "forwarded"}):
        raise BadInput(f"proxy.client_certificate must name a header of its own, such as Client-Cert; found {name!r}.")
    if name and not proxy.addresses:
        raise BadInput("proxy.client_certificate is set, and proxy.addresses names no proxy that could send it.")
    if not listen.tls and not proxy.addresses and not _is_loopback(listen.host):
        raise BadInput(
            f"listen.tls is false, and {listen.host} can be reached from elsewhere: tokens and commands would pass in clear.",
            advice="Listen on 127.0.0.1, or name the proxies in front in proxy.addresses.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment or any(c.isspace() for c in url):
        raise BadInput(f"url must be https://HOST or https://HOST:PORT (Apple's devices accept nothing else); found {url!r}.")


def _check_database(url: str) -> None:
    """Whether the parts can be told apart: a password that is not percent-encoded would end up in a host or a database name.

    The URL is never repeated, since it may hold that password.
    """
    try:
        parts = urlsplit(url)
        name = unquote(parts.path.removeprefix("/"))
        usable = parts.scheme in {"postgresql", "postgres"} and parts.port != 0 and url.count("@") <= 1 and not parts.fragment
    except ValueError:
        usable = False
    if not usable or not name or "/" in name or any(character.isspace() for character in url):
        raise BadInput(
            "database must be postgresql://USER:PASSWORD@HOST:PORT/NAME, or empty.",
            advice="Percent-encode the characters @ : / # ? and % in its parts.",
        )


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
