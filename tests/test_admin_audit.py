"""The audit log: who did what, in words, found by filters, at a bounded cost."""

import ast
import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from accounts import audit, audit_log, keys, teams
from accounts.audit_log import Wanted
from accounts.models import AuditEntry, Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.dashboard.administration import words
from usage.dashboard.administration.sentences import FAMILIES, SENTENCES

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def root():
    return person("root@example.com", is_staff=True)


@pytest.fixture
def ada():
    return rows.team("Ada's team", time_zone="Asia/Shanghai")


def entry(action: str = "key.create", subject: str = "prod-api", at: datetime = NOON, **fields: object) -> AuditEntry:
    values = {"actor_name": "Ada", "action": action, "subject": subject, "happened_at": at}
    return AuditEntry.objects.create(**values | fields)


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def subjects(client: Client, address: str) -> list[str]:
    return re.findall(r'<bdi class="name" title="[^"]*">([^<]*)</bdi>', client.get(address).content.decode())


def test_a_change_is_told_with_who_what_old_new_and_from_where(root, ada) -> None:
    client = signed_in(root)
    client.post(
        f"/instance/teams/{ada.pk}/change/",
        {"name": "Ada's lab", "tier": ada.tier_id, "reserve_output_tokens": "1000"},
        REMOTE_ADDR="192.0.2.7",
    )
    page = text_of(client, "/instance/audit/")
    assert "Changed the team Ada&#x27;s lab" in page
    assert "name Ada&#x27;s team → became Ada&#x27;s lab" in page
    assert "most output tokens reserved 4,096 → became 1,000" in page
    assert "192.0.2.7" in page


def test_a_subject_is_a_link_while_it_exists(root, ada) -> None:
    key, _ = keys.create(root, ada, "prod-api")
    tier = rows.tier("Gone")
    audit.record(root, "tier.create", None, tier)
    tier.delete()
    page = signed_in(root).get("/instance/audit/").content.decode()
    assert f'<a href="/t/{ada.pk}/keys/{key.pk}/"><bdi class="name" title="prod-api' in page
    assert 'Created the tier <bdi class="name" title="Gone">Gone</bdi>' in page


def test_an_action_nobody_put_into_words_is_shown_as_it_is(root) -> None:
    entry("moon.land", "Eagle", details={"crew": 2, "by": "hand"})
    page = text_of(signed_in(root), "/instance/audit/")
    assert "moon.land Eagle" in page
    assert "crew 2" in page


def test_each_action_in_the_code_has_a_sentence() -> None:
    """An action spelt out in a call of `audit.record`; add its sentence in administration/sentences.py."""
    found = {
        action
        for folder in ("accounts", "usage")
        for path in (ROOT / folder).rglob("*.py")
        for action in _actions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {"key.create", "settings.change", "provider.disable"} <= found
    assert sorted(found - SENTENCES.keys()) == []


def _actions(tree: ast.AST) -> set[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    told = [call.args[1] for call in calls if call.func.attr == "record" and len(call.args) > 3]
    texts = [part.value for argument in told for part in ast.walk(argument) if isinstance(part, ast.Constant)]
    # Not what an f-string only begins or ends with.
    return {text for text in texts if isinstance(text, str) and all(text.partition("."))}


def test_each_sentence_is_in_a_family_of_the_filter() -> None:
    prefixes = {prefix for _, _, of_family in FAMILIES for prefix in of_family}
    assert {action.partition(".")[0] for action in SENTENCES} <= prefixes


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject=PROD", ["prod-api"]),
        ("subject=%25", []),
        ("actor=grace", ["Pro"]),
        ("family=keys", ["batch", "prod-api"]),
        ("family=teams", ["Pro"]),
        ("from=2026-11-20&to=2026-11-20", ["batch", "prod-api"]),
        ("to=2026-11-19", ["Pro"]),
        ("team=ada", ["prod-api"]),
        ("family=keys&subject=batch&actor=Ada", ["batch"]),
        ("family=nonsense&from=yesterday&to=0001-01-01&before=x&subject=%00", ["batch", "prod-api", "Pro"]),
    ],
)
def test_filters_in_the_address_narrow_the_log(root, ada, query: str, found: list[str]) -> None:
    entry("tier.create", "Pro", NOON - timedelta(days=1), actor_name="Grace")
    entry(team=ada)
    entry("key.revoke", "batch")
    assert subjects(signed_in(root), f"/instance/audit/?{query}") == found


def test_older_entries_are_a_page_further_and_none_is_lost_or_shown_twice(root) -> None:
    made = [str(entry("tier.move", f"tier {number}").pk) for number in range(120)]
    client, address, seen = signed_in(root), "/instance/audit/?family=teams", []
    while address:
        page = client.get(address).content.decode()
        seen += re.findall(r"tier (\d+)</bdi>", page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [str(number) for number in reversed(range(len(made)))]


def test_a_search_that_finds_little_stops_and_offers_to_go_on(root, monkeypatch) -> None:
    entry(subject="needle")
    for _ in range(30):
        entry(subject="hay")
    monkeypatch.setattr(audit_log, "A_SEARCH", 20)
    client = signed_in(root)
    page = client.get("/instance/audit/?subject=needle").content.decode()
    assert "needle</bdi>" not in page
    assert "Searched back to 20 Nov 2026" in page
    further = re.search(r'rel="next" href="([^"]+)"', page)
    assert further
    assert subjects(client, further[1].replace("&amp;", "&")) == ["needle"]
    # An export goes on by itself.
    exported = b"".join(client.get("/instance/audit/export.csv?subject=needle").streaming_content).decode()
    assert exported.count("needle") == 2


def test_the_log_is_a_fixed_number_of_queries(root, ada, django_assert_num_queries) -> None:
    client = signed_in(root)
    keys.create(root, ada, "prod-api")
    client.get("/instance/audit/")
    with django_assert_num_queries(5):
        client.get("/instance/audit/")
    with django_assert_num_queries(6):
        client.get("/instance/audit/?subject=prod&family=keys&actor=root&from=2026-01-01")


def test_a_teams_admin_sees_their_teams_log_in_its_time_zone_and_nothing_else(ada) -> None:
    entry("settings.change", "MegaDash")
    entry(team=rows.team("Grace's team"), subject="grace's key")
    entry(team=ada, subject="ada's key", at=datetime(2026, 11, 20, 20, tzinfo=UTC))
    admin = signed_in(person("alan@example.com", ada, Membership.Role.ADMIN))
    page = text_of(admin, f"/t/{ada.pk}/audit/")
    assert "21 Nov 2026 04:00:00" in page
    assert "times in Asia/Shanghai" in page
    assert "ada&#x27;s key" in page
    assert "grace" not in page
    assert "Changed the settings" not in page
    assert subjects(admin, f"/t/{ada.pk}/audit/?to=2026-11-20") == []
    assert subjects(admin, f"/t/{ada.pk}/audit/?from=2026-11-21&team=Grace") == ["ada&#x27;s key"]


def test_the_export_streams_the_filtered_log_and_no_formula(root, ada) -> None:
    entry("key.create", "=cmd|' /C calc'!A0", team=ada, ip_address="192.0.2.7", details={"tag": "+1"})
    entry("tier.create", "Pro")
    answer = signed_in(root).get("/instance/audit/export.csv?family=keys")
    assert answer.streaming
    assert answer["content-disposition"].startswith('attachment; filename="audit-instance-')
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [line["action"] for line in lines] == ["key.create"]
    line = lines[0]
    assert line["subject"].startswith("'=cmd")
    assert line["what"] == "Created the key =cmd|' /C calc'!A0"
    assert (line["team"], line["ip_address"], line["details"]) == ("Ada's team", "192.0.2.7", "tag: +1")
    assert line["happened_at"] == "2026-11-20T12:00:00+00:00"


def test_the_trail_says_nothing_of_a_change_that_changed_nothing(root, ada) -> None:
    teams.change(root, ada, name=ada.name, tier=ada.tier)
    assert not AuditEntry.objects.exists()


def test_details_are_told_in_words() -> None:
    told = words.details_of(
        AuditEntry(
            action="settings.change",
            details={
                "allow_unpriced_models": [True, False],
                "private_networks": [[], ["10.0.0.0/8"]],
                "default_tier": [None, "Pro"],
                "two_factor": ["nobody", "everyone"],
            },
        )
    )
    assert [(detail.old, detail.new) for detail in told] == [
        ("yes", "no"), ("none", "10.0.0.0/8"), ("none", "Pro"), ("nobody has to", "everyone"),
    ]  # fmt: skip
    role = words.details_of(AuditEntry(action="member.role", details={"old": "member", "new": "admin"}))
    assert [(detail.label, detail.old, detail.new) for detail in role] == [("role", "member", "admin")]


def test_a_page_of_a_wide_question_reads_no_more_than_a_search() -> None:
    for number in range(audit_log.A_PAGE + 5):
        entry(subject=f"key {number}")
    page = audit_log.page(Wanted())
    assert len(page.entries) == audit_log.A_PAGE
    rest = audit_log.page(Wanted(), page.older_than)
    assert (len(rest.entries), rest.older_than) == (5, None)
    assert audit_log.page(Wanted(since=timezone.now())).entries == []
