"""What several tests share: one running product a worker, in front of a provider that nobody here wrote."""

from collections.abc import Iterator

import pytest

from tests.product import Running, running
from tests.upstreams import LLMock, llmock


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMock]:
    with llmock(tmp_path_factory.mktemp("llmock") / "llmock.log") as provider:
        yield provider


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, upstream: LLMock) -> Iterator[Running]:
    """Its first team is on Basic, as Ada's is. Tests that count everything start a product of their own."""
    with running(tmp_path_factory.mktemp("product"), upstream.port, MEGADASH_BOOTSTRAP_TIER="Basic") as started:
        yield started
