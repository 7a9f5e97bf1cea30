"""What no setting can say for itself: URLs of a certain form, and settings that must fit each other."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from bramley.errors import BadInput
from bramley.settings.tree import Settings


def check_together(settings: Settings) -> None:
    """BadInput names what does not fit, and never repeats what may hold a password."""
    if settings.url:
        _check_url(settings.url)
    if settings.database:
        _check_database(settings.database)
    _check_proxy(settings)
    _check_webhook(settings)
    _check_approval(settings)
    _check_outside(settings)
    _check_trust(settings)


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


def _check_webhook(settings: Settings) -> None:
    scep = settings.scep
    if bool(scep.webhook_url) != bool(scep.webhook_secret):
        raise BadInput("scep.webhook_url and scep.webhook_secret belong together; one of them is missing.")
    if scep.webhook_url and not _is_https(scep.webhook_url):
        raise BadInput("scep.webhook_url must be https://HOST/…, without a user or a password in it.")
    for name, secret in (("scep.webhook_secret", scep.webhook_secret), ("scep.static_challenge", scep.static_challenge)):
        if secret and len(secret) < _LEAST_SECRET:
            raise BadInput(
                f"{name} must have at least {_LEAST_SECRET} characters.", advice="`openssl rand -hex 16` makes a good one."
            )


def _check_approval(settings: Settings) -> None:
    if settings.identity.source == "pkcs12" and settings.scep.approval == "manual":
        raise BadInput(
            "identity.source is pkcs12, and scep.approval is manual: no person would be asked before a key is handed out.",
            advice="Set identity.source to scep, or scep.approval to none.",
        )


def _check_outside(settings: Settings) -> None:
    scep = settings.scep
    if not scep.outside_url:
        return
    if not _is_https(scep.outside_url) and not _is_http(scep.outside_url):
        raise BadInput("scep.outside_url must be https://HOST/… or http://HOST/…, without a user or a password in it.")
    if scep.outside_by == "device" and not _is_https(scep.outside_url):
        raise BadInput("scep.outside_url must be https where devices go there themselves: the challenge would travel in clear.")
    if settings.identity.source == "pkcs12" or scep.approval == "manual":
        raise BadInput(
            "scep.outside_url goes neither with identity.source = pkcs12 nor with scep.approval = manual.",
            advice="An outside CA decides by itself what it issues.",
        )


def _check_trust(settings: Settings) -> None:
    if settings.enrollment.pin and (settings.proxy.addresses or not settings.listen.tls):
        raise BadInput(
            "enrollment.pin is set, and a proxy in front shows devices another certificate than this server's.",
            advice="Pinned to a certificate that they never see, devices could not connect. Unset it.",
        )
    if settings.enrollment.anchors == "none" and settings.enrollment.pin:
        raise BadInput("enrollment.pin goes with enrollment.anchors = root: what is pinned has to be trusted.")


def _is_http(url: str) -> bool:
    return url.startswith("http://") and _is_https(f"https://{url.removeprefix('http://')}")


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        return False


_LEAST_SECRET = 16
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
