"""Mail, public address and the company's provider, as the environment sets them."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from megadash import environment
from tests.test_settings import run_manage

OIDC = {
    "MEGADASH_OIDC_ISSUER": "https://id.example.com/realms/engines/",
    "MEGADASH_OIDC_CLIENT_ID": "megadash",
    "MEGADASH_OIDC_CLIENT_SECRET": "between us",
}


@pytest.fixture
def env(monkeypatch):
    for name in (*OIDC, "MEGADASH_OIDC_NAME", "MEGADASH_EMAIL_URL", "MEGADASH_EMAIL_FROM", "MEGADASH_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "ssl"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, False, False),
        ("smtp://ada:p%40ss@mail.example.com?tls=1", "mail.example.com", 587, True, False),
        ("smtps://ada:p%40ss@mail.example.com", "mail.example.com", 465, False, True),
        ("smtp://ada:p%40ss@[::1]:2525?tls=0", "::1", 2525, False, False),
    ],
)
def test_an_smtp_address_is_read_into_its_parts(env, url, host, port, tls, ssl) -> None:
    env("MEGADASH_EMAIL_URL", url)
    read = environment.email(Path("/nowhere"))
    assert (read["EMAIL_HOST"], read["EMAIL_PORT"]) == (host, port)
    assert (read["EMAIL_USE_TLS"], read["EMAIL_USE_SSL"]) == (tls, ssl)
    assert read["EMAIL_HOST_PASSWORD"] == ("p@ss" if "@mail" in url or "::1" in url else "")


def test_mail_goes_to_the_console_or_into_the_data_directory(env) -> None:
    assert "console" in str(environment.email(Path("/data"))["EMAIL_BACKEND"])
    env("MEGADASH_EMAIL_URL", "file:")
    assert environment.email(Path("/data"))["EMAIL_FILE_PATH"] == "/data/mail"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "console",
            "file:/etc",
            "http://mail",
            "smtp://",
            "smtp://host:99999",
            "smtp://host/path",
            "smtp://host?tls=yes",
        ),
        *(
            "smtp://host?ssl=1",
            "smtps://host?tls=1",
            "smtp://host?",
            "smtp://ada:secret@",
            "smtp://host#x",
            "smtp://[::1",
        ),
    ],
)
def test_a_wrong_mail_address_is_refused_without_repeating_its_password(env, url) -> None:
    env("MEGADASH_EMAIL_URL", url)
    if url == "smtp://host?":
        environment.email(Path("/nowhere"))
        return
    with pytest.raises(ImproperlyConfigured, match="MEGADASH_EMAIL_URL") as told:
        environment.email(Path("/nowhere"))
    assert "secret" not in str(told.value).replace("smtp://user:password", "")


def test_whom_mail_comes_from(env) -> None:
    assert environment.email_from("https://mega.example.com") == "MegaDash <megadash@mega.example.com>"
    for wrong in ("nobody", "@example.com", "a@b\r\nBcc: c@d"):
        env("MEGADASH_EMAIL_FROM", wrong)
        with pytest.raises(ImproperlyConfigured, match="MEGADASH_EMAIL_FROM"):
            environment.email_from("")


@pytest.mark.parametrize(
    "wrong", ["mega.example.com", "ftp://x", "https://a@b", "https://x:99999", "https://x/?q", "https://["]
)
def test_the_public_address_is_a_scheme_and_a_host(env, wrong) -> None:
    env("MEGADASH_PUBLIC_URL", "https://mega.example.com:8443/")
    assert environment.origin("MEGADASH_PUBLIC_URL") == "https://mega.example.com:8443"
    env("MEGADASH_PUBLIC_URL", wrong)
    with pytest.raises(ImproperlyConfigured, match="MEGADASH_PUBLIC_URL"):
        environment.origin("MEGADASH_PUBLIC_URL")


def test_the_companys_provider_needs_all_three_settings_and_https(env) -> None:
    assert environment.openid_connect() == []
    for name, value in OIDC.items():
        env(name, value)
    (app,) = environment.openid_connect()
    assert (app["name"], app["client_id"]) == ("OpenID Connect", "megadash")
    assert app["settings"] == {"server_url": "https://id.example.com/realms/engines", "oauth_pkce_enabled": True}
    env("MEGADASH_OIDC_CLIENT_SECRET", "")
    with pytest.raises(ImproperlyConfigured, match="MEGADASH_OIDC_CLIENT_SECRET is not set"):
        environment.openid_connect()
    env("MEGADASH_OIDC_CLIENT_SECRET", "between us")
    env("MEGADASH_OIDC_ISSUER", "http://id.example.com")
    with pytest.raises(ImproperlyConfigured, match="https"):
        environment.openid_connect()
    env("MEGADASH_OIDC_ISSUER", "")
    with pytest.raises(ImproperlyConfigured, match="MEGADASH_OIDC_ISSUER is not set"):
        environment.openid_connect()


def test_djangos_own_deployment_check_finds_nothing_with_https_and_without(settings) -> None:
    call_command("check", deploy=True, fail_level="WARNING")
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]
    call_command("check", deploy=True, fail_level="WARNING")


def test_behind_https_every_cookie_is_for_https_only(tmp_path) -> None:
    asked = (
        "from django.conf import settings as s; print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, "
        "s.LANGUAGE_COOKIE_SECURE, s.CSRF_TRUSTED_ORIGINS, s.ALLOWED_HOSTS[-1], s.SECURE_PROXY_SSL_HEADER, "
        "s.SILENCED_SYSTEM_CHECKS)"
    )
    https = {"MEGADASH_PUBLIC_URL": "https://mega.example.com"}
    done = run_manage(tmp_path, "shell", "--no-imports", "-c", asked, **https)
    wanted = "True True True ['https://mega.example.com'] mega.example.com None ['security.W004', 'security.W008']"
    assert done.stdout.strip() == wanted, done.stderr
