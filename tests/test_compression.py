"""What a browser loads is small; an export streams as it is."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership
from tests import rows
from tests.people import forget_static_files, person

pytestmark = pytest.mark.django_db


def test_a_page_comes_compressed_to_who_takes_that_and_an_export_streams_as_it_is(
    client: Client, settings: Any
) -> None:
    forget_static_files(settings)
    team = rows.team()
    client.force_login(person("ada@example.com", team, Membership.Role.OWNER))
    page = f"/t/{team.pk}/explorer/"
    plain, compressed = client.get(page), client.get(page, headers={"accept-encoding": "gzip"})
    assert not plain.has_header("content-encoding")
    assert compressed["content-encoding"] == "gzip"
    assert "accept-encoding" in compressed["vary"].lower()
    assert b"<h1" in gzip.decompress(compressed.content)
    assert len(compressed.content) < len(plain.content) / 3
    export = client.get(f"/t/{team.pk}/calls/export.csv", headers={"accept-encoding": "gzip"})
    assert export.streaming
    assert not export.has_header("content-encoding")
