"""IKEv2 in the payload of a VPN, and what the other protocols have in common with it."""

from __future__ import annotations

from typing import Final

from bramley.profiles.rules.keys import array, data, dictionary, integer, names_identity, switch, text, texts

IDLE: Final = (switch("DisconnectOnIdle"), integer("DisconnectOnIdleTimer"))
PROVIDER_TYPE: Final = text("ProviderType", one_of=("packet-tunnel", "app-proxy"), default="packet-tunnel")
ON_DEMAND: Final = array(
    "OnDemandRules",
    dictionary(
        "",
        (
            text("Action", required=True, one_of=("Allow", "Connect", "Disconnect", "EvaluateConnection", "Ignore")),
            array(
                "ActionParameters",
                dictionary(
                    "",
                    (
                        texts("Domains", required=True),
                        text("DomainAction", required=True, one_of=("ConnectIfNeeded", "NeverConnect")),
                        texts("RequiredDNSServers"),
                        text("RequiredURLStringProbe"),
                    ),
                ),
            ),
            texts("DNSDomainMatch"),
            texts("DNSServerAddressMatch"),
            text("InterfaceTypeMatch", one_of=("Ethernet", "WiFi", "Cellular")),
            texts("SSIDMatch"),
            text("URLStringProbe"),
        ),
    ),
)
_ASSOCIATION: Final = (
    text(
        "EncryptionAlgorithm",
        one_of=("DES", "3DES", "AES-128", "AES-256", "AES-128-GCM", "AES-256-GCM", "ChaCha20Poly1305"),
        default="AES-256",
    ),
    text("IntegrityAlgorithm", one_of=("SHA1-96", "SHA1-160", "SHA2-256", "SHA2-384", "SHA2-512"), default="SHA2-256"),
    integer("DiffieHellmanGroup", one_of=(1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31, 32), default=14),
    integer("LifeTimeInMinutes", least=10, most=1440, default=1440),
)

IKEV2: Final = dictionary(
    "IKEv2",
    (
        text("RemoteAddress", required=True),
        text("LocalIdentifier", required=True),
        text("RemoteIdentifier", required=True),
        text("AuthenticationMethod", required=True, one_of=("None", "SharedSecret", "Certificate")),
        text("CertificateType", one_of=("RSA", "ECDSA256", "ECDSA384", "ECDSA521", "RSA-PSS"), default="RSA"),
        names_identity("PayloadCertificateUUID"),
        text("Password"),
        text("ProviderBundleIdentifier"),
        text("ProviderDesignatedRequirement", on="iOS no, macOS 10.15, visionOS no"),
        text("SharedSecret"),
        switch("ExtendedAuthEnabled"),
        text("AuthName"),
        text("AuthPassword"),
        switch("OnDemandEnabled"),
        switch("OnDemandUserOverrideDisabled", on="iOS 14.0, macOS no"),
        ON_DEMAND,
        text("DeadPeerDetectionRate", one_of=("None", "Low", "Medium", "High"), default="Medium", on="watchOS no"),
        text("ServerCertificateIssuerCommonName"),
        text("ServerCertificateCommonName"),
        text("TLSMinimumVersion", one_of=("1.0", "1.1", "1.2"), default="1.0", on="iOS 11.0, macOS 10.13"),
        text("TLSMaximumVersion", one_of=("1.0", "1.1", "1.2"), default="1.2", on="iOS 11.0, macOS 10.13"),
        switch("UseConfigurationAttributeInternalIPSubnet", on="iOS 9.0"),
        switch("DisableMOBIKE", on="iOS 9.0"),
        switch("DisableRedirect", on="iOS 9.0"),
        *IDLE,
        switch("NATKeepAliveOffloadEnable", 1, on="iOS 9.0"),
        integer("NATKeepAliveInterval", default=20, on="iOS 9.0"),
        switch("EnablePFS", on="iOS 9.0"),
        switch("EnableCertificateRevocationCheck", on="iOS 9.0"),
        switch("EnableFallback", on="iOS 13.0, macOS no, watchOS no"),
        integer("MTU", least=1280, most=1400, default=1280, on="iOS 14.0, macOS 11.0"),
        PROVIDER_TYPE,
        switch("IncludeAllNetworks", on="iOS 14.0, macOS 10.15, tvOS no, watchOS no"),
        switch("EnforceRoutes", on="iOS 14.2, macOS 11.0, watchOS no"),
        switch("ExcludeLocalNetworks", None, on="iOS 14.2, macOS 10.15, tvOS no, watchOS no"),
        switch("ExcludeCellularServices", 1, on="iOS 16.4, macOS 13.3, tvOS no, watchOS no"),
        switch("ExcludeAPNs", 1, on="iOS 16.4, macOS 13.3, tvOS no, watchOS no"),
        switch("ExcludeDeviceCommunication", 1, on="iOS 17.4, macOS 14.4, tvOS no, visionOS 1.1, watchOS no"),
        data("PPK", on="iOS 18.0, macOS 15.0, tvOS 18.0, visionOS 2.0, watchOS 11.0"),
        text("PPKIdentifier", on="iOS 18.0, macOS 15.0, tvOS 18.0, visionOS 2.0, watchOS 11.0"),
        switch("PPKMandatory", 1, on="iOS 18.0, macOS 15.0, tvOS 18.0, visionOS 2.0, watchOS 11.0"),
        dictionary("IKESecurityAssociationParameters", _ASSOCIATION),
        dictionary("ChildSecurityAssociationParameters", _ASSOCIATION),
    ),
    on="watchOS 10.0",
)
