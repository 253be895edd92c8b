"""What the environment says, checked: each reader names the variable in its error."""

import os
import secrets
from collections.abc import Collection
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable, stripped. Empty counts as not set."""
    return os.environ.get(name, "").strip() or default


def choice(name: str, allowed: Collection[str], default: str) -> str:
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be one of: {', '.join(allowed)}.")
    return value


def integer(name: str, default: int, *, at_least: int, at_most: int) -> int:
    raw = text(name, str(default))
    if not raw.isascii() or not raw.isdigit() or not at_least <= int(raw) <= at_most:
        raise ImproperlyConfigured(f"{name} is {raw!r}, but must be a whole number from {at_least} to {at_most}.")
    return int(raw)


def url(name: str, schemes: Collection[str]) -> str:
    """An absolute URL with one of `schemes`, or "" when not set. No trailing slash."""
    value = text(name).rstrip("/")
    scheme, separator, rest = value.partition("://")
    if value and (not separator or scheme not in schemes or not rest or rest.startswith("/")):
        raise ImproperlyConfigured(
            f"{name} is {value!r}, but must be a URL that begins with {'://, '.join(schemes)}://."
        )
    return value


def origin(name: str) -> str:
    """`https://host` or `https://host:port`, or "" when not set."""
    value = url(name, ("http", "https"))
    try:
        parts = urlsplit(value)
        is_plain = value in ("", f"{parts.scheme}://{parts.netloc}") and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ImproperlyConfigured(f"{name} is {value!r}, but must be a host, without a path: https://mega.example.com")
    return value


def email(directory: Path) -> dict[str, object]:
    """Django's settings of outgoing mail, from MEGADASH_EMAIL_URL."""
    value = text("MEGADASH_EMAIL_URL", "console:")
    if value == "console:":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if value == "file:":
        path = str(directory / "mail")
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": path}
    try:
        parts = urlsplit(value)
        port, query = parts.port, dict(parse_qsl(parts.query, strict_parsing=True) if parts.query else [])
    except ValueError:
        parts, port, query = urlsplit(""), None, {}
    known = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.path in ("", "/") and not parts.fragment
    if not known or set(query) - {"tls"} or query.get("tls", "0") not in ("0", "1"):
        # The value itself may hold a password.
        raise ImproperlyConfigured(
            "MEGADASH_EMAIL_URL must be console:, file:, smtp://user:password@host:port?tls=1 or smtps://…"
        )
    is_ssl, is_tls = parts.scheme == "smtps", query.get("tls") == "1"
    if is_ssl and is_tls:
        raise ImproperlyConfigured("MEGADASH_EMAIL_URL: smtps:// is encrypted from the start; leave out tls=1.")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or (465 if is_ssl else 587 if is_tls else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": is_ssl,
        "EMAIL_USE_TLS": is_tls,
    }


def email_from(public_url: str) -> str:
    """`Name <address>` or an address."""
    host = urlsplit(public_url).hostname or "localhost"
    value = text("MEGADASH_EMAIL_FROM", f"MegaDash <megadash@{host}>")
    address = parseaddr(value)[1]
    local, at, domain = address.rpartition("@")
    if not (local and at and domain) or "\n" in value or "\r" in value:
        raise ImproperlyConfigured(f"MEGADASH_EMAIL_FROM is {value!r}, but must be an address: Name <name@example.com>")
    return value


def openid_connect() -> list[dict[str, object]]:
    """The company's own provider, as allauth takes it; none when MEGADASH_OIDC_ISSUER is not set."""
    issuer = url("MEGADASH_OIDC_ISSUER", ("http", "https"))
    try:
        is_safe = issuer.startswith("https://") or urlsplit(issuer).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        is_safe = False
    if issuer and not is_safe:
        raise ImproperlyConfigured(f"MEGADASH_OIDC_ISSUER is {issuer!r}, but must begin with https://.")
    given = {name: text(name) for name in ("MEGADASH_OIDC_CLIENT_ID", "MEGADASH_OIDC_CLIENT_SECRET")}
    for name, value in given.items():
        if bool(issuer) != bool(value):
            missing = name if issuer else "MEGADASH_OIDC_ISSUER"
            raise ImproperlyConfigured(f"{missing} is not set, but the other settings of OpenID Connect are.")
    if not issuer:
        return []
    return [
        {
            "provider_id": "company",
            "name": text("MEGADASH_OIDC_NAME", "OpenID Connect"),
            "client_id": given["MEGADASH_OIDC_CLIENT_ID"],
            "secret": given["MEGADASH_OIDC_CLIENT_SECRET"],
            "settings": {"server_url": issuer, "oauth_pkce_enabled": True},
        }
    ]


def data_dir() -> Path:
    path = Path(text("MEGADASH_DATA_DIR", "./var")).expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"MEGADASH_DATA_DIR {str(path)!r} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(f"MEGADASH_DATA_DIR {str(path)!r} is not writable.")
    return path


def secret_key(directory: Path) -> str:
    """MEGADASH_SECRET_KEY, or one made at the first start and kept in the data directory.

    API keys are hashed with a pepper derived from it, so it must survive restarts.
    """
    if "MEGADASH_SECRET_KEY" in os.environ:
        given = text("MEGADASH_SECRET_KEY")
        if len(given) < 32:
            raise ImproperlyConfigured(
                "MEGADASH_SECRET_KEY must have at least 32 characters; leave it out to have one made."
            )
        return given
    path = directory / "secret_key"
    try:
        # O_EXCL: two processes may start at once; the second must read the first one's key, not replace it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text().strip()
        if len(kept) < 32:
            raise ImproperlyConfigured(f"MEGADASH_SECRET_KEY is not set and {str(path)!r} is damaged.") from None
        return kept
    made = secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w") as file:
        file.write(made)
    return made


def database(directory: Path) -> dict[str, object]:
    """Django's DATABASES["default"] from DATABASE_URL; SQLite in the data directory when not set."""
    given = text("DATABASE_URL")
    try:
        parsed = dict(dj_database_url.parse(given or f"sqlite:///{directory / 'megadash.sqlite3'}"))
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {type(error).__name__}.") from error
    if parsed.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:// or postgresql://.")
    return parsed
