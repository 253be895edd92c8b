"""What several tests share: one running product a worker, in front of a provider that nobody here wrote."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone, translation
from xdist.scheduler import LoadScopeScheduling

from tests.product import Running, running
from tests.upstreams import LLMock, llmock

# Modules whose tests share what takes seconds to start: each group runs in one worker, and the longest begins first.
# The pages that are crawled have a running product for themselves, so that two workers are busy with pages.
TOGETHER = {
    "crawled": ("test_browser_pages", "test_browser"),
    "product": (
        "test_browser_headroom",
        "test_browser_keyboard",
        "test_catalog_browser",
        "test_catalog_running",
        "test_docs_samples",
        "test_explorer_browser",
        "test_keys_browser",
        "test_people_browser",
        "test_playground",
        "test_rotation",
        "test_story",
        "test_translations",
    ),
    "postgresql": ("test_postgresql",),
    "run": ("test_run",),
    "sdks": ("test_sdks",),
    "kill": ("test_kill",),
    "gateway": ("test_gateway",),
    "key limits": ("test_key_limits",),
    "abuse": ("test_http_abuse",),
    "demo": ("test_demo",),
}
# Their products and second runs count no lines: `make coverage` leaves them out.
UNCOUNTED = {"crawled", "postgresql", "run", "sdks", "kill"}
GROUP_OF = {module: group for group, modules in TOGETHER.items() for module in modules}


def pytest_configure() -> None:
    # A slow hash is what passwords need and what a thousand tests do not; running products keep the real one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group, asks_a_product = GROUP_OF.get(item.path.stem), "product" in getattr(item, "fixturenames", ())
        if asks_a_product and group is None:
            raise pytest.UsageError(f"{item.path.name} starts a product of its own unless tests/conftest.py groups it")
        if asks_a_product or group in UNCOUNTED:
            item.add_marker("uncounted")
    begins = list(TOGETHER)
    items.sort(key=lambda item: begins.index(GROUP_OF[item.path.stem]) if item.path.stem in GROUP_OF else len(begins))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return InGroups(config, log)


class InGroups(LoadScopeScheduling):
    """Modules by TOGETHER, other tests one by one. (`--dist loadgroup` of xdist 3.8 does nothing with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return GROUP_OF.get(Path(nodeid.partition("::")[0]).stem, nodeid)


@pytest.fixture(autouse=True)
def words_and_hours_of_nobody() -> None:
    """A page leaves its reader's language and time zone with the thread; a request sets its own, a test does not."""
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMock]:
    with llmock(tmp_path_factory.mktemp("llmock") / "llmock.log") as provider:
        yield provider


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, upstream: LLMock) -> Iterator[Running]:
    """Its first team is on Basic, as Ada's is. Tests that count everything start a product of their own.

    On the database of the tests: so the same story is told on PostgreSQL too.
    """
    kept = {name: value for name, value in os.environ.items() if name == "DATABASE_URL"}
    place = tmp_path_factory.mktemp("product")
    with running(place, upstream.port, MEGADASH_BOOTSTRAP_TIER="Basic", MEGADASH_EMAIL_URL="file:", **kept) as started:
        yield started
