"""Signing in with a password and a second factor, what is written down of it, and what ends a session."""

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.models import AuditEntry, InstanceSettings
from tests import rows
from tests.people import code_now, compile_chinese, forget_static_files, person, signed_in

PASSWORD = "correct horse battery"
NEW_PASSWORD = "another horse battery"
TwoFactor = InstanceSettings.TwoFactor
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_pages(settings):
    forget_static_files(settings)


@pytest.fixture
def chinese(settings):
    compile_chinese(settings)


@pytest.fixture
def team():
    return rows.team("Ada's team")


@pytest.fixture
def ada(team):
    return person("ada@example.com", team)


def sign_in(user, password: str = PASSWORD, **headers: str) -> Client:
    client = Client(headers=headers)
    client.post("/accounts/login/", {"login": user.email, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def ask_everyone(who: str = TwoFactor.EVERYONE) -> None:
    settings = InstanceSettings.current()
    settings.two_factor = who
    settings.save()


def set_up_app(client: Client) -> str:
    """An authenticator app, from its first page to its first code; gives the secret."""
    assert client.get("/accounts/2fa/app/")["location"].startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/?next=/accounts/2fa/app/", {"password": PASSWORD})
    secret = re.search(r'id="totp-secret">(\w+)<', client.get("/accounts/2fa/app/").content.decode())[1]
    answer = client.post("/accounts/2fa/app/", {"code": code_now(secret)})
    assert answer["location"] == "/accounts/2fa/codes/"
    return secret


# What is written down -------------------------------------------------------------------------------------------------


def test_every_sign_in_failure_and_sign_out_is_in_the_trail_with_where_it_came_from(ada) -> None:
    browser = sign_in(ada, "a wrong secret")
    sign_in(ada).post("/accounts/logout/")
    browser.post("/accounts/login/", {"login": "x" * 300 + "@example.com", "password": "a wrong secret"})
    assert actions() == ["sign_in.fail", "sign_in", "sign_out", "sign_in.fail"]
    failed, done, _, long = AuditEntry.objects.order_by("id")
    assert (failed.actor, failed.subject, failed.ip_address) == (None, "ada@example.com", "127.0.0.1")
    assert (done.actor, done.details) == (ada, {"ways": ["password"]})
    assert len(long.subject) == 254
    assert "wrong secret" not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "203.0.113.9"), (2, "198.51.100.7")])
def test_a_forwarded_address_is_believed_for_as_many_proxies_as_there_are(ada, settings, proxies, seen) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    sign_in(ada, **{"x-forwarded-for": "198.51.100.7, 203.0.113.9"})
    assert AuditEntry.objects.get().ip_address == seen


# Throttling -----------------------------------------------------------------------------------------------------------


def test_guessing_one_persons_password_is_stopped_after_five_and_the_right_one_does_not_help(ada) -> None:
    for _ in range(5):
        assert not is_in(sign_in(ada, "guess"))
    browser = sign_in(ada)
    assert not is_in(browser)
    seen = browser.post("/accounts/login/", {"login": ada.email, "password": PASSWORD}).content.decode()
    assert "Too many failed login attempts" in seen
    assert actions() == ["sign_in.fail"] * 5


def test_guessing_everybodys_password_from_one_address_is_stopped_with_a_page(ada) -> None:
    for number in range(30):
        Client().post("/accounts/login/", {"login": f"{number}@example.com", "password": "guess"})
    stopped = Client().post(
        "/accounts/login/", {"login": ada.email, "password": PASSWORD}, headers={"accept": "text/html"}
    )
    assert (stopped.status_code, stopped["retry-after"]) == (429, "60")
    assert b"Wait a minute, then try again" in stopped.content
    assert AuditEntry.objects.filter(action="sign_in.fail").count() == 10


def test_a_flood_of_names_does_not_push_the_counters_out(ada) -> None:
    for _ in range(5):
        sign_in(ada, "guess")
    for number in range(1_000):
        cache.set(f"allauth:rl:flood:{number}", [1.0], 300)
    assert not is_in(sign_in(ada))


def test_the_admins_own_sign_in_leads_to_the_one_door(ada) -> None:
    anonymous = Client()
    to_admin = anonymous.get("/admin/login/", {"next": "/admin/"})
    assert to_admin["location"] == "/accounts/login/?next=%2Fadmin%2F"
    posted = anonymous.post("/admin/login/", {"username": ada.email, "password": PASSWORD})
    assert posted["location"].startswith("/accounts/login/")
    assert signed_in(ada).get("/admin/", follow=True).status_code == 403
    root = person("root@example.com", is_staff=True, is_superuser=True)
    assert signed_in(root).get("/admin/").status_code == 200


def test_a_part_of_a_page_leads_back_to_the_page_after_the_sign_in(team) -> None:
    page = {"hx-request": "true", "hx-current-url": f"http://testserver/t/{team.pk}/overview/?range=7d"}
    answer = Client().get(f"/t/{team.pk}/overview/live/", headers=page)
    assert answer["hx-redirect"] == f"/accounts/login/?next=%2Ft%2F{team.pk}%2Foverview%2F%3Frange%3D7d"
    elsewhere = Client().get(f"/t/{team.pk}/overview/live/", headers=page | {"hx-current-url": "https://evil.example/"})
    assert elsewhere["hx-redirect"] == "/accounts/login/"


# What ends a session --------------------------------------------------------------------------------------------------


def test_a_changed_password_ends_the_persons_other_sessions_and_not_this_one(ada) -> None:
    here, elsewhere = sign_in(ada), sign_in(ada)
    fields = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    wrong = here.post("/accounts/password/change/", fields | {"password2": "no", "oldpassword": "no"}).content
    assert wrong.count(b"field-error") == 2
    assert here.post("/accounts/password/change/", fields).status_code == 302
    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert actions()[-1] == "password.change"
    assert "Was it not you?" in mail.outbox[0].body


def test_a_password_is_reset_by_a_link_that_works_once_and_ends_every_session(ada) -> None:
    elsewhere, lost = sign_in(ada), Client()
    lost.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert mail.outbox == []
    lost.post("/accounts/password/reset/", {"email": "ADA@example.com"})
    link = re.search(r"http://testserver(/\S+)", mail.outbox[0].body)[1]
    form = lost.get(link, follow=True).redirect_chain[-1][0]
    lost.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert not is_in(elsewhere)
    assert is_in(sign_in(ada, NEW_PASSWORD))
    assert b"This link is used or too old" in Client().get(link, follow=True).content
    assert "password.reset" in actions()


def test_sessions_are_listed_and_ended_one_by_one_or_all_others_at_once(ada) -> None:
    here, telephone, laptop = sign_in(ada), sign_in(ada, **{"user-agent": "Firefox/140 Android"}), sign_in(ada)
    seen = here.get("/account/sessions/").content.decode()
    assert "Firefox on Android" in seen
    assert seen.count("this one") == 1
    ended = re.search(r'Firefox on Android.*?name="session" value="(\d+)"', seen, re.DOTALL)[1]
    here.post("/account/sessions/", {"session": ended})
    assert (is_in(telephone), is_in(laptop)) == (False, True)
    mallory = person("mallory@example.com")
    sign_in(mallory).post("/account/sessions/", {"session": re.findall(r'name="session" value="(\d+)"', seen)[-1]})
    assert is_in(laptop)
    here.post("/account/sessions/", {"others": "1"})
    assert (is_in(here), is_in(laptop)) == (True, False)
    for hostile in ("", "x", "-1", "9" * 400, "٣"):
        assert here.post("/account/sessions/", {"session": hostile}).status_code == 302


def test_when_somebody_was_last_seen_is_written_every_five_minutes_and_no_more(ada, django_assert_num_queries) -> None:
    browser = sign_in(ada)
    ada.refresh_from_db()
    first = ada.last_seen_at
    browser.get("/account/")
    with django_assert_num_queries(3):  # the session, the user, and the user to be changed
        browser.get("/account/")
    cache.clear()
    browser.get("/account/")
    ada.refresh_from_db()
    assert ada.last_seen_at > first


# The second factor ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # allauth writes to the trail when its transaction is through
def test_a_code_of_the_app_is_asked_for_and_a_recovery_code_works_once_in_its_place(ada) -> None:
    browser = sign_in(ada)
    secret = set_up_app(browser)
    codes = browser.get("/accounts/2fa/codes/download/").content.decode().split()
    assert len(codes) == 10
    assert secret not in str(list(ada.authenticator_set.values()))
    again = sign_in(ada)
    assert not is_in(again)
    wrong = again.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert b"field-error" in wrong.content
    assert not is_in(again)
    again.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert is_in(again)
    third = sign_in(ada)
    third.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert not is_in(third)
    assert {"second_factor.add", "recovery_codes.add", "sign_in.fail"} <= set(actions())
    assert AuditEntry.objects.filter(action="sign_in").latest("id").details == {"ways": ["password", "recovery_codes"]}


@pytest.mark.django_db(transaction=True)  # allauth writes to the trail when its transaction is through
def test_turning_it_off_ends_the_other_sessions_and_is_told_by_mail(ada) -> None:
    here = sign_in(ada)
    set_up_app(here)
    elsewhere = signed_in(ada)
    assert is_in(elsewhere)
    assert here.post("/accounts/2fa/app/remove/").status_code == 302
    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert [message.subject for message in mail.outbox] == [
        "Authenticator App Activated",
        "Authenticator App Deactivated",
    ]
    assert "second_factor.remove" in actions()


def test_whoever_must_have_one_is_led_to_it_before_any_other_page_and_cannot_turn_it_off(ada, team) -> None:
    ask_everyone()
    browser = sign_in(ada)
    page = f"/t/{team.pk}/overview/"
    assert browser.get(page)["location"] == "/accounts/2fa/"
    part = browser.get(f"/t/{team.pk}/overview/live/", headers={"hx-request": "true"})
    assert (part.status_code, part["hx-redirect"]) == (204, "/accounts/2fa/")
    assert b"This instance asks you for a second factor" in browser.get("/accounts/2fa/").content
    set_up_app(browser)
    assert browser.get(page).status_code == 200
    refused = browser.post("/accounts/2fa/app/remove/").content.decode()
    assert "form-error" in refused
    assert ada.authenticator_set.filter(type="totp").exists()
    ask_everyone(TwoFactor.NOBODY)
    assert browser.post("/accounts/2fa/app/remove/").status_code == 302


def test_when_administrators_must_have_one_nobody_else_has_to(ada, team) -> None:
    ask_everyone(TwoFactor.ADMINISTRATORS)
    assert signed_in(ada).get(f"/t/{team.pk}/overview/").status_code == 200
    root = signed_in(person("root@example.com", is_staff=True))
    assert root.get("/instance/overview/")["location"] == "/accounts/2fa/"
    assert root.post("/accounts/logout/").status_code == 302


# Your account ---------------------------------------------------------------------------------------------------------


def test_a_new_address_counts_after_a_click_on_the_link_sent_there_and_once(ada) -> None:
    here, elsewhere = sign_in(ada), sign_in(ada)
    assert here.get("/account/email/")["location"].startswith("/accounts/reauthenticate/")
    here.post("/accounts/reauthenticate/?next=/account/email/", {"password": PASSWORD})
    person("grace@example.com")
    assert b"This address has an account" in here.post("/account/email/", {"email": "Grace@example.com"}).content
    here.post("/account/email/", {"email": "lovelace@example.com"})
    assert mail.outbox[0].to == ["lovelace@example.com"]
    link = re.search(r"http://testserver(/\S+)", mail.outbox[0].body)[1]
    mallory = signed_in(person("mallory@example.com"))
    assert mallory.post(link).status_code == 404
    assert here.get(link).status_code == 200
    here.post(link)
    ada.refresh_from_db()
    assert ada.email == "lovelace@example.com"
    assert mail.outbox[1].to == ["ada@example.com"]
    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert here.post(link).status_code == 404
    assert here.get("/account/email/forged/").status_code == 404
    assert "email.change" in actions()


def test_the_language_of_the_profile_is_spoken_by_every_browser_and_the_switch_changes_it(ada, chinese) -> None:
    here = sign_in(ada)
    here.post("/account/", {"name": "Ada Lovelace", "language": "zh-hans"})
    assert "个人资料" in here.get("/account/").content.decode()
    elsewhere = sign_in(ada)
    assert "个人资料" in elsewhere.get("/account/").content.decode()
    elsewhere.post("/i18n/setlang/", {"language": "en"})
    ada.refresh_from_db()
    assert (ada.name, ada.language) == ("Ada Lovelace", "en")


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_wrong_profile_is_told_beside_the_field(ada, name) -> None:
    seen = signed_in(ada).post("/account/", {"name": name, "language": "xx"}).content.decode()
    assert 'id="id_language_error"' in seen


@pytest.mark.parametrize(
    ("page", "queries"),
    [
        ("/account/", 3),
        ("/account/sessions/", 11),  # with one session; each further one is looked up
        ("/accounts/2fa/", 4),
        ("/accounts/passkeys/", 3),
        ("/accounts/password/change/", 2),
    ],
)
def test_a_page_of_the_account_costs_a_fixed_number_of_queries(ada, page, queries, django_assert_num_queries) -> None:
    browser = sign_in(ada)
    browser.get(page)
    with django_assert_num_queries(queries):
        browser.get(page)


def test_pages_of_somebody_who_left_the_room_are_not_in_the_browsers_memory(ada) -> None:
    for page in ("/account/", "/account/sessions/"):
        assert "no-store" in signed_in(ada).get(page)["cache-control"]
