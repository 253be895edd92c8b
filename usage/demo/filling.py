"""Puts the demo into an empty data directory: people, teams, keys, a price change and the calls."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from django.core.management import call_command
from django.db import transaction

from accounts.models import AdminKey, AuditEntry, Membership, Team, Tier, User
from usage import catalog, first_start, ledger, ports, price_acts
from usage.demo import keys
from usage.demo.calls import DAYS, calls
from usage.demo.cast import GROUPS, Group
from usage.models import UsageEvent

MARKER = "demo"
ADMIN_EMAIL = "admin@example.com"
ROWS_A_TRANSACTION = 5_000
# A price that was negotiated halfway, so that charts have a change to mark.
CHANGED_MODEL, CHANGED_DAYS_AGO, CHANGED_TO = "gpt-5.4-mini", 38, Decimal("0.8")


class NotForDemo(Exception):
    """The data directory holds real data."""


class Filled(NamedTuple):
    """What to show: one password for everybody, the key of Ada's notebooks, an admin key. Kept in the marker."""

    admin_email: str
    password: str
    key: str
    admin_key: str
    seed: int
    filled_at: str
    days: int
    is_complete: bool = False


def fill(data_dir: Path, seed: int, now: datetime, days: int = DAYS) -> tuple[Filled, int]:
    """How many calls were written; 0 when the demo was there already. Raises NotForDemo.

    A fill that was broken off is taken up again: the calls of one seed and moment are always the same.
    """
    call_command("migrate", verbosity=0, interactive=False)
    marker = data_dir / MARKER
    if marker.exists():
        filled = Filled(**json.loads(marker.read_text()))
    elif User.objects.exists() or Team.objects.exists() or UsageEvent.objects.exists():
        raise NotForDemo(f"{data_dir} holds real data. Set MEGADASH_DATA_DIR to a directory of the demo's own.")
    else:
        with transaction.atomic():
            filled = _people_the_instance(
                Filled(ADMIN_EMAIL, secrets.token_urlsafe(12), "", "", seed, now.isoformat(), days)
            )
            # Written before the commit: rows without a marker would be taken for real ones.
            _write(marker, filled)
    if filled.is_complete:
        return filled, 0
    written = _record(filled)
    _write(marker, filled._replace(is_complete=True))
    return filled, written


def _people_the_instance(planned: Filled) -> Filled:
    now = datetime.fromisoformat(planned.filled_at)
    first_start.seed_tiers()
    catalog.seed_models()
    catalog.seed_prices()
    catalog.add_sandbox(f"http://127.0.0.1:{ports.free_port()}/v1")
    _change_a_price(now)
    administrator = User.objects.create_superuser(planned.admin_email, planned.password, name="Administrator")
    secrets_of_teams = [_add_team(group, planned.password, now, planned.days) for group in GROUPS]
    _, admin_key = AdminKey.objects.create_with_secret(name="finance", created_by=administrator)
    _put_audit_in_order()
    return planned._replace(key=secrets_of_teams[0], admin_key=admin_key)


def _put_audit_in_order() -> None:
    """The log is read in the order it was written, and the demo writes its past team by team."""
    entries = sorted(AuditEntry.objects.all(), key=lambda entry: entry.happened_at)
    AuditEntry.objects.all().delete()
    for entry in entries:
        entry.pk = None
    AuditEntry.objects.bulk_create(entries)


def _add_team(group: Group, password: str, now: datetime, days: int) -> str:
    """The secret of its first key."""
    founded_at = now - timedelta(days=days + 1)
    tier = Tier.objects.get(name=group.tier)
    team = Team(name=group.name, tier=tier, time_zone=group.time_zone, created_at=founded_at)
    team.save()
    users = []
    for name, email, role in group.people:
        users.append(User.objects.create_user(email, password, name=name, date_joined=founded_at))
        Membership.objects.create(user=users[-1], team=team, role=role, created_at=founded_at)
    made = [keys.add(team, caller, users, days, now) for caller in group.callers]
    return made[0]


def _change_a_price(now: datetime) -> None:
    """The list price, times CHANGED_TO, from a midnight on."""
    changed_at = (now - timedelta(days=CHANGED_DAYS_AGO)).replace(hour=0, minute=0, second=0, microsecond=0)
    listed = catalog.price_versions().find("openai", CHANGED_MODEL, "", changed_at)
    assert listed is not None, f"{CHANGED_MODEL} has a list price"
    prices = {
        name: [(above, usd_per_million * CHANGED_TO) for above, usd_per_million in steps]
        for name, steps in listed[1].prices.items()
    }
    priced = price_acts.Priced("openai", CHANGED_MODEL)
    # As if it had been set then: a price is never set for the past.
    price_acts.set_price(None, priced, prices, changed_at, "negotiated (demo)", changed_at - price_acts.KNOWN_AFTER)


def _record(filled: Filled) -> int:
    made = calls(filled.seed, datetime.fromisoformat(filled.filled_at), keys.ids(), filled.days)
    prices = catalog.price_versions()
    written = 0
    while some := list(islice(made, ROWS_A_TRANSACTION)):
        written += ledger.record(some, prices)
    return written


def _write(marker: Path, filled: Filled) -> None:
    """Readable by its owner only: it holds the demo's secrets, to be shown again."""
    descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(filled._asdict(), file)
