"""Signing in through the company's own provider: a real one, which vouches for some addresses and not for others."""

import html
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import invitations
from accounts.models import AuditEntry, InstanceSettings, Invitation, Membership, User
from tests import oidc, rows
from tests.people import forget_static_files, person

CALLBACK = "http://testserver/accounts/oidc/company/login/callback/"
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not oidc.has_provider(), reason="no Node, or its packages are not installed"),
]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with oidc.provider(CALLBACK, tmp_path_factory.mktemp("oidc") / "log") as address:
        yield address


@pytest.fixture(autouse=True)
def _company(settings, issuer):
    forget_static_files(settings)
    app = {
        "provider_id": "company",
        "name": "Analytical Engines",
        "client_id": "megadash",
        "secret": "a secret between the two",
        "settings": {"server_url": issuer, "oauth_pkce_enabled": True},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}


def come_through(email: str, client: Client | None = None, query: str = ""):
    """The answer of MegaDash when the provider sends this person back."""
    client = client or Client()
    leaving = client.post(f"/accounts/oidc/company/login/{query}")
    assert leaving.status_code == 200, leaving
    address = html.unescape(re.search(r'content="0; url=([^"]+)"', leaving.content.decode())[1])
    back = oidc.sign_in_there(address, email, CALLBACK)
    return client.get(back.removeprefix("http://testserver")), client


def invited(email: str, **fields) -> Invitation:
    made = {
        "team": rows.team(),
        "role": "member",
        "token_digest": email,
        "expires_at": timezone.now() + timedelta(days=1),
    }
    return Invitation.objects.create(email=email, **(made | fields))


def test_somebody_with_an_account_of_the_verified_address_is_signed_in_to_it() -> None:
    team = rows.team()
    ada = person("ada@example.com", team)
    answer, browser = come_through("ada@example.com")
    assert answer.status_code == 302
    assert browser.get(f"/t/{team.pk}/overview/").status_code == 200
    assert User.objects.count() == 1
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "company_account.add",
        "sign_in",
    ]
    # Found by the company's name for the person from now on, whatever becomes of the address.
    User.objects.filter(pk=ada.pk).update(email="lovelace@example.com")
    answer, browser = come_through("ada@example.com")
    assert browser.get(f"/t/{team.pk}/overview/").status_code == 200
    assert User.objects.count() == 1


def test_somebody_invited_gets_an_account_and_is_in_the_team_at_once() -> None:
    invitation = invited("grace@example.com")
    answer, browser = come_through("grace@example.com")
    assert answer.status_code == 302
    grace = User.objects.get()
    assert (grace.email, grace.name, grace.has_usable_password()) == ("grace@example.com", "From the company", False)
    assert Membership.objects.get().role == "member"
    assert browser.get(f"/t/{invitation.team_id}/overview/").status_code == 200
    invitation.refresh_from_db()
    assert invitation.accepted_by == grace
    assert {"sign_in", "member.join"} <= set(AuditEntry.objects.values_list("action", flat=True))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"withdrawn_at": timezone.now()}, {"expires_at": timezone.now()}],
    ids=["none", "withdrawn", "expired"],
)
def test_without_an_open_invitation_nobody_gets_an_account(wrong) -> None:
    if wrong:
        invited("mallory@example.com", **wrong)
    answer, browser = come_through("mallory@example.com")
    assert (answer.status_code, User.objects.count()) == (403, 0)
    assert b"Nobody has invited your e-mail address yet" in answer.content
    assert browser.get("/account/").status_code == 302


def test_an_address_the_provider_does_not_vouch_for_opens_neither_an_account_nor_an_invitation() -> None:
    person("unverified-ada@example.com", rows.team())
    invited("unverified-grace@example.com")
    for email in ("unverified-ada@example.com", "unverified-grace@example.com"):
        answer, browser = come_through(email)
        assert answer.status_code == 403
        assert b"Your address is not verified" in answer.content
        assert browser.get("/account/").status_code == 302
    assert User.objects.count() == 1


def test_the_second_factor_is_asked_for_here_too_when_everyone_must_have_one() -> None:
    settings = InstanceSettings.current()
    settings.two_factor = InstanceSettings.TwoFactor.EVERYONE
    settings.save()
    team = rows.team()
    person("ada@example.com", team)
    _, browser = come_through("ada@example.com")
    assert browser.get(f"/t/{team.pk}/overview/")["location"] == "/accounts/2fa/"


def test_a_signed_in_person_connects_the_company_account_and_disconnects_it(client) -> None:
    ada = person("ada@example.com", rows.team())
    client.post("/accounts/login/", {"login": ada.email, "password": "correct horse battery"})
    assert b"Analytical Engines" in client.get("/accounts/company/").content
    confirming, _ = come_through("countess@example.com", client, "?process=connect")
    assert confirming["location"] == "/accounts/reauthenticate/"
    connected = client.post("/accounts/reauthenticate/", {"password": "correct horse battery"})
    assert connected["location"] == "/accounts/company/"
    seen = client.get("/accounts/company/").content.decode()
    account = re.search(r'name="account" value="(\d+)"', seen)[1]
    assert client.post("/accounts/company/", {"account": account}).status_code == 302
    assert {"company_account.add", "company_account.remove"} <= set(AuditEntry.objects.values_list("action", flat=True))
    answer, _ = come_through("countess@example.com")
    assert answer.status_code == 403


def test_a_forged_answer_and_a_provider_that_is_away_end_on_a_page(settings) -> None:
    seen = Client().get("/accounts/oidc/company/login/callback/?code=forged&state=forged")
    assert seen.status_code == 401
    assert b"That sign-in did not work" in seen.content
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = "http://127.0.0.1:1"
    assert b"That sign-in did not work" in Client().post("/accounts/oidc/company/login/").content
    assert Client().post("/accounts/oidc/nobody/login/").status_code == 404


def test_the_sign_in_and_the_invitation_offer_it_and_the_way_back_goes_along(rf) -> None:
    sign_in = Client().get("/accounts/login/?next=/account/").content.decode()
    assert "Continue with Analytical Engines" in sign_in
    for door in ("/accounts/oidc/company/login/", "/accounts/passkeys/sign-in/"):
        assert f'action="{door}?next=%2Faccount%2F"' in sign_in
    ada = person("ada@example.com", team := rows.team())
    invitations.invite(ada, team, "new@example.com", "member", rf.get("/"))
    link = re.search(r"http://testserver(/join/\S+)", mail.outbox[0].body)[1]
    assert b"Continue with Analytical Engines" in Client().get(link).content
    answer, _ = come_through("ada@example.com", query="?next=/account/")
    assert answer["location"] == "/account/"
