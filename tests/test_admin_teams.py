"""Teams and tiers, as administrators of the platform keep them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts import secrets
from accounts.models import AuditEntry, Change, InstanceSettings, Invitation, Membership, Team, Tier
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.reports.teams import SoFar, so_far

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def root():
    return person("root@example.com", is_staff=True)


@pytest.fixture
def client(root):
    return signed_in(root)


@pytest.fixture
def ada():
    return rows.team("Ada's team")


def shown(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def names(page: str) -> list[str]:
    return re.findall(r'<a href="/instance/teams/\d+/"[^>]*><bdi class="name">([^<]*)<', page)


def sent_to(client, address: str, **fields: str) -> dict[str, str]:
    ticket = re.search(r'name="ticket" value="([^"]+)"', shown(client, address))
    assert ticket
    return {"ticket": ticket[1], **fields}


# The list -----------------------------------------------------------------------------------------------------------


def test_the_list_tells_members_keys_spend_and_calls_in_as_many_queries_for_one_team_as_for_many(
    client, ada, django_assert_num_queries
) -> None:
    now = timezone.now()
    key, _ = rows.key(ada)
    rows.key(ada, "gone", revoked_at=now)
    person("ada@example.com", ada)
    rows.event(key, now)
    shown(client, "/instance/teams/")
    with django_assert_num_queries(9):
        page = shown(client, "/instance/teams/")
    row = re.search(r"<tbody>.*?</tr>", page, re.DOTALL)
    assert row
    numbers = re.findall(r'<td class="n[^"]*">(?:<[^>]*>)*([^<]*)<', row[0])
    assert [number.strip() for number in numbers] == ["1", "1", "1", "$0.0042", "Open"]
    for count in range(60):
        rows.team(f"Team {count:02}")
    with django_assert_num_queries(9):
        page = shown(client, "/instance/teams/")
    assert len(names(page)) == 50
    assert len(names(shown(client, "/instance/teams/?page=2"))) == 11


def test_the_list_is_searched_ordered_and_narrowed_by_its_address(client, ada) -> None:
    grace, archived = rows.team("Grace's team", "Pro"), rows.team("Old", archived_at=timezone.now())
    rows.event(rows.key(grace)[0], timezone.now())
    person("member@grace.example", grace)
    assert names(shown(client, "/instance/teams/")) == ["Ada&#x27;s team", "Grace&#x27;s team"]
    assert names(shown(client, "/instance/teams/?sort=spend")) == ["Grace&#x27;s team", "Ada&#x27;s team"]
    assert names(shown(client, "/instance/teams/?q=GRACE")) == ["Grace&#x27;s team"]
    assert names(shown(client, "/instance/teams/?q=member@grace.example")) == ["Grace&#x27;s team"]
    assert names(shown(client, f"/instance/teams/?tier={grace.tier_id}")) == ["Grace&#x27;s team"]
    assert names(shown(client, "/instance/teams/?state=archived")) == [archived.name]
    assert "No team fits" in shown(client, "/instance/teams/?q=nobody")


@pytest.mark.parametrize(
    "query", ["page=-1", "page=999999999999999999999", "tier=x", "tier=9999999999999999999", "sort=;drop", "q=%00%25_"]
)
def test_a_hostile_address_of_the_list_falls_back(client, ada, query: str) -> None:
    shown(client, f"/instance/teams/?{query}")


def test_a_month_and_a_day_are_the_teams_own(ada) -> None:
    """Ten in the evening of the last of October in UTC is November in Shanghai."""
    shanghai = rows.team("Shanghai", time_zone="Asia/Shanghai")
    evening = datetime(2026, 10, 31, 22, tzinfo=UTC)
    for team in (ada, shanghai):
        rows.event(rows.key(team)[0], evening)
    in_utc_it_is_october = evening + timedelta(hours=1)
    sums = so_far([ada, shanghai], in_utc_it_is_october)
    assert sums[ada.pk] == sums[shanghai.pk] == SoFar(4_200_000, 1, 0, 1)
    in_utc_it_is_november = evening + timedelta(hours=3)
    sums = so_far([ada, shanghai], in_utc_it_is_november)
    assert (sums[ada.pk], sums[shanghai.pk]) == (SoFar(), SoFar(4_200_000, 1, 0, 1))


def test_a_team_whose_calls_have_no_price_shows_an_unknown_spend_and_not_zero(client, ada) -> None:
    rows.event(rows.key(ada)[0], timezone.now(), "nobody-knows-what-it-costs")
    assert "none of its calls has a price" in shown(client, "/instance/teams/")


# One team -----------------------------------------------------------------------------------------------------------


def test_a_team_is_made_for_its_owner_who_gets_an_invitation(client, root) -> None:
    pro = rows.tier("Pro")
    InstanceSettings.objects.create(pk=1, default_tier=pro, default_time_zone="Asia/Shanghai", name="Acme AI")
    address = "/instance/teams/new/"
    form = shown(client, address)
    assert f'<option value="{pro.pk}" selected>' in form
    assert '<option value="Asia/Shanghai" selected>' in form
    fields = {"name": "Grace's team", "tier": str(pro.pk), "time_zone": "Asia/Shanghai"}
    sent = sent_to(client, address, owner_email="Grace@Example.com", **fields)
    answer = client.post(address, sent)
    team = Team.objects.get()
    assert answer["location"] == f"/instance/teams/{team.pk}/"
    assert not team.memberships.exists()
    assert Invitation.objects.get().role == Membership.Role.OWNER
    assert mail.outbox[0].to == ["grace@example.com"]
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == ["team.create", "member.invite"]
    # Sent twice, one team.
    assert client.post(address, sent)["location"] == "/instance/teams/"
    assert Team.objects.count() == 1


def test_without_an_owner_the_team_is_its_makers(client, root) -> None:
    address, basic = "/instance/teams/new/", rows.tier()
    client.post(address, sent_to(client, address, name="Mine", tier=str(basic.pk), time_zone="UTC"))
    assert Membership.objects.get(team__name="Mine").user == root


def test_what_is_wrong_stands_next_to_its_field(client, ada) -> None:
    address = "/instance/teams/new/"
    sent = sent_to(client, address, name="x" * 201, tier="999", time_zone="Mars/Olympus", owner_email="nobody")
    page = client.post(address, sent).content.decode()
    for name in ("name", "tier", "time_zone", "owner_email"):
        assert f'id="id_{name}_error"' in page
    assert Team.objects.get() == ada


def test_a_changed_team_is_in_the_trail_with_old_and_new_and_an_unchanged_one_is_not(client, ada) -> None:
    pro, address = rows.tier("Pro"), f"/instance/teams/{ada.pk}/change/"
    same = {"name": ada.name, "tier": str(ada.tier_id), "reserve_output_tokens": "4096"}
    client.post(address, same)
    assert not AuditEntry.objects.exists()
    Change.objects.all().delete()
    client.post(address, same | {"tier": str(pro.pk), "reserve_output_tokens": "1000"})
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.team, entry.subject_id) == ("team.change", ada, ada.pk)
    assert entry.details == {"tier": ["Basic", "Pro"], "reserve_output_tokens": [4096, 1000]}
    assert Change.objects.get().kind == "team"
    page = shown(client, f"/instance/teams/{ada.pk}/")
    assert '<bdi class="old" title="Basic">Basic</bdi>' in page


@pytest.mark.parametrize("tokens", ["0", "-1", "1e9", "NaN", "9" * 30, "true", ""])
def test_no_odd_number_of_reserved_tokens_is_taken(client, ada, tokens: str) -> None:
    sent = {"name": ada.name, "tier": str(ada.tier_id), "reserve_output_tokens": tokens}
    page = client.post(f"/instance/teams/{ada.pk}/change/", sent).content.decode()
    assert 'id="id_reserve_output_tokens_error"' in page


def test_an_archived_team_comes_back_with_its_history(client, ada) -> None:
    key, _ = rows.key(ada)
    rows.event(key, timezone.now())
    address = f"/instance/teams/{ada.pk}/archive/"
    Change.objects.all().delete()
    for _ in range(2):
        client.post(address, {"to": "archive"})
    ada.refresh_from_db()
    assert ada.archived_at
    assert Change.objects.get().kind == "team"
    page = shown(client, f"/instance/teams/{ada.pk}/")
    assert "its keys do not work" in page
    assert "$0.0042" in page
    for _ in range(2):
        client.post(address, {"to": "restore"})
    ada.refresh_from_db()
    assert ada.archived_at is None
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == ["team.archive", "team.restore"]
    assert key.pk == ada.keys.get().pk


def test_a_teams_page_is_a_fixed_number_of_queries(client, ada, django_assert_num_queries) -> None:
    person("ada@example.com", ada)
    address = f"/instance/teams/{ada.pk}/"
    shown(client, address)
    with django_assert_num_queries(9):
        shown(client, address)


def test_a_name_of_markup_and_reversed_text_is_shown_and_does_nothing(client) -> None:
    rows.team('<script>alert(1)</script>\u202egnp.exe {"a":1} =cmd()')
    page = shown(client, "/instance/teams/")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<bdi class="name">&lt;script' in page


# Tiers --------------------------------------------------------------------------------------------------------------


def test_new_limits_of_a_tier_reach_the_gateways_change_feed_and_the_trail(client, ada) -> None:
    tier, address = ada.tier, f"/instance/tiers/{ada.tier_id}/"
    assert "1 team is on this tier" in shown(client, address)
    Change.objects.all().delete()
    answer = client.post(address, {"name": tier.name, "requests_per_minute": "75", "tokens_per_minute": ""})
    assert answer["location"] == "/instance/tiers/"
    tier.refresh_from_db()
    assert (tier.requests_per_minute, tier.tokens_per_minute, tier.concurrent_requests) == (75, None, None)
    assert Change.objects.filter(kind="tier", row_id=tier.pk).exists()
    entry = AuditEntry.objects.get()
    assert entry.action == "tier.change"
    assert entry.details == {
        "requests_per_minute": [60, 75], "tokens_per_minute": [90_000, None], "concurrent_requests": [10, None],
    }  # fmt: skip


def test_a_second_tier_of_the_same_name_is_refused_beside_the_field(client, ada) -> None:
    page = client.post("/instance/tiers/new/", {"name": ada.tier.name}).content.decode()
    assert 'id="id_name_error">' in page
    assert Tier.objects.count() == 1


def test_tiers_are_put_in_order(client, ada) -> None:
    rows.tier("Pro")
    client.post("/instance/tiers/new/", {"name": "Enterprise"})
    assert list(Tier.objects.values_list("name", flat=True)) == ["Basic", "Pro", "Enterprise"]
    enterprise = Tier.objects.get(name="Enterprise")
    for _ in range(3):
        client.post(f"/instance/tiers/{enterprise.pk}/move/", {"to": "up"})
    assert list(Tier.objects.values_list("name", flat=True)) == ["Enterprise", "Basic", "Pro"]
    listed = re.findall(r'<bdi class="name" title="(\w+)"', shown(client, "/instance/tiers/"))
    assert listed == ["Enterprise", "Basic", "Pro"]
    client.post(f"/instance/tiers/{enterprise.pk}/move/", {"to": "down"})
    assert list(Tier.objects.values_list("name", flat=True)) == ["Basic", "Enterprise", "Pro"]
    assert AuditEntry.objects.filter(action="tier.move").count() == 3


def test_only_a_tier_that_no_team_is_on_can_be_deleted(client, ada) -> None:
    ada.archived_at = timezone.now()
    ada.save()
    used, unused = ada.tier, rows.tier("Pro")
    page = client.post(f"/instance/tiers/{used.pk}/delete/").content.decode()
    assert "1 team is on it, archived ones counted" in page
    assert "Delete tier" not in page
    assert client.post(f"/instance/tiers/{unused.pk}/delete/")["location"] == "/instance/tiers/"
    assert Tier.objects.get() == used
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject, entry.details["tokens_per_minute"]) == ("tier.delete", "Pro", 450_000)


def test_the_lists_are_a_fixed_number_of_queries(client, ada, django_assert_num_queries) -> None:
    shown(client, "/instance/tiers/")
    with django_assert_num_queries(4):
        shown(client, "/instance/tiers/")
    assert secrets.KEY_PREFIX not in shown(client, "/instance/tiers/")


def test_a_form_in_a_dialog_takes_the_whole_page_along_when_it_is_done(client, ada) -> None:
    """The dialog would take only its own part of the next page, and there is none."""
    dialog = {"hx-request": "true"}
    sent = {"name": "Basic", "requests_per_minute": "75"}
    answer = client.post(f"/instance/tiers/{ada.tier_id}/", sent, headers=dialog)
    assert answer["hx-redirect"] == "/instance/tiers/"
    sent = {"name": "Ada's lab", "tier": ada.tier_id, "reserve_output_tokens": "4096"}
    answer = client.post(f"/instance/teams/{ada.pk}/change/", sent, headers=dialog)
    assert answer["hx-redirect"] == f"/instance/teams/{ada.pk}/"
