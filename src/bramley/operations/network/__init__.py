"""Network identities: certificates for Wi-Fi, VPN and S/MIME that devices fetch by a SCEP payload, kept alive by this server.

Here are their templates, who shall have one, how it is sent, issued, seen on the device, renewed and ended. None of them is
bound to an enrollment: with such a certificate nobody can speak for a device. Device identities are in `operations.identities`.
"""
