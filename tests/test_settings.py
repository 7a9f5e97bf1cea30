"""Settings from file, environment and command line: who wins, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bramley.errors import BadInput
from bramley.settings import Settings, default_data_folder, explain, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bramley.toml"


def test_without_anything_the_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = load(environment={})
    assert settings == Settings(data=tmp_path / "bramley")
    assert settings.data == default_data_folder()


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(file: Path) -> None:
    file.write_text("organization = 'file'\nurl = 'https://file.example'\n[listen]\nport = 1\nhost = '::1'")
    settings = load(
        file, {"BRAMLEY_ORGANIZATION": "environment", "BRAMLEY_LISTEN_PORT": "2"}, url="https://line.example", data=None
    )
    assert settings.organization == "environment"
    assert (settings.listen.host, settings.listen.port) == ("::1", 2)
    assert settings.url == "https://line.example"


def test_every_setting_can_be_set_from_the_environment(tmp_path: Path) -> None:
    values = {
        item.environment: {"url": "https://a.example", "data": str(tmp_path)}.get(item.name, _text(item.default))
        for item in explain()
    }
    assert load(environment=values) == Settings(url="https://a.example", data=tmp_path)


def _text(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_explained() -> None:
    found = list(explain())
    assert len({item.environment for item in found}) == len(found)
    assert all(item.explanation for item in found)


def test_a_home_folder_is_found_in_a_file(file: Path) -> None:
    file.write_text("data = '~/apples'")
    assert load(file, {}).data == Path.home() / "apples"


@pytest.mark.parametrize(("text", "meant"), [("true", True), ("NO", False), ("1", True), ("off", False)])
def test_booleans_as_people_write_them(text: str, meant: bool) -> None:
    assert load(environment={"BRAMLEY_SCEP_LEGACY_ALGORITHMS": text}).scep.legacy_algorithms is meant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRAMLEY_SCEP_LEGACY_ALGORITHMS", "perhaps"),
        ("BRAMLEY_LISTEN_PORT", "https"),
        ("BRAMLEY_LISTEN_PORT", "65536"),
        ("BRAMLEY_DEVICE_LISTENER_PORT", "-2"),
        ("BRAMLEY_PUSH_PORT", "0"),
        ("BRAMLEY_PUSH_EXPIRATION_DAYS", "31"),
        ("BRAMLEY_IDENTITY_RENEW_AT", "1"),
        ("BRAMLEY_IDENTITY_RENEW_AT", "nan"),
        ("BRAMLEY_IDENTITY_JITTER", "-0.1"),
        ("BRAMLEY_IDENTITY_LIFETIME_DAYS", "0"),
        ("BRAMLEY_IDENTITY_GRACE_HOURS", "-1"),
        ("BRAMLEY_SCEP_CHALLENGE_HOURS", "0"),
        ("BRAMLEY_LIMITS_HEADER_SECONDS", "inf"),
        ("BRAMLEY_LIMITS_HEADER_SECONDS", "nan"),
        ("BRAMLEY_LIMITS_SCEP_BYTES", "0"),
        ("BRAMLEY_LOG_LEVEL", "loud"),
        ("BRAMLEY_LOG_FORMAT", "xml"),
        ("BRAMLEY_DATA", ""),
        ("BRAMLEY_URL", "http://mdm.example"),
        ("BRAMLEY_URL", "https://"),
        ("BRAMLEY_URL", "https://me:secret@mdm.example"),
        ("BRAMLEY_URL", "https://mdm.example?x=1"),
        ("BRAMLEY_URL", "https://mdm.example:port"),
        ("BRAMLEY_URL", "https://mdm .example"),
        ("BRAMLEY_URL", "https://[::1"),
        ("BRAMLEY_NONSENSE", "1"),
        ("BRAMLEY_LISTEN_TLS", "false"),  # on 0.0.0.0, with no proxy named
        ("BRAMLEY_PROXY_ADDRESSES", "proxy.example"),
        ("BRAMLEY_PROXY_ADDRESSES", "192.0.2.1/24"),
        ("BRAMLEY_PROXY_ADDRESSES", "0.0.0.0/0"),
        ("BRAMLEY_PROXY_ADDRESSES", "192.0.2.1, ::/0"),
        ("BRAMLEY_PROXY_CLIENT_CERTIFICATE", "Client-Cert"),  # from no proxy
        ("BRAMLEY_PROXY_FORWARDED", "X-Real-IP"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadInput):
        load(environment={name: value})


@pytest.mark.parametrize(
    "content",
    ["data = ''", "data = 5", "listen = 5", "listen = [1]", "[listen]\nport = true", "[listen]\nport = 1.5", "[nothing]", "x"],
)
def test_what_a_file_cannot_mean_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(BadInput):
        load(file, {})


def test_a_section_that_is_none_is_refused_even_where_the_environment_adds_to_it(file: Path) -> None:
    file.write_text("listen = 5")
    with pytest.raises(BadInput, match="listen is a section"):
        load(file, {"BRAMLEY_LISTEN_PORT": "1"})


def test_a_misspelling_is_met_with_a_suggestion(file: Path) -> None:
    file.write_text("[limits]\ncheckin_byte = 1")
    with pytest.raises(BadInput) as caught:
        load(file, {})
    assert caught.value.advice == "Did you mean limits.checkin_bytes?"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_text(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadInput, match="is not TOML"):
        load(file, {})


@pytest.mark.parametrize("name", ["", "none.toml"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path / name, {})


@pytest.mark.parametrize("name", ["BRAMLEY_CONFIG", "BRAMLEY_SEALING_KEY", "PATH"])
def test_variables_that_are_no_settings_are_left_alone(name: str) -> None:
    load(environment={name: "anything"})


def test_settings_are_frozen() -> None:
    settings: Any = Settings()
    with pytest.raises(AttributeError):
        settings.url = "https://other.example"


class TestProxies:
    def test_are_a_list_in_the_file_and_separated_by_commas_in_the_environment(self, file: Path) -> None:
        file.write_text("[proxy]\naddresses = ['192.0.2.1', '2001:db8::/64']")

        assert load(file, {}).proxy.addresses == ("192.0.2.1", "2001:db8::/64")
        assert load(file, {"BRAMLEY_PROXY_ADDRESSES": "192.0.2.2, 192.0.2.3,"}).proxy.addresses == ("192.0.2.2", "192.0.2.3")
        assert load(file, {"BRAMLEY_PROXY_ADDRESSES": ""}).proxy.addresses == ()

    @pytest.mark.parametrize("addresses", ["'192.0.2.1'", "[1]", "{}"])
    def test_are_nothing_but_a_list_of_texts(self, file: Path, addresses: str) -> None:
        file.write_text(f"[proxy]\naddresses = {addresses}")

        with pytest.raises(BadInput, match=r"proxy\.addresses"):
            load(file, {})

    @pytest.mark.parametrize("name", ["Mdm-Signature", "Host", "Client Cert", "X-Forwarded-For", "Ünicode"])
    def test_pass_certificates_on_in_a_header_of_its_own(self, name: str) -> None:
        with pytest.raises(BadInput, match="a header of its own"):
            load(environment={"BRAMLEY_PROXY_ADDRESSES": "192.0.2.1", "BRAMLEY_PROXY_CLIENT_CERTIFICATE": name})

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
    def test_are_not_needed_for_a_listener_in_clear_on_loopback(self, host: str) -> None:
        assert not load(environment={"BRAMLEY_LISTEN_TLS": "false", "BRAMLEY_LISTEN_HOST": host}).listen.tls

    def test_make_a_listener_in_clear_possible_elsewhere(self) -> None:
        assert not load(environment={"BRAMLEY_LISTEN_TLS": "false", "BRAMLEY_PROXY_ADDRESSES": "192.0.2.1"}).listen.tls


class TestAdmission:
    """What lets strangers in is refused unless it is whole."""

    LONG = "sixteen letters!"

    @pytest.mark.parametrize(
        "given",
        [
            {"WEBHOOK_URL": "https://hook.example/"},
            {"WEBHOOK_SECRET": LONG},
            {"WEBHOOK_URL": "https://hook.example/", "WEBHOOK_SECRET": LONG[1:]},
            {"WEBHOOK_URL": "http://hook.example/", "WEBHOOK_SECRET": LONG},
            {"WEBHOOK_URL": "https://me@hook.example/", "WEBHOOK_SECRET": LONG},
            {"WEBHOOK_URL": "https://", "WEBHOOK_SECRET": LONG},
            {"WEBHOOK_URL": "https://[::1", "WEBHOOK_SECRET": LONG},
            {"STATIC_CHALLENGE": LONG[1:]},
            {"MODE": "RA"},
            {"APPROVAL": "yes"},
            {"APPROVAL_DAYS": "31"},
        ],
    )
    def test_what_cannot_be_meant_is_refused_and_no_secret_repeated(self, given: dict[str, str]) -> None:
        with pytest.raises(BadInput) as caught:
            load(environment={f"BRAMLEY_SCEP_{name}": value for name, value in given.items()})
        assert self.LONG[1:] not in str(caught.value)

    def test_secrets_are_in_no_repr(self) -> None:
        given = {"WEBHOOK_URL": "https://hook.example/", "WEBHOOK_SECRET": self.LONG, "STATIC_CHALLENGE": self.LONG}
        settings = load(environment={f"BRAMLEY_SCEP_{name}": value for name, value in given.items()})
        assert settings.scep.static_challenge == settings.scep.webhook_secret == self.LONG
        assert self.LONG not in repr(settings)


class TestWhereIdentitiesComeFrom:
    @pytest.mark.parametrize(
        ("source", "approval", "good"),
        [("scep", "manual", True), ("pkcs12", "none", True), ("pkcs12", "manual", False), ("PKCS12", "none", False)],
    )
    def test_what_goes_together(self, source: str, approval: str, good: bool) -> None:
        environment = {"BRAMLEY_IDENTITY_SOURCE": source, "BRAMLEY_SCEP_APPROVAL": approval}
        if good:
            assert load(environment=environment).identity.source == source
        else:
            with pytest.raises(BadInput, match=r"identity\.source"):
                load(environment=environment)


def test_a_part_of_a_section_leaves_the_rest_of_it_as_it_was(file: Path) -> None:
    file.write_text("[listen]\ntls = false\nhost = '127.0.0.1'\nport = 80")

    settings = load(file, {}, listen={"host": "::1", "port": 81})

    assert (settings.listen.host, settings.listen.port, settings.listen.tls) == ("::1", 81, False)


class TestOutsideCA:
    HTTP, HTTPS = "http://ca.example/scep", "https://ca.example/scep"

    @pytest.mark.parametrize(
        ("scep", "good"),
        [
            ({"outside_url": HTTP}, True),
            ({"outside_url": HTTPS, "outside_by": "device"}, True),
            ({"outside_url": HTTP, "outside_by": "device"}, False),
            ({"outside_url": "ftp://ca.example"}, False),
            ({"outside_url": "https://jo:secret@ca.example/scep"}, False),
            ({"outside_url": HTTPS, "approval": "manual"}, False),
            ({"outside_url": HTTPS, "outside_by": "nobody"}, False),
        ],
    )
    def test_what_goes_together(self, scep: dict[str, str], good: bool) -> None:
        if good:
            assert load(environment={}, scep=scep).scep.outside_url
            return
        with pytest.raises(BadInput) as error:
            load(environment={}, scep=scep)
        assert "secret" not in str(error.value)


class TestTrust:
    @pytest.mark.parametrize(
        ("settings", "good"),
        [
            ({"enrollment": {"pin": True}}, True),
            ({"enrollment": {"anchors": "none"}}, True),
            ({"enrollment": {"pin": True, "anchors": "none"}}, False),
            ({"enrollment": {"pin": True}, "proxy": {"addresses": ["192.0.2.7"]}}, False),
            ({"enrollment": {"anchors": "some"}}, False),
        ],
    )
    def test_what_goes_together(self, settings: dict[str, Any], good: bool) -> None:
        if good:
            load(environment={}, **settings)
            return
        with pytest.raises(BadInput):
            load(environment={}, **settings)
