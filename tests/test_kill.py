"""The short form of `python -m bench.kill`: the gateway is killed under load, and the ledger is still right."""

from pathlib import Path

import pytest

from bench import kill


@pytest.mark.timeout(120)
def test_no_answer_is_lost_or_counted_twice_when_the_gateway_is_killed(tmp_path: Path) -> None:
    ordeal = kill.undergo(tmp_path, kills=5, clients=20, seed=1)

    assert len(ordeal.seen.finished) > 100
    assert ordeal.seen.finished_streams > 20
    assert ordeal.lost == set()
    assert ordeal.exported_twice == 0
    assert ordeal.added_twice == 0
