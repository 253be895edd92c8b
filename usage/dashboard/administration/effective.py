"""What the environment made of this instance, in words. Never a value that is or may hold a secret."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

import django
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext

from usage.dashboard.formats import wait
from usage.models import KEEP_MINUTES_FOR, KEEP_QUARTERS_FOR

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True)
class Line:
    """`variable` is the environment variable behind it; "" where there is none."""

    label: str
    value: str
    variable: str = ""


def lines() -> list[Line]:
    """No query: the version of the database is not asked."""
    return [
        Line(gettext("Version"), f"MegaDash {_version()}, Django {django.get_version()}"),
        # The name alone: where things lie on the machine is nobody's business here.
        Line(gettext("Data directory"), settings.DATA_DIR.name, "MEGADASH_DATA_DIR"),
        Line(gettext("Database"), DATABASES.get(connection.vendor, connection.vendor), "DATABASE_URL"),
        Line("Valkey", _yes(bool(settings.VALKEY_URL)), "VALKEY_URL"),
        Line(gettext("Gateway workers"), str(settings.GATEWAY_WORKERS), "MEGADASH_GATEWAY_WORKERS"),
        Line(gettext("A record survives"), _survives(), "MEGADASH_DURABILITY"),
        Line(gettext("E-mail goes to"), _mail(), "MEGADASH_EMAIL_URL"),
        Line(gettext("Sign-in by OpenID Connect"), _yes(_has_oidc()), "MEGADASH_OIDC_ISSUER"),
        Line(gettext("Served at"), f"{settings.HOST}:{settings.PORT}", "MEGADASH_HOST, MEGADASH_PORT"),
        Line(gettext("Public URL, unless set here"), settings.PUBLIC_URL or "–", "MEGADASH_PUBLIC_URL"),
        Line(gettext("Hosts answered to"), ", ".join(dict.fromkeys(settings.ALLOWED_HOSTS)), "MEGADASH_ALLOWED_HOSTS"),
        Line(gettext("Proxies in front"), str(settings.TRUSTED_PROXIES), "MEGADASH_TRUSTED_PROXIES"),
        Line(gettext("Calls and day sums are kept"), gettext("for good")),
        Line(gettext("Quarter hours are kept"), wait(KEEP_QUARTERS_FOR.total_seconds())),
        Line(gettext("Minutes are kept"), wait(KEEP_MINUTES_FOR.total_seconds())),
    ]


def _version() -> str:
    """It is run from its checkout, so no installed package would know."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _yes(is_so: bool) -> str:
    return gettext("yes") if is_so else gettext("no")


def _survives() -> str:
    return {
        "process": gettext("a killed process (process)"),
        "power": gettext("a killed process and a power cut (power)"),
    }[settings.DURABILITY]


def _mail() -> str:
    return {
        "console": gettext("the console"),
        "filebased": gettext("files in the data directory"),
        "smtp": gettext("a mail server (SMTP)"),
        "locmem": gettext("memory, for tests"),
    }.get(settings.EMAIL_BACKEND.rsplit(".", 2)[1], gettext("another backend"))


def _has_oidc() -> bool:
    return bool(settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"])
