"""Who may ask the REST API, and what `/v1/me` tells them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.test import Client

from accounts import keys
from accounts.models import AdminKey, ApiKey, User
from tests import rows
from usage import headroom
from usage.frames import Tokens
from usage.headroom import Gauge

NOW = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
COSTS = "/v1/organization/costs?start_time=1"
FOUR_KEYS = {"message", "type", "param", "code"}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


def ask(client: Client, path: str, authorization: str | None = None):
    headers = {} if authorization is None else {"authorization": authorization}
    response = client.get(path, headers=headers)
    return response, json.loads(response.content)


@pytest.mark.parametrize("path", [COSTS, "/v1/me", "/api/usage/events", "/v1/organization/usage/completions"])
def test_without_a_key_it_says_how_to_send_one(client, path):
    for authorization in (None, "", "Bearer", "Bearer ", "Basic YWRhOnNlY3JldA==", "sk-admin-without-scheme"):
        response, body = ask(client, path, authorization)
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
        assert body["error"].keys() == FOUR_KEYS
        assert body["error"]["message"].startswith("You didn't provide an API key.")
        assert body["error"]["code"] is None


@pytest.mark.parametrize(
    "credential",
    [
        "sk-admin-nobody",
        "sk-mega-" + "0" * 44,
        "'; DROP TABLE accounts_adminkey; --",
        '"quoted"',
        "nul\x00byte",
        "k" * 1_000_000,
        "Schlüssel",
        "钥匙".encode().decode("latin-1"),
        "one,Bearer two",
        "one two",
        "=1+1",
    ],
)
@pytest.mark.parametrize("path", [COSTS, "/v1/me"])
def test_a_wrong_key_is_a_401_that_does_not_repeat_it(client, path, credential):
    response, body = ask(client, path, f"Bearer {credential}")
    assert response.status_code == 401
    assert body["error"]["code"] == "invalid_api_key"
    assert body["error"]["message"].startswith("Incorrect API key provided: ")
    assert len(body["error"]["message"]) < 200
    assert len(credential) < 20 or credential not in body["error"]["message"]


def test_only_the_last_four_characters_of_a_wrong_key_are_shown(client):
    _, body = ask(client, "/v1/me", "Bearer sk-somebody-elses-key-WXYZ")
    assert "sk-...****WXYZ." in body["error"]["message"]
    assert "somebody" not in body["error"]["message"]


def test_revoked_expired_and_archived_keys_are_wrong_keys(client):
    mallory = rows.team("Mallory's team")
    _, revoked = rows.key(mallory, revoked_at=NOW)
    _, expired = rows.admin_key(expires_at=NOW)
    _, archived = rows.key(rows.team("Closed", archived_at=NOW))
    for secret in (revoked, expired, archived):
        response, body = ask(client, "/v1/me", f"Bearer {secret}")
        assert (response.status_code, body["error"]["code"]) == (401, "invalid_api_key")


def test_an_ordinary_key_is_told_which_scope_it_lacks(client):
    _, secret = rows.key(rows.team())
    for path in (COSTS, "/api/usage/events?format=csv", "/v1/organization/usage/embeddings?start_time=1"):
        response, body = ask(client, path, f"Bearer {secret}")
        assert response.status_code == 403
        assert "Missing scopes: api.usage.read." in body["error"]["message"]
        assert body["error"]["code"] is None


def test_a_session_of_an_administrator_opens_nothing_here(admin_client):
    assert admin_client.get(COSTS).status_code == 401


def test_the_last_use_is_kept_to_the_minute(client, clock):
    key, secret = rows.admin_key()
    for seconds, expected in ((0, 0), (59, 0), (60, 60)):
        clock.move_to(NOW + timedelta(seconds=seconds), tick=False)
        assert ask(client, COSTS, f"bearer {secret}")[0].status_code == 200
        assert AdminKey.objects.get(pk=key.pk).last_used_at == NOW + timedelta(seconds=expected)


def test_a_database_that_fails_is_a_503_and_never_a_401(client, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("the server closed the connection; password=hunter2")

    _, secret = rows.admin_key()
    monkeypatch.setattr(AdminKey.objects, "filter", fail)
    response, body = ask(client, COSTS, f"Bearer {secret}")
    assert response.status_code == 503
    assert body["error"]["type"] == "service_unavailable_error"
    assert response["retry-after"] == "1"
    assert "hunter2" not in response.content.decode()


# Me -----------------------------------------------------------------------------------------------------------------


class FixedLimiter:
    def team_gauges(self, team_id: int) -> list[Gauge]:
        return [Gauge("team", "requests", 60, 6, 1, 54, 6_000, 12.5)]

    def key_gauges(self, key_id: int) -> list[Gauge]:
        return [Gauge("key", "tokens", None, 0, 0, None, 0, None)]


@pytest.fixture
def _limiter():
    headroom.register(FixedLimiter())
    yield
    headroom.register(None)


@pytest.mark.usefixtures("_limiter")
def test_a_key_learns_its_team_tier_and_headroom(client):
    ada = rows.team("Ada's team", time_zone="Asia/Shanghai")
    key, secret = rows.key(ada, tokens_per_minute=500)
    _, me = ask(client, "/v1/me/", f"Bearer {secret}")
    assert me["key"]["name"] == "notebook"
    assert me["key"]["redacted_value"] == key.redacted
    assert me["key"]["limits"]["tokens_per_minute"] == 500
    assert me["team"] == {"id": ada.public_id, "name": "Ada's team", "time_zone": "Asia/Shanghai"}
    assert me["tier"] == {"name": "Basic", **rows.BASIC}
    assert me["headroom"] == [
        gauge._asdict() for gauge in (*FixedLimiter().team_gauges(1), *FixedLimiter().key_gauges(1))
    ]
    assert secret not in json.dumps(me)


def test_headroom_that_nobody_counts_is_unknown(client):
    _, secret = rows.key(rows.team())
    assert ask(client, "/v1/me", f"Bearer {secret}")[1]["headroom"] is None


def test_spend_follows_the_calendar_of_the_team_and_stays_inside_it(client):
    """At 02:30 UTC on the 20th it is 10:30 in Shanghai: its today began at 16:00 UTC on the 19th."""
    ada, grace = rows.team("Ada's team", time_zone="Asia/Shanghai"), rows.team("Grace's team", "Pro")
    ada_key, secret = rows.key(ada)
    grace_key, grace_secret = rows.key(grace)
    rows.event(ada_key, NOW - timedelta(hours=9))
    rows.event(ada_key, NOW - timedelta(hours=12), "gpt-4o", tokens=Tokens(1, 0, 0, 0, 0, 0, 0))
    rows.event(ada_key, NOW, "homemade")
    rows.refusal(ada_key, NOW)
    rows.event(grace_key, NOW)
    spend = ask(client, "/v1/me", f"Bearer {secret}")[1]["spend"]
    assert spend["time_zone"] == "Asia/Shanghai"
    assert (spend["today"]["since"], spend["this_month"]["since"]) == ("2026-11-20", "2026-11-01")
    assert (spend["today"]["cost_nano_usd"], spend["today"]["cost_usd"]) == (4_200_000, "0.0042")
    assert (spend["this_month"]["cost_nano_usd"], spend["this_month"]["cost_usd"]) == (4_202_500, "0.0042025")
    found = {
        model["model"]: (model["calls"], model["refused_calls"], model["unpriced_calls"])
        for model in spend["today"]["models"]
    }
    assert found == {"gpt-4": (1, 1, 0), "homemade": (1, 0, 1)}
    assert ask(client, "/v1/me", f"Bearer {grace_secret}")[1]["spend"]["this_month"]["cost_nano_usd"] == 4_200_000


def test_an_admin_key_sees_the_instance(client):
    rows.event(rows.key(rows.team())[0], NOW)
    rows.event(rows.key(rows.team("Grace's team", "Pro"))[0], NOW)
    _, secret = rows.admin_key()
    _, me = ask(client, "/v1/me", f"Bearer {secret}")
    assert (me["key"]["object"], me["team"], me["tier"], me["headroom"]) == (
        "organization.admin_api_key",
        None,
        None,
        None,
    )
    assert me["spend"]["today"]["cost_nano_usd"] == 8_400_000


def test_asking_does_not_wake_the_gateway(client, django_assert_num_queries):
    """The last use is written past the change feed."""
    key, secret = rows.key(rows.team())
    with django_assert_num_queries(5):  # admin keys, keys with team and tier, the last use of key and secret, the spend
        ask(client, "/v1/me", f"Bearer {secret}")
    assert ApiKey.objects.get(pk=key.pk).last_used_at == NOW


# Networks ------------------------------------------------------------------------------------------------------------


def from_address(client: Client, secret: str, address: str, forwarded_for: str = ""):
    told = {"x-forwarded-for": forwarded_for} if forwarded_for else {}
    answer = client.get("/v1/me", headers={"authorization": f"Bearer {secret}", **told}, REMOTE_ADDR=address)
    return answer.status_code, json.loads(answer.content)


def test_a_key_bound_to_networks_opens_nothing_from_elsewhere(client):
    _, secret = rows.key(rows.team(), ip_ranges=["203.0.113.0/24"])
    assert from_address(client, secret, "203.0.113.9")[0] == 200
    assert from_address(client, secret, "::ffff:203.0.113.9")[0] == 200
    status, body = from_address(client, secret, "198.51.100.1", forwarded_for="203.0.113.9")
    assert (status, body["error"]["code"], body["error"].keys()) == (401, "ip_not_authorized", FOUR_KEYS)
    assert "198.51.100.1" in body["error"]["message"]


def test_behind_proxies_that_are_trusted_the_address_before_them_counts(client, settings):
    settings.TRUSTED_PROXIES = 1
    _, secret = rows.key(rows.team(), ip_ranges=["203.0.113.0/24"])
    assert from_address(client, secret, "10.0.0.1", "198.51.100.1, 203.0.113.9")[0] == 200
    # What stands before the proxy's own word was written by the caller.
    assert from_address(client, secret, "10.0.0.1", "203.0.113.9, 198.51.100.1")[0] == 401
    status, body = from_address(client, secret, "10.0.0.1")
    assert (status, "unknown" in body["error"]["message"]) == (401, True)


def test_both_secrets_of_a_key_that_is_rotated_open_it_and_each_remembers_its_use(client):
    ada = User.objects.create_user("ada@example.com")
    key, old = rows.key(rows.team())
    new = keys.rotate(ada, key, timedelta(hours=1), NOW)
    told = [ask(client, "/v1/me", f"Bearer {secret}")[1]["key"] for secret in (old, new)]
    assert {each["id"] for each in told} == {key.public_id}
    # Each is told the secret that it sent.
    assert [each["redacted_value"][-4:] for each in told] == [old[-4:], new[-4:]]
    assert set(key.secrets.values_list("last_used_at", flat=True)) == {NOW}
    keys.finish(ada, key, key.secrets.get(expires_at__isnull=False).pk, NOW)
    assert ask(client, "/v1/me", f"Bearer {old}")[0].status_code == 401
    assert ask(client, "/v1/me", f"Bearer {new}")[0].status_code == 200
