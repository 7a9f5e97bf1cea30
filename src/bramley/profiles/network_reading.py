"""Reading templates of network identities: key by key, so that whatever is wrong is refused by the key it stands at."""

from __future__ import annotations

import hashlib
import re
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from cryptography import x509

from bramley.model.networks import RECIPIENT, NetworkUse
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.profiles import variables
from bramley.profiles.network import (
    KEY_SIZES,
    LARGEST,
    LIFETIME_DAYS,
    RENEW_AT,
    SAN_TYPES,
    SUBJECT_TYPES,
    BadTemplate,
    OutsideCA,
    Template,
    with_identity,
)

_DEFAULT_LIFE: Final = 365
_DEFAULT_RENEW_AT: Final = 2 / 3
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MOST_PAYLOADS: Final = 16
_FINGERPRINTS: Final = MappingProxyType({16: "md5", 20: "sha1", 32: "sha256", 64: "sha512"})
_OURS: Final = frozenset({"com.apple.mdm", "com.apple.security.scep", "com.apple.security.acme", "com.apple.security.pkcs12"})


def read(data: bytes) -> Template:
    """The template in a TOML file. Raises BadTemplate, which names the key and what is expected there.

    What the profile as a whole is to fulfil, `network_profile.check` says.
    """
    if len(data) > LARGEST:
        _refuse("", f"expected a template of at most {LARGEST} octets; {len(data)} came.")
    try:
        given = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        _refuse("", "expected a template in UTF-8; it is not.")
    except tomllib.TOMLDecodeError as error:
        _refuse("", f"expected a template in TOML; {error}.")
    except RecursionError:
        _refuse("", "expected a template in TOML; it is nested too deeply.")
    return _Reader(given).template()


class _Reader:
    """Takes a template's keys one by one."""

    def __init__(self, given: Mapping[str, Any], at: str = "") -> None:
        self._given, self._at, self._left = given, at, set(given)

    def template(self) -> Template:
        name = self._take("name", str, "a name")
        if not _NAME.fullmatch(name):
            _refuse("name", f"expected 1 to 63 lower-case letters, digits and hyphens within; {name[:80]!r} came.")
        if name == RECIPIENT:
            _refuse("name", f"expected another name than {RECIPIENT}: that template is this server's own.")
        use = self._take("use", str, "a use")
        if use not in set(NetworkUse):
            _refuse("use", f"expected one of {', '.join(NetworkUse)}; {use[:40]!r} came.")
        outside = self._take("outside", dict, "a table", None)
        template = Template(
            name=name,
            use=NetworkUse(use),
            subject=self._subject(),
            sans=self._sans(),
            key_size=self._one_of("key_size", KEY_SIZES),
            lifetime=self._lifetime(outside is not None),
            renew_at=self._number("renew_at", RENEW_AT, _DEFAULT_RENEW_AT),
            outside=None if outside is None else _Reader(outside, "outside.").outside(),
            payloads=self._payloads(),
        )
        self._end()
        if template.use is NetworkUse.SMIME and "rfc822Name" not in dict(template.sans):
            _refuse("san.rfc822Name", "expected the address that a certificate for S/MIME is for; it is missing.")
        return template

    def outside(self) -> OutsideCA:
        url, challenge = self._take("url", str, "a URL"), self._take("challenge", str, "a text")
        try:
            ca = certificates.load(self._take("ca", str, "a certificate in PEM").encode())
        except BadCertificate as error:
            _refuse(f"{self._at}ca", f"expected the certificate of the CA in PEM: {error.message}")
        name = self._take("name", str, "a text", "")
        fingerprint = self._fingerprint(ca)
        self._end()
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("https", "http") and bool(parts.hostname)
        except ValueError:
            known = False
        if not known or not url.isprintable() or " " in url:
            _refuse(f"{self._at}url", f"expected an https:// or http:// URL; {url[:80]!r} came.")
        if parts.scheme == "http" and not fingerprint:
            _refuse(f"{self._at}ca_fingerprint", "expected the CA's fingerprint with a URL without TLS; it is missing.")
        if not challenge:
            _refuse(f"{self._at}challenge", "expected the CA's challenge; it is empty.")
        return OutsideCA(url, ca, challenge, name, fingerprint)

    def _fingerprint(self, ca: x509.Certificate) -> bytes:
        text = self._take("ca_fingerprint", str, "a text", "").replace(":", "")
        try:
            value = bytes.fromhex(text)
        except ValueError:
            value = b"-"
        der = certificates.der(ca)
        if value and (len(value) not in _FINGERPRINTS or hashlib.new(_FINGERPRINTS[len(value)], der).digest() != value):
            _refuse(f"{self._at}ca_fingerprint", "expected MD5, SHA-1, SHA-256 or SHA-512 of the certificate in ca, in hex.")
        return value

    def _subject(self) -> tuple[tuple[str, str], ...]:
        given = self._take("subject", list, 'a list such as [["CN", "{{ device.serial }}"]]')
        pairs: list[tuple[str, str]] = []
        for at, pair in enumerate(given):
            key = f"subject[{at}]"
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
                _refuse(key, "expected an attribute and its value, both texts; something else came.")
            kind, value = pair
            if kind not in SUBJECT_TYPES:
                _refuse(key, f"expected one of {', '.join(SUBJECT_TYPES)}; {kind[:40]!r} came.")
            pairs.append((kind, _text(key, value)))
        if not 1 <= len(pairs) <= 16:
            _refuse("subject", f"expected 1 to 16 attributes; {len(pairs)} came.")
        return tuple(pairs)

    def _sans(self) -> tuple[tuple[str, str], ...]:
        reader = _Reader(self._take("san", dict, "a table", {}), "san.")
        found = [(kind, reader._take(kind, str, "a text", None)) for kind in SAN_TYPES]
        reader._end()
        return tuple((kind, _text(f"san.{kind}", value)) for kind, value in found if value is not None)

    def _lifetime(self, outside: bool) -> timedelta | None:
        if outside and "lifetime_days" in self._given:
            _refuse("lifetime_days", "expected none with an outside CA, which decides how long a certificate lasts.")
        days = self._number("lifetime_days", LIFETIME_DAYS, _DEFAULT_LIFE)
        return None if outside else timedelta(days=days)

    def _payloads(self) -> tuple[Mapping[str, Any], ...]:
        given = self._take("payloads", list, "a list of tables", [])
        if len(given) > _MOST_PAYLOADS:
            _refuse("payloads", f"expected at most {_MOST_PAYLOADS}; {len(given)} came.")
        found = []
        for at, payload in enumerate(given):
            key = f"payloads[{at}]"
            if not isinstance(payload, dict) or not isinstance(payload.get("PayloadType"), str):
                _refuse(key, "expected a table with a PayloadType; something else came.")
            if payload["PayloadType"] in _OURS:
                _refuse(f"{key}.PayloadType", f"expected no {payload['PayloadType']}: the identity is this server's to bring.")
            found.append(_with_data(payload, key))
        _require_known(found)
        return tuple(found)

    def _one_of(self, key: str, choice: tuple[int, ...]) -> int:
        value = self._take(key, int, "a number", choice[0])
        if value not in choice:
            _refuse(self._at + key, f"expected one of {', '.join(map(str, choice))}; {value} came.")
        return int(value)

    def _number(self, key: str, within: tuple[float, float], default: float) -> float:
        value = self._take(key, (int, float), "a number", default)
        least, most = within
        if not least <= value <= most:  # nor is a NaN
            _refuse(self._at + key, f"expected a number from {least} to {most}; {value} came.")
        return float(value)

    def _take(self, key: str, kind: type | tuple[type, ...], words: str, *default: Any) -> Any:
        self._left.discard(key)
        if key not in self._given and default:
            return default[0]
        value = self._given.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            _refuse(self._at + key, f"expected {words}; {'nothing' if value is None else 'something else'} came.")
        return value

    def _end(self) -> None:
        for key in sorted(self._left):
            _refuse(self._at + key[:80], "expected a key of a template; this one is not known.")


def _text(key: str, value: str) -> str:
    """A text of a name, with its variables checked."""
    if not value or not value.isprintable():
        _refuse(key, "expected a text that can be printed; an empty one, or one with control characters, came.")
    _require_known(value, key)
    return value


def _require_known(content: Any, key: str = "payloads") -> None:
    """No variable that cannot have a value: a certificate is the device's, and no user's."""
    shown = with_identity(content, "")
    for wrong in variables.unknown(shown):
        _refuse(f"{key}.{wrong.path}".rstrip(".") if key != "payloads" else f"payloads{wrong.path}", wrong.message)
    for name in sorted(variables.names_in(shown)):
        if name.startswith("user."):
            _refuse(key, f"expected a variable of the device; {{{{ {name} }}}} is one of a user.")


def _with_data(content: Any, key: str) -> Any:
    """With octets in the place of each table that holds nothing but `base64`: TOML has no type for them."""
    if isinstance(content, dict):
        if set(content) == {"base64"}:
            return _decoded(content["base64"], key)
        return {name: _with_data(value, f"{key}.{name}") for name, value in content.items()}
    if isinstance(content, list):
        return [_with_data(value, f"{key}[{at}]") for at, value in enumerate(content)]
    return content


def _decoded(text: Any, key: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (ValueError, AttributeError):
        _refuse(f"{key}.base64", "expected octets in base64; something else came.")


def _refuse(key: str, message: str) -> NoReturn:
    raise BadTemplate(
        message if key else message[0].upper() + message[1:],
        key=key,
        advice="docs/how-to/network-identities.md has a template to begin with.",
    )
