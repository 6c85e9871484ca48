"""What a certificate says about itself; here because this room is the door to `cryptography`."""

from typing import NamedTuple

from cryptography import x509

from gateway.errors import ConfigError


class Certificate(NamedTuple):
    """The leaf of a chain."""

    names: tuple[str, ...]
    """DNS names and addresses it is for, lower case; wildcards as ``*.example.com``."""
    expires: float
    """Unix time."""


def read_certificate(pem: bytes, place: str) -> Certificate:
    """Return what the first certificate in *pem* says.

    Raises:
        ConfigError: it is no certificate; *place* says where it was named.
    """
    try:
        leaf = x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise ConfigError(f"{place}: no PEM certificate") from error
    names: list[str] = []
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += (name.lower() for name in alternative.get_values_for_type(x509.DNSName))
        names += (str(address) for address in alternative.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        pass
    return Certificate(tuple(names), leaf.not_valid_after_utc.timestamp())
