"""Stand-ins for the services of Apple that people use by hand, and for mdmcert.download, each as strict as the real one."""

from __future__ import annotations

from bramley.sandbox.portals.apple import SandboxApple, opened
from bramley.sandbox.portals.developer import DeveloperPortal
from bramley.sandbox.portals.errors import LimitReached, NotAMember, NotVisible, PortalRefused, UploadRefused
from bramley.sandbox.portals.identity import IdentityPortal, PushCertificates
from bramley.sandbox.portals.mdmcert import AES_256, TRIPLE_DES, Mail, MdmcertService
from bramley.sandbox.portals.mdmcert_server import MdmcertServer
from bramley.sandbox.portals.server_app import ServerApp

__all__ = [
    "AES_256",
    "TRIPLE_DES",
    "DeveloperPortal",
    "IdentityPortal",
    "LimitReached",
    "Mail",
    "MdmcertServer",
    "MdmcertService",
    "NotAMember",
    "NotVisible",
    "PortalRefused",
    "PushCertificates",
    "SandboxApple",
    "ServerApp",
    "UploadRefused",
    "opened",
]
