"""What must be there before anything runs: tables, catalogue, static files, translations; in an empty database
also the first administrator, team, keys and provider."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import call_command
from django.core.validators import validate_email
from django.db import OperationalError, connection, transaction

from accounts import audit, keys, teams
from accounts.models import AdminKey, ApiKey, Team, Tier, User
from usage import catalog, ports, translations

OPENAI = "https://api.openai.com/v1"
DEFAULT_ADMIN_EMAIL = "admin@localhost"
# Requests and tokens a minute, calls at once; None is no limit until an administrator sets one.
TIERS = {"Basic": (60, 90_000, 10), "Pro": (300, 450_000, 40), "Enterprise": (None, None, None)}
ADVISORY_LOCK = 0x6D656761  # any number that no other program takes in the same database


class Shown(NamedTuple):
    """What the first start made. A secret is null when the environment gave it: then it is not shown."""

    admin_email: str
    admin_password: str | None
    key: str | None
    admin_key: str | None


def prepare(given: Mapping[str, str]) -> Shown | None:
    """Idempotent, safe to run twice at once; null when the database was in use already. Raises ImproperlyConfigured."""
    with _one_at_a_time(settings.DATA_DIR / "setup.lock"):
        call_command("migrate", verbosity=0, interactive=False)
        collect_static()
        translations.compile_all(settings.BASE_DIR / "locale", settings.DATA_DIR / "locale")
        # Secrets are shown to the caller only after this commits, so nothing may fail after it.
        with transaction.atomic():
            seed_tiers()
            catalog.seed_models()
            catalog.seed_prices()
            return _make_first(given) if _is_empty() else None


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            connection.ensure_connection()
        except OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise ImproperlyConfigured(f"DATABASE_URL: the database cannot be opened: {reason}") from error
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        try:
            yield
        finally:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def collect_static() -> None:
    """Hashing and compressing takes seconds, so it is done only when a source file changed."""
    sources = static_sources()
    if not static_stamp().exists() or static_stamp().read_text() != sources:
        call_command("collectstatic", verbosity=0, interactive=False)
        static_stamp().write_text(sources)


def static_stamp() -> Path:
    return Path(f"{settings.STATIC_ROOT}.stamp")


def static_sources() -> str:
    lines = []
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = Path(storage.path(path)).stat()
            lines.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(lines))


def seed_tiers() -> None:
    """Only where there is none, so that a tier that was renamed or deleted does not come back."""
    if not Tier.objects.exists():
        for position, (name, (requests, tokens, concurrent)) in enumerate(TIERS.items()):
            Tier(
                name=name,
                requests_per_minute=requests,
                tokens_per_minute=tokens,
                concurrent_requests=concurrent,
                position=position,
            ).save()


def _is_empty() -> bool:
    return not User.objects.exists() and not Team.objects.exists()


def _make_first(given: Mapping[str, str]) -> Shown:
    tier = _tier_named(given["bootstrap_tier"])
    password = given["admin_password"] or secrets.token_urlsafe(12)
    administrator = _make_administrator(given["admin_email"] or DEFAULT_ADMIN_EMAIL, password)
    team = Team(name="First team", tier=tier)
    teams.create(administrator, team, owned=True)
    key = _make_key(administrator, team, given["bootstrap_key"])
    _, admin_key = AdminKey.objects.create_with_secret(
        given["bootstrap_admin_key"] or None, name="First admin key", created_by=administrator
    )
    audit.record(administrator, "admin_key.create", None, "First admin key")
    _make_provider(administrator, given)
    return Shown(
        administrator.email,
        None if given["admin_password"] else password,
        None if given["bootstrap_key"] else key,
        None if given["bootstrap_admin_key"] else admin_key,
    )


def _tier_named(name: str) -> Tier:
    tier = Tier.objects.filter(name__iexact=name).first()
    if tier is None:
        names = ", ".join(Tier.objects.values_list("name", flat=True))
        raise ImproperlyConfigured(f"MEGADASH_BOOTSTRAP_TIER is {name!r}, but must be one of: {names}.")
    return tier


def _make_administrator(email: str, password: str) -> User:
    try:
        validate_email(email)
    except ValidationError as error:
        raise ImproperlyConfigured(f"MEGADASH_ADMIN_EMAIL is {email!r}, which is no e-mail address.") from error
    administrator = User.objects.create_superuser(email, password)
    audit.record(None, "user.create", None, administrator)
    return administrator


def _make_key(administrator: User, team: Team, given: str) -> str:
    if not given:
        return keys.create(administrator, team, "First key")[1]
    key, secret = ApiKey.objects.create_with_secret(given, team=team, name="First key", created_by=administrator)
    audit.record(administrator, "key.create", team, key)
    return secret


def _make_provider(administrator: User, given: Mapping[str, str]) -> None:
    base_url = given["upstream_base_url"]
    if base_url:
        # OPENAI_API_KEY is not sent here: it was given for OpenAI, not for this host.
        # Whoever sets this machine's environment may name a provider on this machine.
        provider = catalog.add_provider(
            urlsplit(base_url).netloc.rpartition("@")[2], base_url, given["upstream_api_key"], may_be_private=True
        )
    elif given["upstream_api_key"]:
        raise ImproperlyConfigured("UPSTREAM_API_KEY is set, but UPSTREAM_BASE_URL is not: whose key is it?")
    elif given["openai_api_key"]:
        provider = catalog.add_provider("OpenAI", OPENAI, given["openai_api_key"])
    else:
        provider = catalog.add_sandbox(f"http://127.0.0.1:{ports.free_port()}/v1")
    audit.record(administrator, "provider.create", None, provider, base_url=provider.base_url)
