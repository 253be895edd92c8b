"""A key's own page, what can be done there, and the list with its filters, as people use them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, AuditEntry, KeySecret, Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.models import Model, Provider, Route

pytestmark = pytest.mark.django_db
Role = Membership.Role
PAGE_QUERIES, LIVE_QUERIES = 9, 6
LONG_NAME = "‮" + "<b>" + "x" * 190 + "=cmd"


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def ada():
    return rows.team("Ada's team", time_zone="Asia/Shanghai")


@pytest.fixture
def owner(ada):
    return person("ada@example.com", ada)


@pytest.fixture
def client(owner):
    return signed_in(owner)


@pytest.fixture
def key(ada, owner) -> ApiKey:
    return rows.key(ada, created_by=owner, created_at=timezone.now() - timedelta(days=40))[0]


@pytest.fixture
def models() -> list[str]:
    """Eighty that a provider answers for."""
    provider = Provider.objects.create(name="OpenAI", base_url="https://api.openai.com/v1")
    made = Model.objects.bulk_create(
        Model(name=f"model-{at:02}", display_name="", owned_by="tests", released_at=timezone.now()) for at in range(80)
    )
    Route.objects.bulk_create(Route(model=model, provider=provider, upstream_model=model.name) for model in made)
    return [model.name for model in made]


def at(key: ApiKey, part: str = "") -> str:
    return f"/t/{key.team_id}/keys/{key.pk}/{part}"


def ticket(client: Client, address: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', client.get(address).content.decode())
    assert found
    return found[1]


def words(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def error_of(field: str, answer: Any) -> str:
    found = re.search(rf'id="id_{field}_error">([^<]*)<', answer.content.decode())
    return found[1] if found else ""


# Narrowing ----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_with_models_networks_limits_an_end_and_a_tag(client, ada, models) -> None:
    new = f"/t/{ada.pk}/keys/new/"
    sent = {
        "name": "prod",
        "tag": "search",
        "ticket": ticket(client, new),
        "requests_per_minute": "5,000",
        "allowed_models": ["model-07", "model-79"],
        "ip_ranges": "203.0.113.0/24, 2001:DB8::/32\n::ffff:198.51.100.7\n203.0.113.0/24",
        "expires_at": "2030-01-31T08:00",
    }
    answer = client.post(new, sent, follow=True)
    made = ApiKey.objects.get()
    assert made.allowed_models == ["model-07", "model-79"]
    assert made.ip_ranges == ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7/32"]
    # Eight in the morning in Shanghai.
    assert made.expires_at == datetime(2030, 1, 31, 0, 0, tzinfo=UTC)
    shown = words(answer)
    assert "model-07, model-79" in shown
    # Its own limit is wider than the team's, which answers.
    assert "Requests per minute: 60 (the team&#x27;s)" in shown or "Requests per minute: 60 (the team's)" in shown
    code = re.search(r'<pre id="text-[\w-]*python".*?</pre>', answer.content.decode(), re.DOTALL)
    assert code
    assert "model-07" in code[0]
    assert AuditEntry.objects.get().details["allowed_models"] == ["model-07", "model-79"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("ip_ranges", "10.1.2.3/8", "Did you mean 10.0.0.0/8?"),
        ("ip_ranges", "10.0.0.0/8, example.com", "example.com is no IP address"),
        ("ip_ranges", "<script>", "&lt;script&gt; is no IP address"),
        ("ip_ranges", "\n".join(f"10.0.{at}.0/24" for at in range(51)), "At most 50 networks."),
        ("expires_at", "2020-01-01T00:00", "This time has passed already."),
        ("expires_at", "tomorrow", "Enter a valid date/time."),
        ("expires_at", "9999-99-99T00:00", "Enter a valid date/time."),
        ("allowed_models", "gpt-of-nobody", "gpt-of-nobody is not one of the available choices"),
        ("tag", "x" * 65, "at most 64 characters"),
    ],
)
def test_what_cannot_be_is_told_beside_its_field(client, ada, field, value, said) -> None:
    new = f"/t/{ada.pk}/keys/new/"
    answer = client.post(new, {"name": "prod", "ticket": "1", field: value})
    assert said in error_of(field, answer)
    assert not ApiKey.objects.exists()


def test_nothing_but_the_forms_own_fields_can_be_sent_with_it(client, ada, owner) -> None:
    """Mass assignment: another team, another creator, a key that was used before it was made."""
    grace = rows.team("Grace's team", "Pro")
    stranger = person("grace@example.com", grace)
    new = f"/t/{ada.pk}/keys/new/"
    forged = {"team": grace.pk, "team_id": grace.pk, "created_by": stranger.pk, "created_by_id": stranger.pk,
              "revoked_at": "", "last_used_at": "2020-01-01", "id": 99, "digest": "0" * 64}  # fmt: skip
    client.post(new, {"name": "mine", "ticket": ticket(client, new), **forged})
    made = ApiKey.objects.get()
    assert (made.team, made.created_by, made.last_used_at) == (ada, owner, None)
    client.post(at(made, "edit/"), {"name": "still mine", **forged})
    made.refresh_from_db()
    assert (made.name, made.team, made.created_by) == ("still mine", ada, owner)


def test_changing_a_key_keeps_what_was_not_touched_and_tells_the_trail(client, key, models) -> None:
    key.allowed_models, key.expires_at = ["model-01", "gone-model"], timezone.now() + timedelta(days=3, seconds=7)
    key.save()
    form = client.get(at(key, "edit/")).content.decode()
    assert re.search(r'value="gone-model" checked.*?no longer offered', form, re.DOTALL)
    kept = re.search(r'name="expires_at" value="([^"]+)"', form)
    assert kept
    sent = {"name": key.name, "allowed_models": ["model-01", "gone-model"], "expires_at": kept[1]}
    assert "Nothing was changed." in words(client.post(at(key, "edit/"), sent, follow=True))
    answer = client.post(at(key, "edit/"), {**sent, "name": "renamed", "requests_per_minute": "20"}, follow=True)
    assert "requests per minute: no limit → 20" in words(answer).lower()
    assert ApiKey.objects.get().expires_at == key.expires_at
    assert AuditEntry.objects.get().details == {"name": ["notebook", "renamed"], "requests_per_minute": [None, 20]}


def test_a_wrong_edit_leaves_the_key_and_the_head_of_the_form_as_they_were(client, key) -> None:
    answer = client.post(at(key, "edit/"), {"name": "other", "requests_per_minute": "-1"})
    assert "greater than or equal to 1" in error_of("requests_per_minute", answer)
    assert re.search(r'id="dialog-title">Change <span class="clip"><bdi>notebook', answer.content.decode())
    assert ApiKey.objects.get().name == "notebook"


def test_a_revoked_key_cannot_be_changed_any_more(client, key, owner) -> None:
    keys.revoke(owner, key, timezone.now())
    answer = client.post(at(key, "edit/"), {"name": "back from the dead"}, follow=True)
    assert "nothing of it can be changed" in words(answer)
    assert ApiKey.objects.get().name == "notebook"


# Rotation -----------------------------------------------------------------------------------------------------------


def rotated(client: Client, key: ApiKey) -> str:
    """The new secret."""
    sent = {"overlap": "24", "ticket": ticket(client, at(key, "rotate/"))}
    shown = client.post(at(key, "rotate/"), sent, follow=True).content.decode()
    secret = re.search(r'id="secret">([^<]+)<', shown)
    assert secret
    assert "has a new secret" in shown
    return secret[1]


def test_a_rotation_shows_the_new_secret_once_and_both_on_the_keys_page(client, key) -> None:
    secret = rotated(client, key)
    assert client.get(at(key, "made/"))["location"] == at(key)
    seen = client.get(at(key))
    assert secret not in seen.content.decode()
    assert "Works for 24 h more" in words(seen)
    assert "not used yet" in words(seen)
    assert "Rotating" in words(client.get(f"/t/{key.team_id}/keys/"))
    assert KeySecret.objects.filter(key=key).count() == 2


def test_a_rotation_that_is_sent_twice_makes_one_secret(client, key) -> None:
    sent = {"overlap": "24", "ticket": ticket(client, at(key, "rotate/"))}
    client.post(at(key, "rotate/"), sent)
    assert "sent twice" in words(client.post(at(key, "rotate/"), sent, follow=True))
    other = {"overlap": "24", "ticket": "another"}
    assert "finish or cancel it first" in words(client.post(at(key, "rotate/"), other, follow=True))
    assert KeySecret.objects.filter(key=key).count() == 2


def test_in_a_dialog_the_whole_page_leaves_when_there_is_no_secret_to_show(client, key) -> None:
    rotated(client, key)
    answer = client.post(at(key, "rotate/"), {"overlap": "24", "ticket": "x"}, headers={"hx-request": "true"})
    assert answer["hx-redirect"] == at(key)


@pytest.mark.parametrize("overlap", ["0", "-1", "169", "many", "", "1e9"])
def test_an_overlap_that_is_not_offered_is_refused_beside_the_field(client, key, overlap: str) -> None:
    answer = client.post(at(key, "rotate/"), {"overlap": overlap, "ticket": "x"})
    assert error_of("overlap", answer)
    assert KeySecret.objects.filter(key=key).count() == 1


def test_finishing_asks_first_warns_of_programs_left_behind_and_is_harmless_when_repeated(client, key) -> None:
    rotated(client, key)
    old = KeySecret.objects.get(key=key, expires_at__isnull=False)
    KeySecret.objects.filter(pk=old.pk).update(last_used_at=timezone.now() + timedelta(seconds=1))
    asked = client.get(at(key, "finish/"))
    assert "still in use" in words(asked)
    for said in ("The old secret has ended", "over already"):
        assert said in words(client.post(at(key, "finish/"), {"old": old.pk}, follow=True))
    for forged in ("", "x", "9" * 40, "-1"):
        assert client.post(at(key, "finish/"), {"old": forged}).status_code == 302
    assert KeySecret.objects.filter(key=key, revoked_at=None).count() == 1


def test_cancelling_keeps_the_old_secret(client, key) -> None:
    first = key.redacted
    rotated(client, key)
    old = KeySecret.objects.get(key=key, expires_at__isnull=False)
    assert "goes on without an end" in words(client.get(at(key, "cancel/")))
    client.post(at(key, "cancel/"), {"old": old.pk})
    assert ApiKey.objects.get().redacted == first
    assert "Rotating" not in words(client.get(at(key)))


# The page -----------------------------------------------------------------------------------------------------------


def test_a_keys_page_shows_what_it_cost_by_day_and_model_and_what_was_done_to_it(client, key, owner) -> None:
    now = timezone.now()
    for days in (0, 3, 35):
        rows.event(key, now - timedelta(days=days))
    rows.event(key, now, "gpt-4o")
    keys.change(owner, key, tag="search")
    seen = words(client.get(at(key)))
    assert "$0.00885" in seen  # two calls of gpt-4 and one of gpt-4o
    assert "+110.7%" in seen
    assert "gpt-4o 1 $0.00045" in seen
    assert "Tag: – → search" in seen
    assert "Ada changed it" in seen


def test_a_page_asks_as_often_for_a_busy_key_as_for_a_new_one(client, key, owner, django_assert_num_queries) -> None:
    client.get(at(key))
    # Session, user, team and role, teams to switch to; key, secrets; use, calls, history.
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(at(key))
    rotated(client, key)
    for hours in range(12):
        rows.event(key, timezone.now() - timedelta(hours=hours), f"model-{hours}")
        keys.change(owner, key, name=f"named {hours}")
    client.get(at(key))
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(at(key))
    with django_assert_num_queries(LIVE_QUERIES):
        client.get(at(key, "live/"))


def test_the_live_part_holds_what_moves_and_no_button(client, key) -> None:
    key.requests_per_minute = 5
    key.save()
    rotated(client, key)
    live = client.get(at(key, "live/?state=rotating")).content.decode()
    assert all(f'id="{part}" ' in live for part in ("key-limits", "key-secrets", f"rotation-{key.pk}"))
    assert "Unknown here" in live
    assert "<a " not in live
    assert "<button" not in live


def test_a_rotation_that_ends_takes_its_block_away_and_one_that_begins_leaves_the_secret_on_the_screen(
    client, key, owner
) -> None:
    assert f"rotation-{key.pk}" not in client.get(at(key, "live/?state=live")).content.decode()
    rotated(client, key)
    began = client.get(at(key, "live/?state=live"))
    assert f"rotation-{key.pk}" not in began.content.decode()
    assert "hx-refresh" not in began
    old = KeySecret.objects.get(key=key, expires_at__isnull=False)
    keys.finish(owner, key, old.pk, timezone.now())
    assert client.get(at(key, "live/?state=rotating"))["hx-refresh"] == "true"


def test_the_days_are_a_file_too(client, key) -> None:
    rows.event(key, timezone.now())
    lines = client.get(at(key, "days.csv")).content.decode().splitlines()
    assert lines[0] == "start,cost_usd,tokens,calls"
    assert len(lines) == 31
    assert lines[-1].endswith(",0.004200000,120,1")


def test_names_of_any_kind_are_shown_as_they_are(client, ada, owner) -> None:
    key, _ = rows.key(ada, LONG_NAME, created_by=owner, tag="<i>", allowed_models=["<u>"], ip_ranges=["::/0"])
    for address in (at(key), at(key, "edit/"), at(key, "rotate/"), at(key, "revoke/"), f"/t/{ada.pk}/keys/"):
        seen = client.get(address).content.decode()
        assert "<b>xx" not in seen
        assert "<i>" not in seen.replace("<i></i>", "")
        assert "<u>" not in seen


# The list -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def four(ada, owner) -> dict[str, ApiKey]:
    """One in each state."""
    now = timezone.now()
    made = {
        "live": rows.key(ada, "Zebra", tag="search", last_used_at=now - timedelta(days=2))[0],
        "rotating": rows.key(ada, "Mole", last_used_at=now - timedelta(hours=2))[0],
        "expired": rows.key(ada, "Ant", expires_at=now - timedelta(days=1), last_used_at=now)[0],
        "revoked": rows.key(ada, "mallory's", revoked_at=now)[0],
    }
    keys.rotate(owner, made["rotating"], keys.USUAL_OVERLAP, now)
    rows.event(made["live"], now - timedelta(days=2), secret_id=0)
    return made


def names(client: Client, query: str) -> list[str]:
    team = ApiKey.objects.first().team_id
    seen = client.get(f"/t/{team}/keys/{query}").content.decode()
    return re.findall(r'class="name" [^>]*><bdi>([^<]+)<', seen)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Mole", "Zebra", "Ant", "mallory&#x27;s"]),
        ("?state=live", ["Mole", "Zebra"]),
        ("?state=rotating", ["Mole"]),
        ("?state=expired", ["Ant"]),
        ("?state=revoked", ["mallory&#x27;s"]),
        ("?sort=spend", ["Zebra", "Mole", "mallory&#x27;s", "Ant"]),
        ("?sort=name", ["Mole", "Zebra", "Ant", "mallory&#x27;s"]),
        ("?sort=created", ["Mole", "Zebra", "mallory&#x27;s", "Ant"]),
        ("?q=ZEB", ["Zebra"]),
        ("?q=search", ["Zebra"]),
        ("?q=%25", []),
        ("?q=_", []),
        ("?state=gone&sort=-id&page=-1", ["Mole", "Zebra", "Ant", "mallory&#x27;s"]),
        ("?page=99999999999999999999&q=%00", ["Mole", "Zebra", "Ant", "mallory&#x27;s"]),
        ("?page=9", ["Mole", "Zebra", "Ant", "mallory&#x27;s"]),
    ],
)
def test_the_list_is_found_filtered_and_sorted_by_its_address(client, four, query, expected) -> None:
    assert names(client, query) == expected


def test_a_secret_in_a_log_leads_to_its_key(client, four) -> None:
    old = KeySecret.objects.get(key=four["rotating"], expires_at__isnull=False)
    assert names(client, f"?q={old.redacted[-4:]}") == ["Mole"]


def test_spend_of_this_month_and_calls_of_thirty_days_stand_beside_each_key(client, ada, key, time_machine) -> None:
    time_machine.move_to(datetime(2026, 11, 12, tzinfo=UTC), tick=False)
    for day in (
        datetime(2026, 11, 2, tzinfo=UTC),
        datetime(2026, 10, 20, tzinfo=UTC),
        datetime(2026, 10, 2, tzinfo=UTC),
    ):
        rows.event(key, day)
    assert "$0.0042 2 calls" in words(client.get(f"/t/{ada.pk}/keys/"))


def test_a_member_manages_their_own_keys_and_finds_no_other(ada, key) -> None:
    alan = person("alan@example.com", ada, Role.MEMBER)
    own, _ = rows.key(ada, "alan's", created_by=alan)
    client = signed_in(alan)
    parts = ("", "edit/", "rotate/", "finish/", "cancel/", "revoke/", "live/", "days.csv")
    assert {client.get(at(own, part)).status_code for part in parts} == {200}
    for part in parts:
        assert client.get(at(key, part)).status_code == 404
    for part in ("edit/", "rotate/", "finish/", "cancel/", "revoke/"):
        assert client.post(at(key, part), {"name": "mine now", "overlap": "24", "ticket": "x"}).status_code == 404
    assert rotated(client, own)
    viewer = signed_in(person("eve@example.com", ada, Role.VIEWER))
    assert {viewer.get(at(key, part)).status_code for part in parts} == {404}
    assert AuditEntry.objects.exclude(subject_id=own.pk).count() == 0
