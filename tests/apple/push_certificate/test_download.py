"""Fetching CA certificates from a web server that may say anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP
from bramley.apple.push_certificate import BadChain, Places, build_chain, fetch_cas
from bramley.errors import OutsideTrouble
from bramley.pki import certificates
from tests.apple.push_certificate.conftest import KeyOf
from tests.apple.push_certificate.making import DAY, LEAF, MARK, WWDR, AppleLike, authority, certify, name
from tests.apple.site import Site, answer, redirect, site
from tests.conftest import NOW

G3, ROOT = "/ca/AppleWWDRCAG3.cer", "/appleca/root.cer"


@pytest.fixture
async def apples(tmp_path: Path, apple_like: AppleLike) -> AsyncIterator[Site]:
    """Apple's page as it is when all goes well."""
    async with site(tmp_path) as made:
        made.answers[G3] = answer(200, certificates.der(apple_like.g3.certificate))
        made.answers["/ca/AppleWWDRCAG4.cer"] = answer(200, certificates.der(apple_like.g4.certificate))
        made.answers[ROOT] = answer(200, certificates.der(apple_like.root.certificate))
        yield made


def places(at: Site) -> Places:
    return Places(f"{at.url}ca/", f"{at.url}appleca/root.cer")


def http(at: Site) -> HTTP:
    return HTTP(at.ca_pem, seconds=5.0)


def test_apples_places_are_the_default() -> None:
    assert Places() == Places(
        "https://www.apple.com/certificateauthority/", "https://www.apple.com/appleca/AppleIncRootCertificate.cer"
    )


async def test_the_issuers_generation_is_fetched(apples: Site, apple_like: AppleLike, rsa_key: KeyOf) -> None:
    a = apple_like
    by_g4 = certify(name("MDM Vendor: Orchard"), rsa_key("vendor"), a.g4, LEAF, MARK).certificate
    for leaf, issuer in ((a.vendor.certificate, a.g3), (by_g4, a.g4)):
        found = await fetch_cas(leaf, now=NOW, places=places(apples), http=http(apples), roots=a.roots)
        assert found == (issuer.certificate, a.root.certificate)
        assert build_chain(leaf, found, roots=a.roots, now=NOW)[1:] == found
    for request in apples.heard:
        assert b"\r\nAccept: */*\r\n" in request
    assert [request.split(b" ")[1].decode() for request in apples.heard] == [G3, ROOT, "/ca/AppleWWDRCAG4.cer", ROOT]


async def test_without_a_generation_the_plain_name_and_a_younger_root(apples: Site, rsa_key: KeyOf) -> None:
    root = authority(name("Apple Root CA - G2"), rsa_key("root"))
    wwdr = authority(name(WWDR, unit="Worldwide"), rsa_key("g3"), root)
    leaf = certify(name("MDM Vendor: Orchard"), rsa_key("vendor"), wwdr, LEAF, MARK).certificate
    apples.answers["/ca/AppleWWDRCA.cer"] = answer(200, certificates.pem(wwdr.certificate))
    apples.answers["/ca/AppleRootCA-G2.cer"] = answer(200, certificates.der(root.certificate))
    roots = frozenset({certificates.sha256(root.certificate)})
    found = await fetch_cas(leaf, now=NOW, places=places(apples), http=http(apples), roots=roots)
    assert found == (wwdr.certificate, root.certificate)


async def test_redirects_are_followed_as_far_as_three(apples: Site, apple_like: AppleLike) -> None:
    a = apple_like
    apples.answers |= {"/1": redirect("/2"), "/2": redirect(f"{apples.url}3"), "/3": apples.answers[G3], G3: redirect("1")}
    apples.answers |= {"/ca/1": redirect("/2")}
    found = await fetch_cas(a.vendor.certificate, now=NOW, places=places(apples), http=http(apples), roots=a.roots)
    assert found == a.chain[1:]
    apples.answers["/3"] = redirect("/4")
    apples.answers["/4"] = answer(200, certificates.der(a.g3.certificate))
    with pytest.raises(ServiceTrouble, match="more than 3 times"):
        await fetch_cas(a.vendor.certificate, now=NOW, places=places(apples), http=http(apples), roots=a.roots)


WRONG: dict[str, tuple[Callable[[Site, AppleLike], dict[str, bytes]], str]] = {
    "an HTML page with 200": (lambda s, a: {G3: answer(200, b"<!doctype html><html></html>")}, "not a certificate"),
    "500": (lambda s, a: {G3: answer(500, b"<html>Sorry</html>")}, "status 500"),
    "404": (lambda s, a: {G3: answer(404)}, "status 404"),
    "304": (lambda s, a: {G3: answer(304)}, "status 304"),
    "nothing": (lambda s, a: {G3: answer(200)}, "not a certificate"),
    "root missing": (lambda s, a: {ROOT: answer(404)}, "root.cer answered with status 404"),
    "a loop": (lambda s, a: {G3: redirect(G3)}, "more than 3 times"),
    "redirect to http": (lambda s, a: {G3: redirect("http://localhost/ca.cer")}, "starts with http"),
    "redirect to a file": (lambda s, a: {G3: redirect("file:///etc/passwd")}, "starts with file"),
    "redirect to nowhere": (lambda s, a: {G3: redirect("https://localhost:x/")}, "localhost"),
    "redirect without a place": (lambda s, a: {G3: answer(302)}, "status 302"),
    "too large": (lambda s, a: {G3: answer(200, b"0" * (64 * 1024 + 1))}, "more than 65536 octets"),
    "another generation": (lambda s, a: {G3: s.answers["/ca/AppleWWDRCAG4.cer"]}, "do not complete the chain.*OU=G3"),
    "a twin of another key": (lambda s, a: {G3: answer(200, certificates.der(a.twin.certificate))}, "1 of that name came"),
    "two certificates": (
        lambda s, a: {G3: answer(200, b"".join(map(certificates.pem, a.chain[1:])))},
        "2 certificates; one was expected",
    ),
}


@pytest.mark.parametrize("row", WRONG)
async def test_whatever_else_comes_is_one_clear_error(apples: Site, apple_like: AppleLike, row: str) -> None:
    make, said = WRONG[row]
    apples.answers |= make(apples, apple_like)
    with pytest.raises(ServiceTrouble, match=said) as caught:
        await fetch_cas(apple_like.vendor.certificate, now=NOW, places=places(apples), http=http(apples), roots=apple_like.roots)
    assert isinstance(caught.value, OutsideTrouble)


async def test_a_root_that_is_not_pinned_counts_for_nothing(apples: Site, apple_like: AppleLike) -> None:
    with pytest.raises(ServiceTrouble, match="none of the roots that count"):
        await fetch_cas(apple_like.vendor.certificate, now=NOW, places=places(apples), http=http(apples))


async def test_an_expired_leaf_is_refused_before_anything_is_fetched(apples: Site, apple_like: AppleLike) -> None:
    late = apple_like.vendor.certificate.not_valid_after_utc + DAY
    with pytest.raises(BadChain, match="expired"):
        await fetch_cas(apple_like.vendor.certificate, now=late, places=places(apples), http=http(apples))
    assert not apples.heard
