"""Every address of the URL table with every role, on own, other and nested objects. The table is tests/access.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponse
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from accounts.policy import ADMINISTRATOR, ALLOWED, Action
from tests import rows
from tests.access import ALLAUTH, ANYBODY, DJANGO_ADMIN, HOME, OPEN, PLATFORM, REST, SHOWN, TEAM, Page, Rest
from tests.access_world import ANONYMOUS, IN_TEAM, MAKERS, OUTSIDER, READERS, Role, World

pytestmark = pytest.mark.django_db
SIGN_IN = "/accounts/login/"
HUGE = 10**30
TABLES = {"TEAM": TEAM, "PLATFORM": PLATFORM, "ANYBODY": ANYBODY, "OPEN": OPEN}


@dataclass(frozen=True)
class Address:
    """One leaf of the URL table."""

    route: str
    name: str
    arguments: tuple[str, ...]


def walk(resolver: URLResolver, before: str = "", namespace: str = "") -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern, route, namespace + (f"{pattern.namespace}:" if pattern.namespace else ""))
        else:
            assert isinstance(pattern, URLPattern)
            arguments = re.findall(r"<(?:\w+:)?(\w+)>", route)
            yield Address(route, f"{namespace}{pattern.name}" if pattern.name else "", tuple(arguments))


ADDRESSES = list(walk(get_resolver()))
BY_NAME = {address.name: address for address in ADDRESSES}
OF_ADMIN = [address for address in ADDRESSES if address.route.startswith(DJANGO_ADMIN)]
OF_ALLAUTH = [address for address in ADDRESSES if address.name in ALLAUTH]


@pytest.fixture(scope="module", autouse=True)
def _blank_pages() -> Iterator[None]:
    """Views run whole, with all their queries; only the drawing is left out."""
    middleware = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    templates = [{"BACKEND": "tests.access_world.BlankTemplates"}]
    # Thousands of requests by seven sessions: what is undone is still found in the database.
    sessions = "django.contrib.sessions.backends.cached_db"
    with override_settings(TEMPLATES=templates, MIDDLEWARE=middleware, SESSION_ENGINE=sessions):
        cache.clear()
        yield


@pytest.fixture(scope="module")
def both_teams(_blank_pages: None, django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once for all tests of this file, and undone after the last."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World()
        transaction.set_rollback(True)


@pytest.fixture
def world(both_teams: World, db: None) -> World:
    """What a test adds to it is undone with the test."""
    both_teams.forget_objects()
    return both_teams


def ask(world: World, reader: str, method: str, address: str, page: Page | None = None, **headers: str) -> HttpResponse:
    """One look, undone afterwards: a POST may revoke, remove or sign out."""
    client = world.client(reader)
    cookies = client.cookies.copy()
    with transaction.atomic():
        data = dict(page.data) if page and method == "post" else None
        answer: HttpResponse = getattr(client, method)(address, data, headers=headers)
        transaction.set_rollback(True)
    client.cookies = cookies
    return answer


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    ruled = {page.name for pages in TABLES.values() for page in pages} | {rest.name for rest in REST} | {HOME, *ALLAUTH}
    without = [each for each in ADDRESSES if each.name not in ruled and not each.route.startswith(DJANGO_ADMIN)]
    told = "\n".join(_advice(address) for address in without)
    assert not without, f"Nobody said who may open these. Add to tests/access.py (its first lines say how):\n{told}"
    gone = ruled - BY_NAME.keys()
    assert not gone, f"tests/access.py has rows for addresses that are no more: {sorted(gone)}"


def _advice(address: Address) -> str:
    table = {"t/<": "TEAM", "ins": "PLATFORM"}.get(address.route[:3], "ANYBODY or OPEN")
    missing = [name for name in address.arguments if name not in MAKERS]
    also = f" and how to make {missing} to MAKERS in tests/access_world.py" if missing else ""
    return f'  /{address.route}  ->  Page("{address.name or "give it a name first"}", Action....) to {table}{also}'


def test_a_row_is_in_one_table_only() -> None:
    names = [page.name for pages in TABLES.values() for page in pages] + [rest.name for rest in REST] + list(ALLAUTH)
    assert len(names) == len(set(names))


# Pages of a team ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", TEAM, ids=lambda page: page.name)
def test_a_page_of_a_team(page: Page, world: World) -> None:
    """Somebody else's object, one's own, another team's page, and another team's object below one's own team."""
    in_team = _in_team(world, page, world.colleague)
    for reader in IN_TEAM:
        expect(world, page, reader, in_team, page.action)
        allowed = page.action if reader == ADMINISTRATOR else None
        expect(world, page, reader, _of_other_team(world, page, world.other_team), allowed)
        if _objects(page):
            expect(world, page, reader, _in_team(world, page, world.users[reader]), page.own or page.action)
            expect(world, page, reader, _of_other_team(world, page, world.team), None)
    expect(world, page, OUTSIDER, in_team, None)
    if _objects(page):
        nested = _address(page, {"team_id": world.other_team.pk} | _filled(world, page, world.team, world.colleague))
        expect(world, page, OUTSIDER, nested, None)
        expect(world, page, Role.OWNER, _forged(world, page), None)
    expect_sign_in(world, page, in_team)


@pytest.mark.parametrize("page", PLATFORM, ids=lambda page: page.name)
def test_a_page_of_the_platform(page: Page, world: World) -> None:
    address = _address(page, _filled(world, page, world.team, world.users[ADMINISTRATOR]))
    for reader in (OUTSIDER, *IN_TEAM):
        expect(world, page, reader, address, page.action)
    expect_sign_in(world, page, address)
    if _objects(page):
        expect(world, page, ADMINISTRATOR, _address(page, dict.fromkeys(_objects(page), HUGE)), None)


@pytest.mark.parametrize("page", ANYBODY, ids=lambda page: page.name)
def test_a_page_of_everybody_who_is_signed_in(page: Page, world: World) -> None:
    """An object of somebody else is not found, also not by an administrator."""
    for reader in (OUTSIDER, *IN_TEAM):
        own = _filled(world, page, world.team, world.users[reader])
        expect(world, page, reader, _address(page, own), None, everybody=True)
        if own:
            expect(world, page, reader, _address(page, _filled(world, page, world.team, world.colleague)), None)
    expect_sign_in(world, page, _address(page, _filled(world, page, world.team, world.colleague)))


@pytest.mark.parametrize("page", OPEN, ids=lambda page: page.name)
def test_a_page_of_everyone(page: Page, world: World) -> None:
    address = _address(page, _filled(world, page, world.team, world.colleague))
    for reader in READERS:
        expect(world, page, reader, address, None, everybody=True)


def test_home_leads_everyone_to_a_page_of_theirs(world: World) -> None:
    assert ask(world, ANONYMOUS, "get", "/")["location"] == f"{SIGN_IN}?next=/"
    for reader in (OUTSIDER, *IN_TEAM):
        team = world.other_team if reader == OUTSIDER else world.team
        target = "/instance/overview/" if reader == ADMINISTRATOR else f"/t/{team.pk}/overview/"
        assert ask(world, reader, "get", "/")["location"] in (target, f"/t/{team.pk}/overview/")


def expect(
    world: World, page: Page, reader: str, address: str, action: Action | None, *, everybody: bool = False
) -> None:
    """`action` None: nobody may."""
    may = everybody or (action is not None and reader in ALLOWED and action in ALLOWED[reader])
    seen = ask(world, reader, "get", address)
    assert seen.status_code == (page.get if may else 404), f"{reader} GET {address}: {seen.status_code}"
    if page.post is None and reader not in (ADMINISTRATOR, OUTSIDER):
        # A page to look at answers a POST as it answers a GET: two readers, one from outside, show that.
        return
    sent = ask(world, reader, "post", address, page)
    told = f"{reader} POST {address}: {sent.status_code}"
    if not may:
        assert sent.status_code in (404, 405), told
    elif page.post is not None:
        assert sent.status_code == page.post, told
    else:
        assert sent.status_code != 404, told
        assert sent.status_code < 500, told


def expect_sign_in(world: World, page: Page, address: str) -> None:
    """Back to the page afterwards; a part of a page takes the whole page along."""
    seen = ask(world, ANONYMOUS, "get", address)
    assert (seen.status_code, seen["location"].partition("?")[0]) == (302, SIGN_IN), address
    sent = ask(world, ANONYMOUS, "post", address, page)
    assert sent.status_code == 405 or sent["location"].startswith(SIGN_IN), address
    part = ask(world, ANONYMOUS, "get", address, **{"hx-request": "true"})
    assert (part.status_code, part.content) == (204, b""), address
    assert part["hx-redirect"].startswith(SIGN_IN), address


def _objects(page: Page) -> list[str]:
    """The arguments, without the team whose page it is."""
    address = BY_NAME[page.name]
    own_team = {"team_id"} if address.route.startswith("t/") else set()
    return [name for name in address.arguments if name not in own_team | page.fixed.keys()]


def _filled(world: World, page: Page, team: Any, maker: Any) -> dict[str, Any]:
    return {name: world.value(page.kinds.get(name, name), team, maker) for name in _objects(page)}


def _in_team(world: World, page: Page, maker: Any) -> str:
    return _address(page, {"team_id": world.team.pk} | _filled(world, page, world.team, maker))


def _of_other_team(world: World, page: Page, below: Any) -> str:
    return _address(page, {"team_id": below.pk} | _filled(world, page, world.other_team, world.stranger))


def _forged(world: World, page: Page) -> str:
    return _address(page, dict.fromkeys(_objects(page), HUGE) | {"team_id": world.team.pk})


def _address(page: Page, arguments: dict[str, Any]) -> str:
    return reverse(page.name, kwargs={**page.fixed, **arguments}) + page.query


# Programs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", REST, ids=lambda rest: rest.name)
def test_a_rest_address_opens_to_its_keys_and_to_no_session(rest: Rest, world: World) -> None:
    _, ordinary = rows.key(world.team, "ordinary")
    _, revoked = rows.key(world.team, "Mallory's", revoked_at=timezone.now())
    _, admin = rows.admin_key()
    _, revoked_admin = rows.admin_key("revoked", revoked_at=timezone.now())
    for sample in rest.samples:
        assert resolve(sample.partition("?")[0]).url_name == rest.name, f"{sample} is not {rest.name}"
        for reader in READERS:
            _refused(ask(world, reader, "get", sample), 401)
        for secret in (revoked, revoked_admin, "sk-mega-forged", "x"):
            _refused(_with_key(world, sample, secret), 401)
        if rest.any_key:
            assert _with_key(world, sample, ordinary).status_code == 200
        else:
            _refused(_with_key(world, sample, ordinary), 403)
        assert _with_key(world, sample, admin).status_code == 200, sample
        # A session beside a key that opens nothing still opens nothing.
        _refused(ask(world, ADMINISTRATOR, "get", sample, authorization=f"Bearer {revoked}"), 401)


def _with_key(world: World, address: str, secret: str) -> HttpResponse:
    return ask(world, ANONYMOUS, "get", address, authorization=f"Bearer {secret}")


def _refused(answer: HttpResponse, status: int) -> None:
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}  # type: ignore[attr-defined]


# What others wrote --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", OF_ALLAUTH, ids=lambda address: address.name)
def test_an_address_of_allauth_shows_strangers_the_sign_in_and_nobody_an_error(address: Address, world: World) -> None:
    url = reverse(address.name, kwargs=dict.fromkeys(address.arguments, "1"))
    for reader in (ANONYMOUS, OUTSIDER, ADMINISTRATOR):
        for method in ("get", "post"):
            answer = ask(world, reader, method, url)
            assert answer.status_code < 500, f"{reader} {method} {url}"
            if reader == ANONYMOUS and ALLAUTH[address.name] != SHOWN:
                assert answer["location"].startswith(SIGN_IN), url


@pytest.mark.parametrize("address", OF_ADMIN, ids=lambda address: address.route)
def test_an_address_of_djangos_admin_is_a_platform_administrators(address: Address, world: World) -> None:
    url = "/" + re.sub(r"<[^>]+>|\(\?P<\w+>[^)]+\)", "1", address.route).lstrip("^").rstrip("$")
    is_sign_in = address.name in ("admin:login", "admin:logout")
    for reader in (ANONYMOUS, Role.OWNER, ADMINISTRATOR):
        answer = ask(world, reader, "get", url)
        assert answer.status_code < 500, f"{reader} {url}"
        if not is_sign_in and reader != ADMINISTRATOR:
            assert answer.status_code in (302, 404), f"{reader} {url}: {answer.status_code}"
            assert answer.status_code == 404 or "login" in answer["location"], f"{reader} {url}"
