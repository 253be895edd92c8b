"""Puts the invented calls into the database that Django is set up with: events by bulk insert, buckets as the ledger
would have summed them. Minutes for ten million, on SQLite and on PostgreSQL."""

import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import add
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AdminKey, ApiKey, AuditEntry, Membership, Team, Tier, User
from bench.invented import (
    DAYS,
    KEYS,
    MODELS,
    MODELS_A_KEY,
    SLOT_US,
    SLOTS_A_DAY,
    TAGS,
    TAIL_COLUMNS,
    TEAMS,
    Day,
    Inventor,
    Key,
    Sample,
    copy_text,
    id_text,
    midnight,
)
from usage import catalog, first_start, ledger
from usage.models import (
    ANY,
    KEEP_MINUTES_FOR,
    KEEP_QUARTERS_FOR,
    WHOLE_INSTANCE,
    DayKeyBucket,
    DayModelBucket,
    LatencyBucket,
    LatencyKeyBucket,
    MinuteBucket,
    MonthKeyBucket,
    Price,
    PriceVersion,
    QuarterBucket,
    QuarterModelBucket,
    UsageAttempt,
    UsageEvent,
)

SEED = 7
CHANGED_MODEL, CHANGED_DAYS_AGO, CHANGED_TO = "gpt-5-mini", 38, Decimal("0.8")
COLUMNS = ("id", "started_at", *TAIL_COLUMNS)
Tables = dict[Any, dict[tuple[Any, ...], list[int]]]


def fill_from_command(events: int) -> None:
    """In a process of its own. The last line that it prints says when "now" was, for the marker."""
    now = timezone.now()
    fill(events, now)
    if wrong := disagreements():
        raise SystemExit("\n".join(wrong))
    print(json.dumps({"now": now.isoformat(), "events": events}))


def fill(events: int, now: datetime) -> None:
    """Into an empty database. Prints how far it is."""
    call_command("migrate", verbosity=0, interactive=False)
    with transaction.atomic():
        keys = _people()
        _change_a_price(now)
        _audit(now)
    began = time.monotonic()
    inventor = Inventor(SEED, keys, catalog.price_versions(), events, now)
    indexes = UsageEvent._meta.indexes
    _fast(True)
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.remove_index(UsageEvent, index)
    for place, day in enumerate(inventor.days()):
        with transaction.atomic():
            _write(day, inventor, now)
        if place % 40 == 0:
            print(f"  day {place} of {DAYS}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    with connection.schema_editor() as editor:
        for index in indexes:
            editor.add_index(UsageEvent, index)
    _fast(False)
    ApiKey.objects.update(last_used_at=now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    print(f"  filled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def _people() -> list[Key]:
    first_start.seed_tiers()
    catalog.seed_models()
    catalog.seed_prices()
    catalog.add_provider("OpenAI", "http://127.0.0.1:9/v1", "sk-nobody", may_be_private=True)
    administrator = User.objects.create_superuser("admin@example.com", name="Administrator")
    AdminKey.objects.create_with_secret(name="finance", created_by=administrator)
    chosen, keys, number = random.Random(SEED), [], 0
    for team_number, group in enumerate(TEAMS):
        team = Team.objects.create(name=group.name, tier=Tier.objects.get(name=group.tier), time_zone=group.zone)
        owner = User.objects.create_user(f"owner{team_number}@example.com", name=f"{group.name}, owner")
        Membership.objects.create(user=owner, team=team, role=Membership.Role.OWNER)
        people = [owner]
        for place in range(4 if team_number == 0 else 0):
            people.append(User.objects.create_user(f"member{place}@example.com", name=f"Member {place}"))
            Membership.objects.create(user=people[-1], team=team)
        weights = [1 / (place + 2) for place in range(group.keys)]
        for place in range(group.keys):
            key, _ = ApiKey.objects.create_with_secret(
                team=team,
                name=f"service {place + 1}",
                created_by=people[place % len(people)],
                tag=TAGS[place % len(TAGS)],
            )
            share = group.share * weights[place] / sum(weights)
            keys.append(Key(team.pk, key.pk, share, _mix(number, chosen)))
            number += 1
    assert number == KEYS
    return keys


def _mix(number: int, chosen: random.Random) -> tuple[tuple[str, float, float], ...]:
    names = list(MODELS)
    mine = [names[(number + step * step) % len(names)] for step in range(MODELS_A_KEY)]
    return tuple((name, chosen.uniform(0.1, 1), chosen.uniform(0.1, 1)) for name in dict.fromkeys(mine))


def _change_a_price(now: datetime) -> None:
    changed_at = (now - timedelta(days=CHANGED_DAYS_AGO)).replace(hour=0, minute=0, second=0, microsecond=0)
    listed = catalog.price_versions().find("openai", CHANGED_MODEL, "", changed_at)
    assert listed is not None
    version = PriceVersion.objects.create(
        price_book="openai", model=CHANGED_MODEL, valid_from=changed_at, source="negotiated"
    )
    Price.objects.bulk_create(
        Price(version=version, token_class=name, above_input_tokens=above, usd_per_million=usd * CHANGED_TO)
        for name, steps in listed[1].prices.items()
        for above, usd in steps
    )


def _audit(now: datetime) -> None:
    teams = list(Team.objects.all())
    actions = ("key.create", "key.revoke", "team.tier", "tier.edit", "member.invite")
    AuditEntry.objects.bulk_create(
        AuditEntry(
            happened_at=now - timedelta(hours=7 * place),
            actor_name="owner0@example.com",
            action=actions[place % len(actions)],
            team=teams[place % len(teams)],
            subject=f"subject {place}",
        )
        for place in range(1000, 0, -1)
    )


# One day ------------------------------------------------------------------------------------------------------------


def _write(day: Day, inventor: Inventor, now: datetime) -> None:
    chosen = random.Random(day.number)
    ids = [id_text(at_us, number, chosen) for number, (at_us, _) in enumerate(day.calls)]
    _insert_events(day, ids)
    _insert_attempts(day, ids)
    for model, rows in _buckets(day, inventor, now).items():
        ledger.upsert(model, rows)


def _insert_events(day: Day, ids: list[str]) -> None:
    date = f"{midnight(day.number):%Y-%m-%d}"
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    table = UsageEvent._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for start in range(0, len(ids), 2_000):
                    copy.write("".join(_lines(day.calls[start : start + 2_000], ids[start : start + 2_000], date)))
        else:
            marks = ", ".join("?" * len(COLUMNS))
            rows = (
                (id_, _moment(date, at_us), *sample.tail) for id_, (at_us, sample) in zip(ids, day.calls, strict=True)
            )
            connection.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


def _lines(calls: list[tuple[int, Sample]], ids: list[str], date: str) -> Iterator[str]:
    for id_, (at_us, sample) in zip(ids, calls, strict=True):
        yield f"{id_}\t{_moment(date, at_us)}+00\t{sample.line}\n"


CLOCK = tuple(f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400))


def _moment(date: str, at_us: int) -> str:
    seconds, us = divmod(at_us, 1_000_000)
    return f"{date} {CLOCK[seconds % 86_400]}.{us:06d}"


def _insert_attempts(day: Day, ids: list[str]) -> None:
    table, columns = UsageAttempt._meta.db_table, ledger.ATTEMPT_COLUMNS
    place = columns.index("event_id")
    rows = [
        (*row[:place], id_, *row[place + 1 :])
        for id_, (_, sample) in zip(ids, day.calls, strict=True)
        for row in sample.attempts
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write("\t".join(copy_text(value) for value in row) + "\n")
        else:
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(columns))})", rows)


def _buckets(day: Day, inventor: Inventor, now: datetime) -> Tables:
    quarters: dict[tuple[int, int], list[int]] = {}
    timings: defaultdict[tuple[int, tuple[int, int | None, int | None]], int] = defaultdict(int)
    for at_us, sample in day.calls:
        slot = at_us // SLOT_US
        known = quarters.get((slot, sample.place))
        quarters[slot, sample.place] = sample.measures if known is None else list(map(add, known, sample.measures))
        timings[slot, sample.timing] += 1
    tables: Tables = {
        model: {} for model in (DayKeyBucket, DayModelBucket, MonthKeyBucket, QuarterBucket, QuarterModelBucket)
    }
    tables |= {LatencyBucket: defaultdict(ledger.no_bins), LatencyKeyBucket: defaultdict(ledger.no_bins)}
    tables[MinuteBucket] = {}
    local = _Calendar(day.number)
    oldest = int((now - KEEP_QUARTERS_FOR).timestamp()) // 900
    for (slot, number), measures in quarters.items():
        place = inventor.places[number]
        _add_days(tables, local, slot, place, measures)
        if slot >= oldest:
            tables[QuarterBucket][(slot, *place)] = measures
            for team in (place[0], WHOLE_INSTANCE):
                ledger._add(tables[QuarterModelBucket], (team, slot, *place[2:4]), measures)
    for (slot, (number, *bins)), calls in timings.items():
        _add_bins(tables, local, slot, inventor.places[number], bins, calls)
    _add_minutes(tables[MinuteBucket], day, inventor, now)
    return tables


def _add_days(tables: Tables, local: "_Calendar", slot: int, place: Any, measures: list[int]) -> None:
    team_id, key_id, model, provider, _ = place
    for zone, day, month in local.days(team_id, slot):
        ledger._add(tables[DayKeyBucket], (zone, team_id, key_id, day, model, provider), measures)
        ledger._add(tables[MonthKeyBucket], (zone, month, team_id, key_id, model, provider), measures)
        for team in (team_id, WHOLE_INSTANCE) if zone == "UTC" else (team_id,):
            ledger._add(tables[DayModelBucket], (zone, team, day, model, provider), measures)


def _add_bins(tables: Tables, local: "_Calendar", slot: int, place: Any, bins: list[int | None], calls: int) -> None:
    team_id, key_id, model, provider, _ = place
    for kind, at in zip(("latency", "ttft"), bins, strict=True):
        if at is None:
            continue
        for zone, day, _ in local.days(team_id, slot):
            tables[LatencyKeyBucket][zone, team_id, kind, key_id, day][at] += calls
            for team in (team_id, WHOLE_INSTANCE) if zone == "UTC" else (team_id,):
                tables[LatencyBucket][zone, team, kind, model, day, provider][at] += calls
                tables[LatencyBucket][zone, team, kind, ANY, day, ANY][at] += calls


def _add_minutes(minutes: dict[tuple[Any, ...], list[int]], day: Day, inventor: Inventor, now: datetime) -> None:
    oldest_us = int((now - KEEP_MINUTES_FOR).timestamp()) * 1_000_000
    for at_us, sample in day.calls:
        if at_us >= oldest_us:
            team_id, key_id, *_ = inventor.places[sample.place]
            ledger._add(minutes, (at_us // 60_000_000, team_id, key_id), sample.minute)


class _Calendar:
    """Which local days and months the quarter hours of one UTC day belong to."""

    def __init__(self, day: int) -> None:
        self.first = day * SLOTS_A_DAY
        self.zones = {team.pk: team.time_zone for team in Team.objects.all()}
        self.known = {
            zone: [
                ledger.local_day(datetime.fromtimestamp((self.first + slot) * 900, UTC), zone)
                for slot in range(SLOTS_A_DAY)
            ]
            for zone in {*self.zones.values(), "UTC"}
        }

    def days(self, team_id: int, slot: int) -> Iterator[tuple[str, int, int]]:
        yield ("UTC", *self.known["UTC"][slot - self.first])
        zone = self.zones[team_id]
        if zone != "UTC":
            yield (zone, *self.known[zone][slot - self.first])


def _fast(on: bool) -> None:
    """SQLite without its journal while it is filled: nothing is lost that cannot be made again."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA synchronous={'OFF' if on else 'FULL'}")
            cursor.execute(f"PRAGMA journal_mode={'MEMORY' if on else 'TRUNCATE'}")
            cursor.execute(f"PRAGMA cache_size={-400_000 if on else -2_000}")


def disagreements() -> list[str]:
    """Events against every bucket table: calls and cost have to be the same. Empty is good."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), SUM(cost_nano_usd), SUM(input_tokens) FROM {UsageEvent._meta.db_table}")
        wanted = tuple(int(value) for value in cursor.fetchone())
        found = {}
        calls = "SUM(ok_calls + client_abort_calls + upstream_error_calls + interrupted_calls + refused_calls)"
        for model, where in (
            (DayKeyBucket, "zone = 'UTC'"), (DayModelBucket, "zone = 'UTC' AND team_id > 0"),
            (DayModelBucket, "team_id = 0"), (MonthKeyBucket, "zone = 'UTC'"),
        ):  # fmt: skip
            cursor.execute(
                f"SELECT {calls}, SUM(cost_nano_usd), SUM(input_tokens) FROM {model._meta.db_table} WHERE {where}"
            )
            found[f"{model.__name__} where {where}"] = tuple(int(value) for value in cursor.fetchone())
    return [f"{name}: {sums} instead of {wanted}" for name, sums in found.items() if sums != wanted]
