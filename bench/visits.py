"""Every page of the dashboard, opened again and again in a warm process; imported once Django is set up."""

import json
import logging
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

import time_machine
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import translation

from accounts.models import AdminKey, ApiKey, AuditEntry, Membership, Team, Tier, User
from bench import figures
from bench.calm import Machine
from megadash import collector
from usage import first_start, translations
from usage.dashboard import urls
from usage.models import Model, PriceVersion, Provider, Route, SavedView, UsageEvent

WARM_UP = 2
A_PAGE_MS, EXPLORER_MS = 100, 200
# Not pages: exports, which stream, and what only answers a POST or a one-time secret.
NOT_PAGES = ("price-withdraw", "-csv", "set_language", "join", "account-email-confirm", "-made", "home")
# What an address cannot do without.
QUERIES = {
    "price-history": "?book=openai&model=gpt-5-mini",
    "price-set": "?book=openai&model=gpt-5-mini",
    "calls-live": "?newest=req_0190a1b2c3d47e5f8899aabbccddeeff",
    "instance-calls-live": "?newest=req_0190a1b2c3d47e5f8899aabbccddeeff",
}
# Pages under a harder question than their own: name of the address -> (what it is, query).
HARDER: dict[str, list[tuple[str, str]]] = {
    "overview": [("90 days", "?range=90d"), ("24 hours", "?range=24h")],
    "instance-overview": [("90 days", "?range=90d"), ("24 hours", "?range=24h")],
    "explorer": [
        ("a year by month", "?range=12m"),
        ("a year by day", "?range=12m&grain=day"),
        ("a year by week, key x model", "?range=12m&grain=week&group=key&then=model"),
        ("a year by day, key", "?range=12m&grain=day&group=key"),
        ("a year by day, member, tag search", "?range=12m&grain=day&group=member&tag=search"),
        ("a year by week, p95 by model", "?range=12m&grain=week&metric=latency_p95"),
        ("a year by day, p95 by model", "?range=12m&grain=day&metric=latency_p95"),
        ("a year by month, p95 by key", "?range=12m&metric=latency_p95&group=key"),
        ("a year by day, p95 by key", "?range=12m&grain=day&metric=latency_p95&group=key"),
        ("a week by hour, key", "?range=7d&grain=hour&group=key"),
    ],
    "calls": [
        ("a model and a status", "?model=gpt-5&status=503"),
        ("nothing matches", "?user=nobody-there"),
        ("failed, a week", "?outcome=upstream_error&range=7d"),
        ("dearer than a dollar", "?cost_from=1"),
    ],
}
HARDER["instance-explorer"] = [*HARDER["explorer"], ("a year by day, team x key", "?range=12m&group=team&then=key")]
HARDER["instance-calls"] = HARDER["calls"]
HARDER["explorer-why"] = HARDER["instance-explorer-why"] = [("a year", "?range=12m")]


class Visit(NamedTuple):
    name: str
    path: str
    at_most_ms: float
    as_administrator: bool


def visit_all(database: str, now: str, requests: int, only: str) -> None:
    """Prints the figures as JSON. Time goes on from `now`, when the data was made: "today" has calls."""
    logging.disable(logging.WARNING)
    settings.ALLOWED_HOSTS = ["testserver"]
    first_start.collect_static()
    translations.compile_all(settings.BASE_DIR / "locale", settings.DATA_DIR / "locale")
    with time_machine.travel(datetime.fromisoformat(now), tick=True), translation.override("en"):
        clients = {
            True: _signed_in(User.objects.get(email="admin@example.com")),
            False: _signed_in(User.objects.get(email="owner0@example.com")),
        }
        collector.keep_what_is_loaded()
        machine = Machine()
        found = [
            asdict(figure)
            for visit in _visits()
            if only in visit.name
            for figure in _figures(database, visit, clients[visit.as_administrator], machine, requests)
        ]
    print(json.dumps(found))


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _figures(database: str, visit: Visit, client: Client, machine: Machine, requests: int) -> Iterator[figures.Figure]:
    try:
        answer = client.get(visit.path)
    except Exception as error:  # noqa: BLE001 - a broken page is a figure too; the others are still measured
        print(f"{database} {visit.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        yield figures.Figure(f"{database}: {visit.name} answers", 0, "", exactly=1)
        return
    if answer.status_code in (302, 405):
        return
    if answer.status_code != 200:
        yield figures.Figure(f"{database}: {visit.name} answers with", answer.status_code, "", exactly=200)
        return
    for _ in range(WARM_UP):
        client.get(visit.path)
    taken = machine.take(lambda: client.get(visit.path), requests)
    p95, median = figures.percentile(taken.calm_ms, 0.95), statistics.median(taken.calm_ms)
    size_kb = 0 if answer.streaming else len(answer.content) / 1000
    told = (
        f"{median:7.1f} median {p95:7.1f} p95; {figures.percentile(taken.all_ms, 0.95):7.1f} p95 ms "
        f"of all {len(taken.all_ms):>3} {size_kb:6.0f} KB"
    )
    print(f"{database} {visit.name:<60} {told}", file=sys.stderr, flush=True)
    yield figures.Figure(f"{database}: {visit.name}", round(p95, 1), "ms p95", at_most=visit.at_most_ms)


# Which pages there are ----------------------------------------------------------------------------------------------


def _visits() -> Iterator[Visit]:
    """Every address of the dashboard that a GET can open, and the harder questions of some."""
    objects = _objects()
    for name, parameters, defaults in _named(urls.urlpatterns):
        if any(part in name for part in NOT_PAGES):
            continue
        try:
            arguments = {
                parameter: objects.get(f"{name.partition('-')[0]} {parameter}", objects.get(parameter, _nothing))()
                for parameter in parameters
                if parameter not in defaults
            }
        except LookupError:
            print(f"{name}: nothing to open here, not measured", file=sys.stderr)
            continue
        path = reverse(name, kwargs=arguments | defaults)
        for_instance = path.startswith("/instance/")
        at_most = EXPLORER_MS if "explorer" in name else A_PAGE_MS
        yield Visit(name, path + QUERIES.get(name, ""), at_most, for_instance)
        for title, query in HARDER.get(name, ()):
            yield Visit(f"{name}: {title}", path + query, at_most, for_instance)


def _named(patterns: list[Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...], dict[str, Any]]]:
    for pattern in patterns:
        parameters = (*above, *pattern.pattern.converters)
        if isinstance(pattern, URLResolver):
            yield from _named(pattern.url_patterns, parameters)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name, parameters, dict(pattern.default_args)


def _nothing() -> object:
    raise LookupError


def _objects() -> dict[str, Callable[[], object]]:
    """What fills an address: the largest team, its busiest key, the newest call."""
    team = Team.objects.order_by("pk").first()
    assert team is not None
    owner = User.objects.get(email="owner0@example.com")
    route = Route.objects.order_by("pk").first()
    call = UsageEvent.objects.filter(team=team).order_by("-id").first()
    administrator = User.objects.get(email="admin@example.com")
    views = [
        SavedView.objects.get_or_create(team=of_team, created_by=maker, name="A year")[0]
        for of_team, maker in ((team, owner), (None, administrator))
    ]
    return {
        "team_id": lambda: team.pk,
        "key_id": lambda: ApiKey.objects.filter(team=team).order_by("pk")[0].pk,
        "request_id": lambda: call.request_id if call else None,
        "tier_id": lambda: Tier.objects.order_by("pk")[0].pk,
        "provider_id": lambda: Provider.objects.order_by("pk")[0].pk,
        "model_id": lambda: route.model_id if route else Model.objects.order_by("pk")[0].pk,
        "route_id": lambda: route.pk if route else 0,
        "version_id": lambda: PriceVersion.objects.order_by("-pk")[0].pk,
        "membership_id": lambda: Membership.objects.filter(team=team).order_by("-pk")[0].pk,
        "admin_key_id": lambda: AdminKey.objects.order_by("pk")[0].pk,
        "entry_id": lambda: AuditEntry.objects.order_by("-pk")[0].pk,
        "view_id": lambda: views[0].pk,
        "instance view_id": lambda: views[1].pk,
        "dimension": lambda: "key",
    }
