"""Admin keys, settings, Django's own admin, and the table of who may do what."""

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.utils import timezone, translation

from accounts import admin_keys, instance, policy
from accounts.models import AdminKey, AuditEntry, Change, InstanceSettings, Invitation, Membership, User
from accounts.policy import ADMINISTRATOR, ALLOWED, Action, Role
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.models import Provider

pytestmark = pytest.mark.django_db
SETTINGS = "/instance/settings/"


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def root():
    return person("root@example.com", is_staff=True)


@pytest.fixture
def client(root):
    return signed_in(root)


def shown(client: Client, address: str, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, address
    return answer.content.decode()


# Admin keys ---------------------------------------------------------------------------------------------------------


def new_key(client: Client, **fields: str) -> dict[str, str]:
    ticket = re.search(r'name="ticket" value="([^"]+)"', shown(client, "/instance/admin-keys/new/"))
    assert ticket
    return {"name": "finance", "expires_at": "", "ticket": ticket[1], **fields}


def test_an_admin_key_is_shown_once_with_a_sample_that_works(client, root) -> None:
    answer = client.post("/instance/admin-keys/new/", new_key(client))
    key = AdminKey.objects.get()
    assert answer["location"] == f"/instance/admin-keys/{key.pk}/made/"
    page = shown(client, answer["location"], host="localhost:9")
    secret = re.search(r'id="secret">(sk-admin-\w{44})<', page)
    assert secret
    sample = re.search(r"curl &quot;http://localhost:9(/v1/organization/costs\?start_time=\d+)&quot;", page)
    assert sample
    assert Client().get(sample[1], headers={"authorization": f"Bearer {secret[1]}"}).status_code == 200
    assert client.get(answer["location"])["location"] == "/instance/admin-keys/"
    assert secret[1] not in shown(client, "/instance/admin-keys/")
    assert secret[1] not in str(list(AuditEntry.objects.values()))


def test_a_form_sent_twice_makes_one_admin_key(client) -> None:
    sent = new_key(client)
    client.post("/instance/admin-keys/new/", sent)
    assert client.post("/instance/admin-keys/new/", sent)["location"] == "/instance/admin-keys/"
    assert AdminKey.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "x" * 201), ("expires_at", "2020-01-01T00:00"), ("expires_at", "soon")]
)
def test_what_is_wrong_with_an_admin_key_stands_next_to_its_field(client, field: str, value: str) -> None:
    page = client.post("/instance/admin-keys/new/", new_key(client, **{field: value})).content.decode()
    assert f'id="id_{field}_error"' in page
    assert not AdminKey.objects.exists()


def test_a_revoked_admin_key_opens_nothing_at_its_next_request(client, root) -> None:
    key, secret = admin_keys.create(root, "finance", timezone.now() + timedelta(days=1))
    opens = {"authorization": f"Bearer {secret}"}
    assert Client().get("/v1/me", headers=opens).status_code == 200
    for _ in range(2):
        client.post(f"/instance/admin-keys/{key.pk}/revoke/")
    assert Client().get("/v1/me", headers=opens).status_code == 401
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")] == ["admin_key.create", "admin_key.revoke"]
    assert "Revoked" in shown(client, "/instance/admin-keys/")


def test_the_list_of_admin_keys_tells_their_state_in_a_fixed_number_of_queries(
    client, root, django_assert_num_queries
) -> None:
    now = timezone.now()
    rows.admin_key("live", created_by=root, last_used_at=now)
    rows.admin_key("past", created_by=root, expires_at=now - timedelta(days=1))
    shown(client, "/instance/admin-keys/")
    with django_assert_num_queries(4):
        page = shown(client, "/instance/admin-keys/")
    assert "1 live, 1 revoked or expired" in re.sub(r"\s+", " ", page)


# Settings -----------------------------------------------------------------------------------------------------------


def as_sent(**fields: str) -> dict[str, str]:
    return {
        "name": "MegaDash", "public_url": "", "default_tier": "", "default_time_zone": "UTC", "invitation_days": "7",
        "two_factor": "nobody", "allow_unpriced_models": "True", "private_networks": "", **fields,
    }  # fmt: skip


def test_settings_are_saved_followed_by_the_gateway_and_told_with_old_and_new(client) -> None:
    pro = rows.tier("Pro")
    shown(client, SETTINGS)
    Change.objects.all().delete()
    sent = as_sent(
        name="Acme AI", public_url="https://localhost/", default_tier=str(pro.pk), allow_unpriced_models="False",
        private_networks="10.20.0.0/16, 192.168.7.1",
    )  # fmt: skip
    assert client.post(SETTINGS, sent)["location"] == SETTINGS
    saved = InstanceSettings.current()
    assert (saved.name, saved.public_url, saved.default_tier) == ("Acme AI", "https://localhost", pro)
    assert (saved.allow_unpriced_models, saved.private_networks) == (False, ["10.20.0.0/16", "192.168.7.1/32"])
    assert Change.objects.get().kind == "instancesettings"
    entry = AuditEntry.objects.get()
    assert entry.action == "settings.change"
    assert entry.details == {
        "name": ["MegaDash", "Acme AI"],
        "public_url": ["", "https://localhost"],
        "default_tier": [None, "Pro"],
        "allow_unpriced_models": [True, False],
        "private_networks": [[], ["10.20.0.0/16", "192.168.7.1/32"]],
    }
    # Sent again, nothing changes, and nothing is told.
    client.post(SETTINGS, sent)
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("public_url", "javascript:alert(1)"),
        ("public_url", "https://host/path"),
        ("public_url", "https://user:secret@host"),
        ("public_url", "ftp://host"),
        ("default_tier", "999"),
        ("default_time_zone", "Mars/Olympus"),
        ("invitation_days", "0"),
        ("invitation_days", "91"),
        ("invitation_days", "1e9"),
        ("invitation_days", "NaN"),
        ("two_factor", "sometimes"),
        ("allow_unpriced_models", "maybe"),
        ("private_networks", "10.0.0.1/8"),
        ("private_networks", "localhost"),
        ("private_networks", "10.0.0.0/33"),
    ],
)
def test_a_wrong_setting_is_told_next_to_its_field_and_nothing_is_saved(client, field: str, value: str) -> None:
    page = client.post(SETTINGS, as_sent(**{"name": "Acme AI", field: value})).content.decode()
    assert f'id="id_{field}_error"' in page
    assert InstanceSettings.current().name == "MegaDash"
    assert not AuditEntry.objects.exists()


def test_a_public_url_that_would_be_refused_is_warned_of(client) -> None:
    page = client.post(SETTINGS, as_sent(public_url="mega.example.com"), follow=True).content.decode()
    assert "mega.example.com is not in MEGADASH_ALLOWED_HOSTS" in page
    assert InstanceSettings.current().public_url == "https://mega.example.com"


def test_the_environment_is_shown_without_its_secrets(client, settings) -> None:
    settings.VALKEY_URL = "valkey://user:hunter2@10.0.0.9"
    settings.EMAIL_HOST_PASSWORD = "hunter3"
    page = shown(client, SETTINGS)
    for secret in ("hunter2", "hunter3", settings.SECRET_KEY, str(settings.DATA_DIR.parent) + "/"):
        assert secret not in page
    for label in ("Valkey", "MEGADASH_DURABILITY", "90 days"):
        assert label in page


def test_settings_are_a_fixed_number_of_queries(client, django_assert_num_queries) -> None:
    shown(client, SETTINGS)
    with django_assert_num_queries(6):
        shown(client, SETTINGS)


def test_links_lead_to_the_address_that_was_set_else_to_the_one_of_the_request(settings, root) -> None:
    request = RequestFactory().get("/somewhere/", headers={"host": "localhost:9"})
    assert instance.public_url(request) == "http://localhost:9"
    settings.PUBLIC_URL = "https://from.environment"
    assert instance.public_url(request) == "https://from.environment"
    InstanceSettings.objects.filter(pk=1).update(public_url="https://from.settings")
    cache.clear()
    assert instance.public_url(request) == "https://from.settings"


def test_an_invitation_is_open_as_long_as_the_settings_say(client, root) -> None:
    client.post(SETTINGS, as_sent(invitation_days="3"))
    team = rows.team()
    client.post(f"/t/{team.pk}/team/invite/", {"email": "new@example.com", "role": "member"})
    invitation = Invitation.objects.get()
    assert timedelta(days=2.9) < invitation.expires_at - timezone.now() <= timedelta(days=3)


# Django's own admin -------------------------------------------------------------------------------------------------


def test_djangos_admin_shows_rows_and_no_secret(client, root) -> None:
    key, _ = rows.key(rows.team(), created_by=root)
    rows.event(key, timezone.now())
    admin_key, _ = rows.admin_key()
    provider = Provider(name="OpenAI", base_url="https://api.openai.com/v1")
    provider.save()
    provider.seal_api_key("sk-upstream")
    provider.save()
    hidden = (admin_key.digest, provider.sealed_api_key, *key.secrets.values_list("digest", flat=True), root.password)
    addresses = re.findall(r'href="(/admin/\w+/\w+/)"', shown(client, "/admin/"))
    assert len(set(addresses)) >= 12
    for address in set(addresses):
        page = shown(client, address)
        for row in re.findall(rf'href="({address}[^"]+/change/)', page)[:1]:
            page += shown(client, row)
        for secret in hidden:
            assert secret not in page, address


def test_djangos_admin_changes_nothing_but_who_may_sign_in_and_the_trail_tells_it(client, root) -> None:
    team = rows.team()
    ada = person("ada@example.com", team)
    hers = signed_in(ada)
    for address in (f"/admin/accounts/team/{team.pk}/change/", f"/admin/accounts/team/{team.pk}/delete/"):
        assert client.post(address, {"name": "x"}).status_code == 403
    client.post(f"/admin/accounts/user/{ada.pk}/change/", {"name": "Ada", "is_staff": "on", "is_active": "on"})
    assert User.objects.get(pk=ada.pk).is_staff
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.details) == ("user.change", {"is_staff": [False, True]})
    assert hers.get(f"/t/{team.pk}/overview/").status_code == 302
    # Nobody locks themselves out.
    client.post(f"/admin/accounts/user/{root.pk}/change/", {"name": "Root"})
    root.refresh_from_db()
    assert (root.is_staff, root.is_active) == (True, True)


def test_djangos_lists_count_no_further_than_anybody_pages(client, monkeypatch, django_assert_max_num_queries) -> None:
    key, _ = rows.key(rows.team())
    for _ in range(3):
        rows.event(key, timezone.now())
    with django_assert_max_num_queries(8) as captured:
        shown(client, "/admin/usage/usageevent/")
    counting = [query["sql"] for query in captured.captured_queries if "COUNT(" in query["sql"]]
    assert counting == []


# Who may do what ----------------------------------------------------------------------------------------------------


def test_the_table_says_what_the_policy_does_in_both_languages() -> None:
    table = policy.table(with_platform=True)
    assert table.roles == ("Viewer", "Member", "Admin", "Owner", "Administrator")
    assert len(table.lines) == len(Action)
    for (_, may), action in zip(table.lines, policy.SAID, strict=True):
        assert may == tuple(action in ALLOWED[role] for role in [*reversed(Role), ADMINISTRATOR])
    with translation.override("zh-hans"):
        chinese = policy.table()
    assert len(chinese.lines) == len(Action) - 1
    assert chinese.lines[0][1] == (True,) * 4


def test_each_role_may_all_that_the_one_below_may() -> None:
    ladder = [*reversed(Membership.Role), ADMINISTRATOR]
    for lower, higher in pairwise(ladder):
        assert ALLOWED[lower] < ALLOWED[higher]
