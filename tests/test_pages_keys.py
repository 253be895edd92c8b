"""Keys, tiers, teams, calls and receipts, as people use them."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import secrets
from accounts.models import ApiKey, AuditEntry, Change, KeySecret
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.models import UsageAttempt, UsageEvent

pytestmark = pytest.mark.django_db
# Session, user, team and role, teams to switch to, keys, their use, secrets; the frame's own are asked for once.
LIST_QUERIES = 7


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def ada():
    return rows.team("Ada's team")


@pytest.fixture
def client(ada):
    return signed_in(person("ada@example.com", ada))


@pytest.fixture
def administrator():
    return signed_in(person("root@example.com", is_staff=True))


def form_of(client, address: str) -> dict[str, str]:
    found = re.search(r'name="ticket" value="([^"]+)"', client.get(address).content.decode())
    assert found
    return {"name": "prod-api", "ticket": found[1]}


def test_a_new_keys_secret_is_shown_once_with_a_snippet_and_kept_nowhere(client, ada) -> None:
    sent = form_of(client, f"/t/{ada.pk}/keys/new/") | {"requests_per_minute": "1,200"}
    answer = client.post(f"/t/{ada.pk}/keys/new/", sent)
    key = ApiKey.objects.get()
    assert answer["location"] == f"/t/{ada.pk}/keys/{key.pk}/made/"
    assert secrets.KEY_PREFIX not in str(client.session.items())
    shown = client.get(answer["location"], headers={"host": "localhost:9"})
    secret = re.search(r"sk-mega-\w{44}", shown.content.decode())
    assert secret
    assert not secrets.is_typo(secret[0])
    assert b"http://localhost:9/v1" in shown.content
    assert b"Waiting for the first call" in shown.content
    assert key.requests_per_minute == 1200
    again = client.get(answer["location"])
    assert again["location"] == f"/t/{ada.pk}/keys/{key.pk}/"
    assert secret[0] not in client.get(f"/t/{ada.pk}/keys/").content.decode()


def test_a_form_that_is_sent_twice_makes_one_key(client, ada) -> None:
    sent = form_of(client, f"/t/{ada.pk}/keys/new/")
    client.post(f"/t/{ada.pk}/keys/new/", sent)
    answer = client.post(f"/t/{ada.pk}/keys/new/", sent, follow=True)
    assert ApiKey.objects.count() == 1
    assert b"sent twice" in answer.content


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "This field is required."),
        ("name", "x" * 201, "at most 200 characters"),
        ("requests_per_minute", "0", "greater than or equal to 1"),
        ("tokens_per_minute", "many", "Enter a whole number."),
        ("concurrent_requests", "-3", "greater than or equal to 1"),
        ("concurrent_requests", "9" * 30, "less than or equal to"),
    ],
)
def test_a_wrong_field_is_told_beside_it_and_makes_nothing(client, ada, field, value, said) -> None:
    sent = form_of(client, f"/t/{ada.pk}/keys/new/") | {field: value}
    seen = client.post(f"/t/{ada.pk}/keys/new/", sent).content.decode()
    assert re.search(rf'id="id_{field}_error">[^<]*{re.escape(said)}', seen)
    assert "is-invalid" in seen
    assert not ApiKey.objects.exists()


def test_revoking_asks_first_and_tells_the_gateway_and_the_trail_once(client, ada) -> None:
    key, _ = rows.key(ada)
    assert b"Revoke this key?" in client.get(f"/t/{ada.pk}/keys/{key.pk}/revoke/").content
    assert ApiKey.objects.get().revoked_at is None
    Change.objects.all().delete()
    for _ in range(2):
        assert client.post(f"/t/{ada.pk}/keys/{key.pk}/revoke/").status_code == 302
    assert not ApiKey.objects.get().is_live(timezone.now())
    assert Change.objects.filter(kind="apikey", row_id=key.pk).count() == 1
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1


def test_the_list_says_who_is_live_revoked_and_expired_and_when_each_was_last_used(client, ada) -> None:
    now = timezone.now()
    rows.key(ada, "used", last_used_at=now - timedelta(minutes=5))
    rows.key(ada, "old", expires_at=now - timedelta(days=1))
    rows.key(ada, "mallory's", revoked_at=now)
    seen = re.sub(r"<[^>]*>|\s+", " ", client.get(f"/t/{ada.pk}/keys/").content.decode())
    assert "1 live" in seen
    assert "5 min ago" in seen
    assert "Expired" in seen
    assert "Revoked" in seen


def test_the_list_of_500_keys_costs_as_many_queries_as_one(client, ada, django_assert_num_queries) -> None:
    keys = ApiKey.objects.bulk_create(ApiKey(team=ada, name=f"key {number:03}") for number in range(500))
    KeySecret.objects.bulk_create(
        KeySecret(key=key, digest=f"{key.pk:064}", redacted=f"sk-mega-…{key.pk}") for key in keys
    )
    client.get(f"/t/{ada.pk}/keys/")
    with django_assert_num_queries(LIST_QUERIES):
        seen = client.get(f"/t/{ada.pk}/keys/").content.decode()
    assert "1 to 50 of 500" in seen
    assert client.get(f"/t/{ada.pk}/keys/?page=10&sort=name").content.decode().count('class="name"') >= 50
    assert "key 123" in client.get(f"/t/{ada.pk}/keys/?q=KEY+123").content.decode()


def test_the_line_turns_green_when_the_first_call_lands(client, ada) -> None:
    key, _ = rows.key(ada)
    address = f"/t/{ada.pk}/keys/{key.pk}/first-call/"
    assert b"hx-get" in client.get(address).content
    rows.event(key, timezone.now())
    landed = client.get(address).content
    assert b"The first call landed." in landed
    assert b"hx-get" not in landed


# Calls and receipts --------------------------------------------------------------------------------------------------


def test_older_calls_are_a_page_further_and_none_is_lost_or_shown_twice(client, ada) -> None:
    key, _ = rows.key(ada)
    now = timezone.now()
    made = [rows.event(key, now - timedelta(minutes=minute)) for minute in range(60)]
    address, seen = f"/t/{ada.pk}/calls/", []
    while address:
        html = client.get(address).content.decode()
        seen += re.findall(r'id="(req_\w+)"', html)
        older = re.search(r'rel="next" href="([^"]+)"', html)
        address = older[1] if older else ""
    assert seen == made


def test_a_receipt_shows_each_class_its_price_and_its_amount_to_the_last_digit(client, ada) -> None:
    key, _ = rows.key(ada)
    call = rows.event(key, timezone.now())
    seen = re.sub(r"<[^>]*>|\s+", " ", client.get(f"/t/{ada.pk}/calls/{call}/").content.decode())
    assert "$0.0042" in seen
    assert "Reported by the provider." in seen
    assert call in seen


def test_a_receipt_of_a_fallback_lists_its_attempts(client, ada) -> None:
    key, _ = rows.key(ada)
    call = rows.event(key, timezone.now())
    event = UsageEvent.objects.get()
    UsageAttempt.objects.create(
        event=event, position=0, model="gpt-4o", provider="OpenAI", status=503, error_code="overloaded", latency_us=5000
    )
    seen = client.get(f"/t/{ada.pk}/calls/{call}/").content.decode()
    assert "overloaded" in seen
    assert "1 attempt" in seen


def test_a_refused_calls_receipt_charges_nothing_and_says_so(client, ada) -> None:
    key, _ = rows.key(ada)
    call = rows.refusal(key, timezone.now())
    seen = client.get(f"/t/{ada.pk}/calls/{call}/").content.decode()
    assert "Nothing was sent on, so nothing was charged." in seen


@pytest.mark.parametrize("call", ["req_zz", "x" * 300, "req_" + "0" * 32, "..%2f"])
def test_a_call_that_does_not_exist_is_not_found(client, ada, call) -> None:
    assert client.get(f"/t/{ada.pk}/calls/{call}/").status_code == 404
    assert client.get(f"/t/{ada.pk}/calls/", {"before": call}).status_code in (200, 404)


# Signing in ----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_in_the_form_and_the_right_one_opens_the_overview(ada) -> None:
    user = person("grace@example.com", ada)
    browser = signed_in(user)
    browser.logout()
    wrong = browser.post("/accounts/login/", {"login": user.email, "password": "not this one"})
    assert b"field-error" in wrong.content or b"form-error" in wrong.content
    right = browser.post("/accounts/login/", {"login": user.email, "password": "correct horse battery"}, follow=True)
    assert right.redirect_chain[-1][0] == f"/t/{ada.pk}/overview/"
    browser.post("/accounts/logout/")
    assert browser.get(f"/t/{ada.pk}/overview/").status_code == 302
