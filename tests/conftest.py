"""What several tests share: one running product a worker, in front of a provider that nobody here wrote."""

import os
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.product import Running, running
from tests.upstreams import LLMock, llmock


def pytest_configure() -> None:
    # A slow hash is what passwords need and what a thousand tests do not; running products keep the real one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


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
