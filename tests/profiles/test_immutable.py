"""What a replacement of an enrollment profile may never change (Apple, "MDM")."""

from __future__ import annotations

import plistlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.errors import BramleyError
from bramley.model.enrollments import EnrollmentKey
from bramley.profiles import immutable, validate
from bramley.profiles.enrollment import EnrollmentProfileSettings, enrollment_profile, scep_identity
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Finding, Rule, Severity

from .changes import REFUSED, TAKEN, Change, changed, path
from .kit import Signing, payload, profile

URL, TOPIC = "https://mdm.orchard.example/mdm", "com.apple.mgmt.External.1"


def enrolled(**mdm: Any) -> dict[str, Any]:
    """An enrollment profile without an identity, as a former one is kept."""
    usual = {"Topic": TOPIC, "ServerURL": URL, "CheckInURL": f"{URL}/in", "AccessRights": 3}
    given_ = {key: value for key, value in {**usual, **mdm}.items() if value is not None}
    return profile(payload("com.apple.wifi.managed", "WIFI"), payload("com.apple.mdm", "MDM", **given_))


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Finding]:
    return list(immutable.compare(before, after))


@pytest.mark.parametrize("case", REFUSED)
def test_each_change_is_one_error_at_its_key(case: str) -> None:
    change, key, rule = REFUSED[case]
    former = enrolled()
    after = changed(former, change)
    (found,) = compare(former, after)
    assert (found.severity, found.path, found.rule) == (Severity.ERROR, path(after, key), rule)
    with pytest.raises(BadProfile) as caught:
        immutable.require(former, after)
    assert (caught.value.key, caught.value.rule) == (found.path, rule)
    assert caught.value.message == f"{found.path}: {found.words}"


@pytest.mark.parametrize("case", TAKEN)
def test_all_else_may_change(case: str) -> None:
    former = enrolled()
    immutable.require(former, changed(former, TAKEN[case]))


def test_more_than_one_is_counted() -> None:
    former = enrolled()
    after = profile(payload("com.apple.mdm", "MDM", Topic="t", ServerURL="u", AccessRights=7), PayloadIdentifier="other")
    assert [each.path for each in compare(former, after)] == [
        "PayloadIdentifier", *(f"PayloadContent[0].{key}" for key in ("Topic", "ServerURL", "CheckInURL", "AccessRights")),
    ]  # fmt: skip
    with pytest.raises(BadProfile, match=r"^PayloadIdentifier: .* \(4 more are wrong\.\)"):
        immutable.require(former, after)


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"CheckInURL": None}, {"CheckInURL": URL}, []),
        ({"CheckInURL": URL}, {"CheckInURL": None}, []),
        ({"CheckInURL": None}, {"CheckInURL": f"{URL}/in"}, ["CheckInURL"]),
        # without one it is ServerURL, and so is what is wrong with it
        ({"CheckInURL": None}, {"CheckInURL": None, "ServerURL": "https://other.example"}, ["ServerURL"]),
        # its ServerURL may move, if that were allowed, and would not take a CheckInURL with it that was never there
        ({"CheckInURL": None}, {"CheckInURL": URL, "ServerURL": "https://other.example"}, ["ServerURL"]),
        ({"CheckInURL": f"{URL}/in"}, {"CheckInURL": None, "ServerURL": f"{URL}/in"}, ["ServerURL"]),
    ],
)
def test_without_a_check_in_url_it_is_the_server_url(before: Any, after: Any, paths: list[str]) -> None:
    found = compare(enrolled(**before), enrolled(**after))
    assert [each.path for each in found] == [f"PayloadContent[1].{name}" for name in paths]


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        (8191, 1, None),
        (3, 3, None),
        (3, 2, None),
        (7, 4, None),
        (3, 7, "adds 4"),
        (3, 4, "adds 4"),  # a smaller number of rights, and another one
        (2, 1, "adds 1"),
        (8191, 8192, "adds 8192"),
        # Apple does not say what holds without the key
        (None, None, None),
        (None, 1, "adds 1"),
        (3, None, "adds 8188"),
        (8191, None, None),
        (3, -1, "Expected an integer"),
        (-1, 1, "adds 1"),
        (1, True, "Expected an integer"),
        (1, "1", "Expected an integer"),
        (1, 1.0, "Expected an integer"),
        ("1", 1, "adds 1"),
    ],
)
def test_rights_may_shrink_and_never_grow(before: Any, after: Any, added: str | None) -> None:
    found = compare(enrolled(AccessRights=before), enrolled(AccessRights=after))
    assert [(each.path, each.rule) for each in found] == [("PayloadContent[1].AccessRights", Rule.RIGHTS_NEVER_GROW)] * bool(
        added
    )
    assert not added or added in found[0].words


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ([immutable.PER_USER_CONNECTIONS, "com.apple.mdm.token"], [immutable.PER_USER_CONNECTIONS], True),
        ([], None, True),
        ([immutable.PER_USER_CONNECTIONS], None, False),
        (None, [immutable.PER_USER_CONNECTIONS], False),
        ([immutable.PER_USER_CONNECTIONS], immutable.PER_USER_CONNECTIONS, False),
        (None, {immutable.PER_USER_CONNECTIONS: True}, False),
        (None, [{}, immutable.PER_USER_CONNECTIONS], False),
    ],
)
def test_connections_of_users_come_and_go_with_the_enrollment(before: Any, after: Any, same: bool) -> None:
    found = compare(enrolled(ServerCapabilities=before), enrolled(ServerCapabilities=after))
    assert [each.path for each in found] == ([] if same else ["PayloadContent[1].ServerCapabilities"])


def test_messages_are_short_and_give_no_secret_away() -> None:
    token = "k.s3cret"
    before = enrolled(ServerURL=f"https://jo:pippin@mdm.orchard.example/mdm?device={token}")
    for url in (f"{URL}?device=k.other", URL + "/x" * 5000, "https://[", URL, 7, b"\xff", f"{URL}#{token}"):
        (found,) = compare(before, enrolled(ServerURL=url))
        assert token not in found.words
        assert "pippin" not in found.words
        assert len(found.words) < 400
    for rights in (1 << 70_000, "x" * 5000, b"x" * 5000):
        (found,) = compare(before, enrolled(ServerURL=before["PayloadContent"][1]["ServerURL"], AccessRights=rights))
        assert len(found.words) < 400
    (same_place,) = compare(before, enrolled(ServerURL=f"{URL}?device=k.other"))
    assert f"Expected '{URL}?…', as before; another, which differs in what is not shown here, came." in same_place.words


@pytest.mark.parametrize(
    "former", [profile(), profile(payload("com.apple.mdm", "A"), payload("com.apple.mdm", "B")), {}, {"PayloadContent": 7}]
)
def test_what_is_to_be_replaced_is_an_enrollment_profile(former: dict[str, Any]) -> None:
    with pytest.raises(BadProfile, match="Expected an enrollment profile to be replaced") as caught:
        compare(former, enrolled())
    assert (caught.value.key, caught.value.rule) == ("PayloadContent", Rule.ONE_MDM_PAYLOAD)


@pytest.mark.parametrize("payloads", [(), ("WIFI",), ("MDM", "MDM")])
def test_a_replacement_has_one_mdm_payload(payloads: tuple[str, ...]) -> None:
    has = {each["PayloadUUID"]: each for each in enrolled()["PayloadContent"]}
    (found,) = compare(enrolled(), profile(*(has[each] for each in payloads)))
    assert (found.path, found.rule) == ("PayloadContent", Rule.ONE_MDM_PAYLOAD)


def test_of_two_mdm_payloads_each_is_looked_at() -> None:
    after = enrolled()
    after["PayloadContent"].append(payload("com.apple.mdm", "SECOND", Topic="other"))
    assert "PayloadContent[2].Topic" in [each.path for each in compare(enrolled(), after)]


@pytest.mark.parametrize("query", ["", "device=k.token"])
@pytest.mark.parametrize("per_user", [True, False])
def test_what_our_profiles_hold_for_good_is_what_is_promised(signing: Signing, query: str, per_user: bool) -> None:
    settings = EnrollmentProfileSettings(
        "Orchard", "https://mdm.orchard.example/", TOPIC, "bramley", access_rights=3, per_user_connections=per_user, query=query
    )
    key = EnrollmentKey("k")
    identity = scep_identity(settings, key, url="https://x/scep", challenge_id="1", challenge="c", common_name="k")
    made = plistlib.loads(enrollment_profile(settings, enrollment_key=key, identity=identity, anchors=[signing.root]).to_bytes())
    promised = immutable.promised(settings)
    for before, after in ((promised, made), (made, promised)):
        assert compare(before, after) == []
    for change, name, _rule in REFUSED.values():
        after = changed(made, change)
        assert [each.path for each in compare(promised, after)] == [path(after, name)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["Topic", "ServerURL", "CheckInURL", "AssignedManagedAppleID", "EnrollmentMode", "ServerCapabilities", "AccessRights",
     "RequiredAppIDForMDM"]
)  # fmt: skip
MDM = st.dictionaries(KEYS, VALUES | st.sampled_from(["https://[", "https://jo@x:y?z", [immutable.PER_USER_CONNECTIONS], 3]))
PAYLOADS = st.lists(MDM.map(lambda keys: {**keys, "PayloadType": "com.apple.mdm"}) | VALUES, max_size=3)
PROFILES = st.builds(
    lambda content, rest: {**rest, "PayloadContent": content},
    PAYLOADS | VALUES,
    st.dictionaries(st.sampled_from(["PayloadIdentifier", "PayloadType", "x"]), VALUES),
) | st.dictionaries(st.text(max_size=3), VALUES)


@given(PROFILES, PROFILES)
def test_odd_property_lists_raise_nothing_of_pythons(before: dict[str, Any], after: dict[str, Any]) -> None:
    with suppress(BramleyError):
        for found in immutable.compare(before, after):
            assert len(found.words) < 700
    with suppress(BramleyError):
        immutable.require(before, after)


@given(PROFILES)
def test_a_profile_replaces_itself(before: dict[str, Any]) -> None:
    with suppress(BadProfile):
        immutable.compare(before, before)
    if len(immutable.managing(before)) == 1:
        found = compare(before, before)
        # nothing is the same as a real that is no number
        assert found == [] or "nan" in repr(before)


@pytest.mark.parametrize("change", [change for change, _key, _rule in REFUSED.values()])
def test_it_is_no_rule_of_a_single_profile(change: Change) -> None:
    """Which is why `validate.check` alone finds none of it."""
    found = validate.check(changed(enrolled(IdentityCertificateUUID="WIFI"), change))
    assert not {each.rule for each in found} & {Rule.IMMUTABLE, Rule.RIGHTS_NEVER_GROW, Rule.SAME_IDENTIFIER}
