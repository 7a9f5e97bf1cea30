"""What a device answers to commands that only ask (Apple, "Commands and Queries"). Pure: what it knows comes as an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.pki import certificates
from bramley.sandbox.device.condition import Condition
from bramley.sandbox.device.filevault import FileVault
from bramley.sandbox.device.identity import DeviceIdentity
from bramley.sandbox.device.messages import Message, error_chain
from bramley.sandbox.device.profile import Profile

COMMAND_ERRORS: Final = "MCMDMErrorDomain"
UNKNOWN_COMMAND: Final = 12021
NOT_ALLOWED: Final = 12007
"""A number of our choice: Apple does not publish those of devices."""

_FOR_USERS: Final = frozenset(
    {
        "CertificateList",
        "DeviceInformation",
        "InstallProfile",
        "InstalledApplicationList",
        "ProfileList",
        "RemoveProfile",
        "SecurityInfo",
        "Settings",
    }
)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the device can tell of itself."""

    device: DeviceIdentity
    identities: Sequence[x509.Certificate]
    anchors: Sequence[x509.Certificate]
    profiles: Sequence[Profile]
    user_enrollment: bool
    filevault: FileVault
    condition: Condition = field(default_factory=Condition)
    user_channel: bool = False
    """Whether it is a user of the device who is asked."""

    @property
    def supervised(self) -> bool:
        """Macs that are fully enrolled count as supervised (macOS 11 and later); so do our other devices."""
        return not self.user_enrollment


def _device_information(command: Mapping[str, Any], known: Knowledge) -> Message:
    device = known.device
    told: Message = {
        "OSVersion": device.os_version,
        "BuildVersion": device.build_version,
        "ProductName": device.product_name,
        "Model": device.model,
        "ModelName": device.model_name,
        "DeviceName": known.condition.device_name or device.device_name,
        "IsSupervised": known.supervised,
        "AwaitingConfiguration": known.condition.waiting,
        "DeviceCapacity": 494.38,
        "AvailableDeviceCapacity": 217.9,
    }
    if device.is_mac:
        told |= {"IsAppleSilicon": True, "HostName": known.condition.host_name or f"{device.serial_number.lower()}.local"}
    if known.condition.organization:
        told |= {"OrganizationInfo": known.condition.organization}
    if known.condition.time_zone:
        told |= {"TimeZone": known.condition.time_zone}
    if not known.user_enrollment:
        told |= {"UDID": device.udid, "SerialNumber": device.serial_number}
    # a query that the device cannot answer is left out, not an error
    return {"QueryResponses": {query: told[query] for query in command["Queries"] if query in told}}


def _security_info(_command: Mapping[str, Any], known: Knowledge) -> Message:
    management = {"IsUserEnrollment": known.user_enrollment}
    told: Message
    if not known.device.is_mac:
        told = {"PasscodeCompliant": True, "ManagementStatus": management}
        return {"SecurityInfo": told if known.user_enrollment else {**told, "PasscodePresent": known.condition.passcode}}
    told = {
        "FDE_Enabled": True,
        "SystemIntegrityProtectionEnabled": True,
        "ManagementStatus": {**management, "EnrolledViaDEP": False, "UserApprovedEnrollment": True},
    }
    if known.user_enrollment:
        return {"SecurityInfo": told}
    told |= {
        "FDE_HasPersonalRecoveryKey": True,
        "FDE_HasInstitutionalRecoveryKey": False,
        "BootstrapTokenAllowedForAuthentication": "allowed",
    }
    if (escrowed := known.filevault.escrowed(known.profiles)) is not None:
        told |= {"FDE_PersonalRecoveryKeyCMS": escrowed}
    return {"SecurityInfo": told}


def _certificate_list(_command: Mapping[str, Any], known: Knowledge) -> Message:
    listed = [(certificate, True) for certificate in known.identities] + [(anchor, False) for anchor in known.anchors]
    return {
        "CertificateList": [
            {"CommonName": _common_name(certificate), "Data": certificates.der(certificate), "IsIdentity": is_identity}
            for certificate, is_identity in listed
        ]
    }


def _profile_list(_command: Mapping[str, Any], known: Knowledge) -> Message:
    return {"ProfileList": [_listed(profile) for profile in known.profiles]}


def _listed(profile: Profile) -> Message:
    content = profile.content
    optional = ("PayloadDisplayName", "PayloadOrganization", "PayloadDescription", "PayloadRemovalDisallowed")
    payload_keys = ("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName")
    return {
        "PayloadIdentifier": profile.identifier,
        "PayloadUUID": profile.uuid,
        "PayloadVersion": content["PayloadVersion"],
        **{key: content[key] for key in optional if key in content},
        "HasRemovalPasscode": False,
        "IsEncrypted": profile.encrypted,
        "SignerCertificates": list(profile.signers),
        "PayloadContent": [{key: payload[key] for key in payload_keys if key in payload} for payload in profile.payloads],
    }


QUERIES: Final[Mapping[str, Callable[[Mapping[str, Any], Knowledge], Message]]] = MappingProxyType(
    {
        "DeviceInformation": _device_information,
        "SecurityInfo": _security_info,
        "CertificateList": _certificate_list,
        "ProfileList": _profile_list,
    }
)
"""RequestType → what it is answered with. None of them changes the device."""


def is_for(request_type: str, known: Knowledge) -> bool:
    """Whether who is asked takes such commands. A user takes some only, and none but Macs have users."""
    return not known.user_channel or (known.device.is_mac and request_type in _FOR_USERS)


def unknown(request_type: str) -> Message:
    """What a device says to a command it does not know."""
    return error_chain(UNKNOWN_COMMAND, COMMAND_ERRORS, f"Unknown command: {request_type} <MDMClientError:91>")


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
