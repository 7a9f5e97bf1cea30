"""The payload that sets up a VPN (Apple, "VPN")."""

from __future__ import annotations

from typing import Final

from bramley.profiles.rules import networks
from bramley.profiles.rules.ikev2 import IDLE, IKEV2, ON_DEMAND, PROVIDER_TYPE
from bramley.profiles.rules.keys import (
    UUID,
    PayloadType,
    array,
    boolean,
    data,
    dictionary,
    integer,
    names_identity,
    payload_type,
    switch,
    text,
    texts,
)

_DOMAINS: Final = (texts("OnDemandMatchDomainsAlways"), texts("OnDemandMatchDomainsNever"), texts("OnDemandMatchDomainsOnRetry"))
_VPN: Final = dictionary(
    "VPN",
    (
        text("AuthenticationMethod", one_of=("Password", "Certificate", "Password+Certificate"), default="Password"),
        names_identity("PayloadCertificateUUID"),
        text("Password"),
        text("ProviderBundleIdentifier"),
        text("ProviderDesignatedRequirement", on="iOS no, macOS 10.15, visionOS no"),
        *IDLE,
        PROVIDER_TYPE,
        switch("IncludeAllNetworks", on="iOS 14.0, macOS 10.15, tvOS no"),
        switch("EnforceRoutes", on="iOS 14.2, macOS 11.0"),
        switch("ExcludeLocalNetworks", None, on="iOS 14.2, macOS 10.15, tvOS no"),
        switch("ExcludeCellularServices", 1, on="iOS 16.4, macOS 13.3, tvOS no"),
        switch("ExcludeAPNs", 1, on="iOS 16.4, macOS 13.3, tvOS no"),
        switch("ExcludeDeviceCommunication", 1, on="iOS 17.4, macOS 14.4, tvOS no, visionOS 1.1"),
        switch("OnDemandEnabled"),
        switch("OnDemandUserOverrideDisabled", on="iOS 14.0, macOS no"),
        *_DOMAINS,
        ON_DEMAND,
    ),
)
_PPP: Final = dictionary(
    "PPP",
    (
        text("AuthName"),
        text("AuthPassword"),
        switch("TokenCard"),
        text("CommRemoteAddress"),
        array("AuthEAPPlugins", text(one_of=("EAP-RSA", "EAP-TLS", "EAP-KRB")), count=1),
        array("AuthProtocol", text(one_of=("EAP",)), count=1),
        switch("CCPMPPE40Enabled", None),
        switch("CCPMPPE128Enabled", None),
        switch("CCPEnabled", None),
        *IDLE,
    ),
    on="tvOS no",
)
_IPSEC: Final = dictionary(
    "IPSec",
    (
        text("RemoteAddress"),
        text("AuthenticationMethod", one_of=("SharedSecret", "Certificate"), default="SharedSecret"),
        text("XAuthName"),
        text("XAuthPassword"),
        switch("XAuthEnabled", None),
        text("XAuthPasswordEncryption", one_of=("Prompt",)),
        text("LocalIdentifier"),
        text("LocalIdentifierType", one_of=("KeyID",), default="KeyID"),
        data("SharedSecret"),
        names_identity("PayloadCertificateUUID"),
        boolean("PromptForVPNPIN"),
        *IDLE,
        switch("OnDemandEnabled"),
        *_DOMAINS,
        ON_DEMAND,
    ),
    on="tvOS no",
)
_DNS: Final = dictionary(
    "DNS",
    (
        text("DNSProtocol", required=True, one_of=("Cleartext", "HTTPS", "TLS"), on="iOS 14.0, macOS 11.0"),
        text("ServerURL", on="iOS 14.0, macOS 11.0"),
        text("ServerName", on="iOS 14.0, macOS 11.0"),
        texts("ServerAddresses", required=True, on="iOS 10.0, macOS 10.12"),
        texts("SearchDomains", on="iOS 10.0, macOS 10.12"),
        text("DomainName", on="iOS 10.0, macOS 10.12"),
        texts("SupplementalMatchDomains", on="iOS 10.0, macOS 10.12"),
        switch("SupplementalMatchDomainsNoSearch", on="iOS 10.0, macOS 10.12"),
        names_identity("PayloadCertificateUUID", **UUID, on="iOS 16.0, macOS 13.0"),
    ),
    on="watchOS 10.0",
)
_PROXIES: Final = dictionary(
    "Proxies",
    (
        switch("ProxyAutoConfigEnable", None),
        switch("ProxyAutoDiscoveryEnable", 1),
        text("ProxyAutoConfigURLString"),
        texts("SupplementalMatchDomains"),
        switch("HTTPEnable"),
        text("HTTPProxy"),
        integer("HTTPPort", least=0, most=65535),
        text("HTTPProxyUsername"),
        text("HTTPProxyPassword"),
        switch("HTTPSEnable"),
        text("HTTPSProxy"),
        integer("HTTPSPort", least=0, most=65535),
    ),
    on="watchOS 10.0",
)
_ALWAYS_ON: Final = dictionary(
    "AlwaysOn",
    (
        switch("UIToggleEnabled"),
        array(
            "TunnelConfigurations",
            dictionary(
                "",
                (text("ProtocolType", required=True, one_of=("IKEv2",)), array("Interfaces", text(one_of=("Cellular", "WiFi")))),
            ),
            required=True,
        ),
        array(
            "ServiceExceptions",
            dictionary(
                "",
                (
                    text(
                        "ServiceName", required=True, one_of=("VoiceMail", "AirPrint", "CellularServices", "DeviceCommunication")
                    ),
                    text("Action", required=True, one_of=("Allow", "Drop")),
                ),
            ),
        ),
        array(
            "ApplicationExceptions",
            dictionary(
                "",
                (text("BundleIdentifier", required=True), array("LimitToProtocols", text(one_of=("UDP",)))),
            ),
            on="iOS 13.6",
        ),
        switch("AllowCaptiveWebSheet"),
        switch("AllowAllCaptiveNetworkPlugins"),
        array("AllowedCaptiveNetworkPlugins", dictionary("", (text("BundleIdentifier", required=True),))),
    ),
    on="iOS 8.0, macOS no, tvOS no",
)
_TRANSPARENT_PROXY: Final = dictionary(
    "TransparentProxy",
    (
        text("AuthenticationMethod", one_of=("Password", "Certificate", "Password+Certificate"), default="Password"),
        *IDLE,
        switch("EnforceRoutes"),
        switch("OnDemandEnabled"),
        ON_DEMAND,
        names_identity("PayloadCertificateUUID"),
        text("Password"),
        text("ProviderBundleIdentifier"),
        text("ProviderDesignatedRequirement"),
        PROVIDER_TYPE,
        integer("Order"),
    ),
    on="iOS no, macOS 14.0, tvOS no, visionOS no",
)

VPN: Final[PayloadType] = payload_type(
    "com.apple.vpn.managed",
    "VPN",
    "A VPN, by IKEv2 or another protocol.",
    on="iOS 4.0, macOS 10.7, tvOS 17.0, visionOS 1.0",
    ue="iOS forbidden, macOS forbidden, visionOS forbidden",
    keys=(
        text("VPNType", required=True, one_of=("VPN", "L2TP", "IPSec", "IKEv2", "AlwaysOn", "TransparentProxy")),
        text("VPNSubType"),
        text("UserDefinedName", required=True),
        dictionary(
            "VendorConfig",
            (text("Realm"), text("Role"), text("Group"), text("LoginGroupOrDomain")),
        ),
        _VPN,
        dictionary("IPv4", (switch("OverridePrimary"),), on="tvOS no"),
        _PPP,
        _IPSEC,
        IKEV2,
        _DNS,
        _PROXIES,
        _ALWAYS_ON,
        _TRANSPARENT_PROXY,
    ),
    checks=(networks.vpn,),
)
