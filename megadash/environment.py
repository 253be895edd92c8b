"""What the environment says, checked: each reader names the variable in its error."""

import os
import secrets
from collections.abc import Collection
from pathlib import Path

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
