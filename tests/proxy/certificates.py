"""Certificates for tests of TLS: an authority, and what it issues."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.proxy.tls import Pair


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Somebody whose word counts for whoever trusts `file`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "authority.pem"
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._serial = 1
        self._subject = _name("authority")
        self.file.write_bytes(self._sign(self._subject, self._key.public_key(), (), ca=True))

    def issue(self, *names: str, folder: str = "") -> Pair:
        """Return a certificate for *names* and its key, in files of their own below *folder*."""
        self._serial += 1
        key = ec.generate_private_key(ec.SECP256R1())
        place = self._folder / (folder or str(self._serial))
        place.mkdir(exist_ok=True)
        pair = Pair(place / "certificate.pem", place / "key.pem")
        pair.certificate.write_bytes(self._sign(_name(names[0]), key.public_key(), names, ca=False))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, names: tuple[str, ...], *, ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        others = "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only"
        usage = dict.fromkeys(others.split(), False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(self._serial)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
