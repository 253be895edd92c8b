"""API keys: how a secret is made, recognised and hashed. Nothing here touches the database.

`sk-mega-` + 38 base62 characters of secret + 6 of CRC32: secret scanners can grep for it, and a typo is refused
without a look-up. Stored as HMAC-SHA256 with a pepper: 226 random bits need no slow hash, and the gateway checks one
on every call.
"""

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Callable

KEY_PREFIX = "sk-mega-"
ADMIN_KEY_PREFIX = "sk-admin-"
PEPPER_VERSION = 1
SECRET_LENGTH = 38
CHECKSUM_LENGTH = 6
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def make(prefix: str = KEY_PREFIX) -> str:
    """A new secret, to be shown once."""
    body = "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH))
    return prefix + body + _checksum(body)


def is_typo(secret: str) -> bool:
    """True for a string in our own form whose checksum is wrong: no key of ours can look like that."""
    for prefix in (KEY_PREFIX, ADMIN_KEY_PREFIX):
        if secret.startswith(prefix):
            body, checksum = secret[len(prefix) : -CHECKSUM_LENGTH], secret[-CHECKSUM_LENGTH:]
            return len(body) != SECRET_LENGTH or not body.isascii() or checksum != _checksum(body)
    return False


def pepper_from(secret_key: str) -> bytes:
    """The pepper of `PEPPER_VERSION`, derived so that leaking one purpose's key tells nothing of another's."""
    return hmac.digest(secret_key.encode(), b"megadash api key pepper v1", "sha256")


def digest(secret: str, pepper: bytes) -> str:
    """What is stored and looked up: 64 hex digits."""
    return hmac.new(pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def digester(pepper: bytes) -> Callable[[str], str]:
    """`digest` for one pepper, with the pepper's share of HMAC (RFC 2104) done once: a third of the time."""
    key = pepper.ljust(hashlib.sha256().block_size, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def digest_of(secret: str) -> str:
        inside, outside = inner.copy(), outer.copy()
        inside.update(secret.encode("utf-8", "surrogatepass"))
        outside.update(inside.digest())
        return outside.hexdigest()

    return digest_of


def redacted(secret: str) -> str:
    """The first 12 and the last 4 characters, as kept beside the digest."""
    return f"{secret[:12]}…{secret[-4:]}" if len(secret) > 20 else f"{secret[:3]}…{secret[-2:]}"


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, remainder = divmod(number, 62)
        digits = BASE62[remainder] + digits
    return digits
