"""A team's members: inviting them, their roles, what happens when they go. And the settings its admins change."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from accounts.models import AuditEntry, InstanceSettings, Invitation, Membership, Team, User
from tests import rows
from tests.people import compile_chinese, forget_static_files, person, signed_in

Role = Membership.Role
PASSWORD = "correct horse battery"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_pages(settings):
    forget_static_files(settings)


@pytest.fixture
def team():
    return rows.team("Ada's team")


@pytest.fixture
def ada(team):
    return person("ada@example.com", team)


@pytest.fixture
def owner(ada):
    return signed_in(ada)


def invite(client: Client, team: Team, email: str = "grace@example.com", role: str = Role.MEMBER, **headers: str):
    return client.post(f"/t/{team.pk}/team/invite/", {"email": email, "role": role}, headers=headers)


def link_of(message) -> str:
    return re.search(r"http://testserver(/join/\S+)", message.body)[1]


def join(link: str, name: str = "Grace Hopper", password: str = PASSWORD):
    browser = Client()
    return browser.post(link, {"name": name, "password": password}), browser


def membership(user: User, team: Team) -> Membership:
    return Membership.objects.get(user=user, team=team)


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def shown(client: Client, team: Team) -> str:
    return re.sub(r"<[^>]*>|\s+", " ", client.get(f"/t/{team.pk}/team/").content.decode())


# Inviting -------------------------------------------------------------------------------------------------------------


def test_the_story_of_an_invitation_from_the_dialog_to_the_teams_page(owner, team) -> None:
    assert invite(owner, team, "Grace@example.com", Role.ADMIN)["location"] == f"/t/{team.pk}/team/"
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["grace@example.com"], "Ada invites you to Ada's team")
    text, html = message.body, message.alternatives[0].content
    token = link_of(message).split("/")[2]
    assert len(token) == 43
    assert token in html
    assert "as admin" in text
    assert token not in str(list(Invitation.objects.values()))
    assert token not in str(list(AuditEntry.objects.values()))
    assert "grace@example.com" in shown(owner, team)

    stranger = Client()
    page = stranger.get(link_of(message)).content.decode()
    assert "Make an account and join" in page
    weak = stranger.post(link_of(message), {"name": "Grace Hopper", "password": "password"}).content.decode()
    assert 'id="id_password_error"' in weak
    answer, browser = join(link_of(message))
    assert answer["location"] == f"/t/{team.pk}/overview/"
    assert browser.get(f"/t/{team.pk}/team/").status_code == 200
    grace = User.objects.get(email="grace@example.com")
    assert membership(grace, team).role == Role.ADMIN
    assert actions() == ["member.invite", "member.join", "sign_in"]
    assert not grace.is_staff


def test_a_link_works_once_and_says_so_afterwards(owner, team) -> None:
    invite(owner, team)
    join(link_of(mail.outbox[0]))
    answer, _ = join(link_of(mail.outbox[0]), "Mallory")
    assert answer.status_code == 410
    assert b"This invitation was used" in answer.content
    assert User.objects.count() == 2


def test_sending_again_makes_a_new_link_and_kills_the_old_one(owner, team) -> None:
    invite(owner, team)
    invitation = Invitation.objects.get()
    Invitation.objects.update(expires_at=timezone.now())
    assert "expired" in shown(owner, team)
    owner.post(f"/t/{team.pk}/team/invitations/{invitation.pk}/resend/")
    old, new = map(link_of, mail.outbox)
    assert Client().get(old).status_code == 404
    assert join(new)[0].status_code == 302
    assert "member.invite_again" in actions()


def test_a_withdrawn_and_an_expired_invitation_say_what_they_are(owner, team) -> None:
    invite(owner, team)
    invite(owner, team, "alan@example.com")
    first, second = Invitation.objects.order_by("id")
    for _ in range(2):
        owner.post(f"/t/{team.pk}/team/invitations/{first.pk}/withdraw/")
    Invitation.objects.filter(pk=second.pk).update(expires_at=timezone.now() - timedelta(days=1))
    withdrawn, expired = (Client().get(link_of(message)) for message in mail.outbox)
    assert b"This invitation was withdrawn" in withdrawn.content
    assert b"This invitation has expired" in expired.content
    assert actions().count("member.uninvite") == 1
    assert "is withdrawn." in shown(owner, team)
    assert "grace@example.com" not in shown(owner, team)


def test_somebody_with_an_account_accepts_with_a_click_and_only_as_the_one_invited(owner, team) -> None:
    grace, mallory = person("grace@example.com", rows.team("Grace's team", "Pro")), person("mallory@example.com")
    invite(owner, team)
    link = link_of(mail.outbox[0])
    assert f"/accounts/login/?next={link}".replace("/", "%2F").encode()[-40:] in Client().get(link).content
    assert b"somebody else was invited" in signed_in(mallory).post(link).content
    assert not Membership.objects.filter(user=mallory).exists()
    graces = signed_in(grace)
    assert b"Join the team" in graces.get(link).content
    assert graces.post(link)["location"] == f"/t/{team.pk}/overview/"
    assert membership(grace, team).role == Role.MEMBER


def test_a_member_and_somebody_invited_already_are_errors_beside_the_field(owner, team) -> None:
    person("grace@example.com", team, Role.VIEWER)
    assert b"This person is in the team already." in invite(owner, team, "GRACE@example.com").content
    invite(owner, team, "alan@example.com")
    again = invite(owner, team, "alan@example.com").content.decode()
    assert 'id="id_email_error">This person has an open invitation' in again
    assert b'id="id_email_error"' in invite(owner, team, "nobody").content
    assert len(mail.outbox) == 1


def test_the_mail_speaks_the_language_of_whoever_invites_and_leads_to_the_public_address(owner, team, settings) -> None:
    compile_chinese(settings)
    instance = InstanceSettings.current()
    instance.public_url = "https://mega.example.com"
    instance.save()
    invite(owner, team, **{"accept-language": "zh-CN"})
    assert mail.outbox[0].subject == "Ada 邀请你加入 Ada's team"
    assert "https://mega.example.com/join/" in mail.outbox[0].body
    assert "加入团队" in mail.outbox[0].alternatives[0].content


def test_a_mail_server_that_is_away_leaves_the_invitation_open_and_says_so(owner, team, settings) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    invite(owner, team)
    assert "but the e-mail could not be sent" in shown(owner, team)
    assert Invitation.objects.get().is_open(timezone.now())


def test_guessing_links_is_throttled(owner, team) -> None:
    invite(owner, team)
    link = link_of(mail.outbox[0])
    answers = [Client().get(f"/join/{number}/").status_code for number in range(31)]
    assert answers == [404] * 30 + [429]
    assert Client().get(link).status_code == 429


@pytest.mark.parametrize("name", ["x" * 200, "<script>alert(1)</script>", "\u202eevil", "{{ 7*7 }}"])
def test_hostile_names_are_shown_as_they_are(owner, team, name) -> None:
    person("grace@example.com", team, Role.VIEWER)
    User.objects.filter(email="grace@example.com").update(name=name)
    seen = owner.get(f"/t/{team.pk}/team/").content.decode()
    assert "<script>alert" not in seen
    assert f'<bdi class="name" title="{escape(name)}">{escape(name)}</bdi>' in seen


# Roles ----------------------------------------------------------------------------------------------------------------


def set_role(client: Client, who: Membership, role: str):
    return client.post(f"/t/{who.team_id}/team/members/{who.pk}/role/", {"role": role})


def test_a_changed_role_ends_the_persons_sessions_at_the_next_request(owner, team) -> None:
    grace = person("grace@example.com", team, Role.ADMIN)
    graces = signed_in(grace)
    assert graces.get(f"/t/{team.pk}/team/").status_code == 200
    set_role(owner, membership(grace, team), Role.VIEWER)
    assert graces.get(f"/t/{team.pk}/overview/").status_code == 302
    assert owner.get(f"/t/{team.pk}/team/").status_code == 200
    entry = AuditEntry.objects.get(action="member.role")
    assert entry.details == {"old": "admin", "new": "viewer"}
    set_role(owner, membership(grace, team), Role.VIEWER)
    assert actions().count("member.role") == 1


def test_an_admin_manages_everybody_but_owners(team, ada) -> None:
    admin = signed_in(person("grace@example.com", team, Role.ADMIN))
    alan = membership(person("alan@example.com", team, Role.MEMBER), team)
    assert set_role(admin, alan, Role.ADMIN).status_code == 302
    assert b"field-error" in set_role(admin, alan, Role.OWNER).content
    assert b"Only owners decide about owners." in set_role(admin, membership(ada, team), Role.MEMBER).content
    owners_page = f"/t/{team.pk}/team/members/{membership(ada, team).pk}/remove/"
    assert b"Only owners decide about owners." in admin.post(owners_page).content
    assert b"field-error" in invite(admin, team, role=Role.OWNER).content
    assert (Membership.objects.filter(role=Role.OWNER).count(), Invitation.objects.count()) == (1, 0)


def test_an_owner_makes_an_owner_and_may_then_step_back_and_stays_signed_in_here(team, ada, owner) -> None:
    grace = person("grace@example.com", team, Role.MEMBER)
    assert b"A team needs an owner." in set_role(owner, membership(ada, team), Role.MEMBER).content
    set_role(owner, membership(grace, team), Role.OWNER)
    elsewhere = signed_in(ada)
    assert set_role(owner, membership(ada, team), Role.MEMBER).status_code == 302
    assert owner.get(f"/t/{team.pk}/overview/").status_code == 200
    assert elsewhere.get(f"/t/{team.pk}/overview/").status_code == 302


def test_a_platform_administrator_decides_about_owners_but_leaves_one(team, ada) -> None:
    root = signed_in(person("root@example.com", is_staff=True))
    assert b"A team needs an owner." in set_role(root, membership(ada, team), Role.ADMIN).content
    assert invite(root, team, role=Role.OWNER).status_code == 302
    join(link_of(mail.outbox[0]))
    assert set_role(root, membership(ada, team), Role.ADMIN).status_code == 302
    assert b"You are not in this team." in root.post(f"/t/{team.pk}/team/leave/").content


def test_a_posted_role_team_or_staff_flag_changes_nothing_else(team, ada) -> None:
    member = person("grace@example.com", team, Role.MEMBER)
    client = signed_in(member)
    client.post(
        "/account/", {"name": "Grace", "language": "", "is_staff": "on", "role": "owner", "email": "x@example.com"}
    )
    member.refresh_from_db()
    assert (member.is_staff, member.email, membership(member, team).role) == (False, "grace@example.com", Role.MEMBER)
    for page in ("team/settings/", "team/invite/", f"team/members/{membership(ada, team).pk}/role/"):
        assert client.post(f"/t/{team.pk}/{page}", {"role": "viewer", "email": "x@example.com"}).status_code == 404


def test_members_and_invitations_of_another_team_are_not_found_below_ones_own(owner, team) -> None:
    graces = rows.team("Grace's team", "Pro")
    grace = person("grace@example.com", graces)
    invite(signed_in(grace), graces, "alan@example.com")
    theirs, invitation = membership(grace, graces), Invitation.objects.get()
    for page in (
        f"members/{theirs.pk}/role/",
        f"members/{theirs.pk}/remove/",
        f"invitations/{invitation.pk}/resend/",
        f"invitations/{invitation.pk}/withdraw/",
        f"members/{'9' * 30}/role/",
    ):
        assert owner.post(f"/t/{team.pk}/team/{page}", {"role": "viewer"}).status_code == 404, page


# Going ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revoke", [False, True])
def test_whoever_is_removed_is_out_at_once_and_their_keys_stay_or_go_as_chosen(owner, team, revoke) -> None:
    grace = person("grace@example.com", team, Role.MEMBER)
    key, _ = rows.key(team, created_by=grace)
    graces = signed_in(grace)
    page = f"/t/{team.pk}/team/members/{membership(grace, team).pk}/remove/"
    assert b"1 live key was made by them." in owner.get(page).content
    owner.post(page, {"revoke_keys": "1"} if revoke else {})
    assert graces.get(f"/t/{team.pk}/overview/").status_code == 302
    assert signed_in(User.objects.get(pk=grace.pk)).get(f"/t/{team.pk}/overview/").status_code == 404
    key.refresh_from_db()
    assert (key.revoked_at is not None) is revoke
    assert ("key.revoke" in actions()) is revoke
    assert AuditEntry.objects.get(action="member.remove").details["keys_revoked"] == int(revoke)
    assert owner.post(page).status_code == 404


def test_a_member_leaves_and_the_last_owner_cannot(owner, team) -> None:
    grace = person("grace@example.com", team, Role.MEMBER)
    graces = signed_in(grace)
    assert graces.post(f"/t/{team.pk}/team/leave/")["location"] == "/"
    assert not Membership.objects.filter(user=grace).exists()
    assert b"A team needs an owner." in owner.post(f"/t/{team.pk}/team/leave/").content
    assert actions() == ["member.leave"]


# The page and its settings --------------------------------------------------------------------------------------------


def test_admins_see_who_has_a_second_factor_and_members_do_not(owner, team) -> None:
    assert "Second factor" in shown(owner, team)
    member = signed_in(person("grace@example.com", team, Role.MEMBER))
    assert "Second factor" not in shown(member, team)
    assert "Invitations" not in shown(member, team)


def test_the_list_of_60_members_costs_as_many_queries_as_one(owner, team, django_assert_num_queries) -> None:
    people = User.objects.bulk_create(User(email=f"{number}@example.com", password="!") for number in range(60))
    Membership.objects.bulk_create(Membership(user=user, team=team) for user in people)
    owner.get(f"/t/{team.pk}/team/")
    with django_assert_num_queries(7):  # session, user, standing, members, second factors, invitations, teams
        owner.get(f"/t/{team.pk}/team/")


def test_settings_are_saved_with_their_line_in_the_trail_and_the_days_are_counted_again(owner, team) -> None:
    fields = {"name": "Ada's engines", "time_zone": "Asia/Shanghai", "on_abort": "drain"}
    answer = owner.post(f"/t/{team.pk}/team/settings/", fields, headers={"hx-request": "true"})
    assert (answer.status_code, answer["hx-redirect"]) == (204, f"/t/{team.pk}/team/")
    team.refresh_from_db()
    assert (team.name, team.on_abort, team.next_time_zone) == ("Ada's engines", "drain", "Asia/Shanghai")
    assert "being counted again for Asia/Shanghai" in shown(owner, team)
    assert actions() == ["team.change", "team.time_zone"]
    owner.post(f"/t/{team.pk}/team/settings/", fields)
    assert len(actions()) == 2


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "x" * 201), ("time_zone", "Mars/Olympus"), ("on_abort", "explode")]
)
def test_a_wrong_setting_is_told_beside_its_field(owner, team, field, value) -> None:
    fields = {"name": "Ada's", "time_zone": "UTC", "on_abort": "stop"} | {field: value}
    seen = owner.post(f"/t/{team.pk}/team/settings/", fields).content.decode()
    assert f'id="id_{field}_error"' in seen
    assert actions() == []
