"""Provider secrets at rest: Fernet, with a key derived from the instance's secret, bound to the row they belong to."""

import base64
import json

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes


class SealBroken(Exception):
    """The ciphertext is not ours, was sealed with another secret key, or belongs to another row."""


def seal(secret: str, bound_to: str) -> str:
    return _fernet().encrypt(json.dumps([bound_to, secret]).encode()).decode()


def open_sealed(sealed: str, bound_to: str) -> str:
    """The secret. Raises SealBroken."""
    try:
        owner, secret = json.loads(_fernet().decrypt(sealed.encode()))
    except (InvalidToken, ValueError) as error:
        raise SealBroken("A provider's secret cannot be read: was MEGADASH_SECRET_KEY changed?") from error
    if owner != bound_to:
        raise SealBroken("A provider's secret was moved to another row.")
    return str(secret)


def _fernet() -> MultiFernet:
    """The present key first; keys of former secrets still open what they sealed."""
    return MultiFernet([Fernet(_derive(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _derive(secret_key: str | bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"megadash provider secrets v1").derive(
        force_bytes(secret_key)
    )
    return base64.urlsafe_b64encode(derived)
