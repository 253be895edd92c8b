"""One settings file. Runs with no environment at all; README.md lists every variable (a test checks that)."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from megadash import environment

HOST = environment.text("MEGADASH_HOST", "127.0.0.1")
PORT = environment.integer("MEGADASH_PORT", 8000, at_least=1, at_most=65535)
DATA_DIR = environment.data_dir()
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = environment.secret_key(DATA_DIR)
DEBUG = False
# Where people reach the pages, when that is not where they are served: behind a proxy that speaks TLS.
PUBLIC_URL = environment.origin("MEGADASH_PUBLIC_URL")
IS_HTTPS = PUBLIC_URL.startswith("https://")
TRUSTED_PROXIES = environment.integer("MEGADASH_TRUSTED_PROXIES", 0, at_least=0, at_most=10)
ALLOWED_HOSTS = [host.strip() for host in environment.text("MEGADASH_ALLOWED_HOSTS").split(",") if host.strip()] or [
    "localhost",
    "127.0.0.1",
    "[::1]",
    *({HOST} - {"0.0.0.0", "::"}),  # noqa: S104 - compared, not bound
]
if PUBLIC_URL:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, str(urlsplit(PUBLIC_URL).hostname)]
    CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# The write path -----------------------------------------------------------------------------------------------------
GATEWAY_WORKERS = environment.integer("MEGADASH_GATEWAY_WORKERS", 1, at_least=1, at_most=256)
if GATEWAY_WORKERS > 1:
    raise ImproperlyConfigured(
        f"MEGADASH_GATEWAY_WORKERS is {GATEWAY_WORKERS}, but limits are counted in the memory of one gateway worker: "
        "more workers would multiply every team's limits. Set it to 1."
    )
DURABILITY = environment.choice("MEGADASH_DURABILITY", ("process", "power"), "process")
SPOOL_DIR = DATA_DIR / "spool"
VALKEY_URL = environment.url("VALKEY_URL", ("valkey", "valkeys", "redis", "rediss"))

# First start only, when the database is empty -------------------------------------------------------------------------
FIRST_START = {
    "admin_email": environment.text("MEGADASH_ADMIN_EMAIL"),
    "admin_password": environment.text("MEGADASH_ADMIN_PASSWORD"),
    "bootstrap_key": environment.text("MEGADASH_BOOTSTRAP_KEY"),
    "bootstrap_tier": environment.text("MEGADASH_BOOTSTRAP_TIER", "Pro"),
    "bootstrap_admin_key": environment.text("MEGADASH_BOOTSTRAP_ADMIN_KEY"),
    "upstream_base_url": environment.url("UPSTREAM_BASE_URL", ("http", "https")),
    "upstream_api_key": environment.text("UPSTREAM_API_KEY"),
    "openai_api_key": environment.text("OPENAI_API_KEY"),
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "rest_framework",
    "accounts",
    "usage",
]

MIDDLEWARE = [
    "megadash.errors.EnvelopeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "megadash.compression.CompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.signing_in.middleware.PeopleMiddleware",
]

ROOT_URLCONF = "megadash.urls"
ASGI_APPLICATION = "megadash.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "usage.dashboard.frame.context",
            ],
            "libraries": {
                "look": "usage.dashboard.look",
                "people": "usage.dashboard.people.tags",
                "catalog": "usage.dashboard.catalog.tags",
                "headroom": "usage.dashboard.headroom.tags",
            },
        },
    }
]

# Database -----------------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": environment.database(DATA_DIR)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # SQLite 3.7.0 to 3.51.2 (without the backports) can corrupt a WAL database when two connections write or
    # checkpoint at once, so WAL is used on fixed versions only; the rollback journal is as fast for our batches.
    WAL_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3) or (
        sqlite3.sqlite_version_info[:2] in ((3, 44), (3, 50))
        and (sqlite3.sqlite_version_info >= (3, 50, 7) or (3, 44, 6) <= sqlite3.sqlite_version_info < (3, 45))
    )
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": f"PRAGMA journal_mode={'WAL' if WAL_IS_SAFE else 'TRUNCATE'}; PRAGMA synchronous=FULL;",
    }
else:
    # Under ASGI each request may run in a thread of its own: connections kept by threads would pile up, a pool's do
    # not.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 8}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Signing in ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# Whoever has an account was invited at that address, and changing it needs a click on a link sent to the new one.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_ADAPTER = "accounts.signing_in.adapters.AccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
# Counted in the memory of the one process that serves the pages; amount/span/whose.
ACCOUNT_RATE_LIMITS = {
    "change_password": "5/m/user",
    "invitation": "30/m/ip",
    "invite": "100/h/user",
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "manage_email": "10/h/user",
    "reauthenticate": "10/m/user",
    "reset_password": "20/m/ip,5/h/key",
    "reset_password_from_key": "20/m/ip",
    "signup": "20/m/ip",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_ADAPTER = "accounts.signing_in.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RATE_LIMITS = {"webauthn_login": "10/m/ip"}
# One step of 30 seconds to either side: telephones' clocks drift.
MFA_TOTP_TOLERANCE = 1
# See ACCOUNT_EMAIL_VERIFICATION: what allauth calls unverified was verified by us.
MFA_ALLOW_UNVERIFIED_EMAIL = True
SOCIALACCOUNT_ADAPTER = "accounts.signing_in.adapters.CompanyAdapter"
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": environment.openid_connect()}}
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
globals().update(environment.email(DATA_DIR))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.email_from(PUBLIC_URL)
PASSWORD_RESET_TIMEOUT = 3_600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = IS_HTTPS
LANGUAGE_COOKIE_SECURE = IS_HTTPS
LANGUAGE_COOKIE_SAMESITE = "Lax"
if IS_HTTPS and TRUSTED_PROXIES:
    # Believed only when a proxy is known to be there: it must set this header, and drop a caller's own.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_FAILURE_VIEW = "megadash.errors.csrf_failure"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Attempts to sign in are counted here: at the default of 300 entries a flood of names would push them out.
        "OPTIONS": {"MAX_ENTRIES": 200_000},
    }
}

# Pages --------------------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [DATA_DIR / "locale"]  # compiled from locale/ by usage/translations.py
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
# Filled at set-up. WhiteNoise warns of a missing directory, and warnings are errors in tests.
STATIC_ROOT.mkdir(exist_ok=True)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SILENCED_SYSTEM_CHECKS = [
    # HSTS and the way from http to https belong to the proxy that has the certificate: this process never speaks TLS.
    "security.W004",
    "security.W008",
    # Without an https:// MEGADASH_PUBLIC_URL people come over http, where a cookie for https only would lock them out.
    *([] if IS_HTTPS else ["security.W012", "security.W016"]),
]
X_FRAME_OPTIONS = "DENY"

# REST ---------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["usage.api.authentication.AdminKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "usage.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

# Celery -------------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = VALKEY_URL.replace("valkey", "redis", 1) or "filesystem://"
if not VALKEY_URL:
    QUEUE_DIR = DATA_DIR / "queue"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(QUEUE_DIR / "messages"),
        "data_folder_out": str(QUEUE_DIR / "messages"),
        "control_folder": str(QUEUE_DIR / "control"),
        # Between two looks at the folder the worker hears no signal: at the default of a second, stopping takes many.
        "polling_interval": 0.1,
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# In memory: the scheduler's own file does not survive a kill, and then beat never starts again.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "check providers": {"task": "usage.tasks.check_providers", "schedule": 60.0},
    "forget old quarter hours": {"task": "usage.tasks.forget_old_quarters", "schedule": 3600.0},
    "recount days": {"task": "usage.tasks.recount_days", "schedule": 5.0},
    "forget old minutes": {"task": "usage.tasks.forget_old_minutes", "schedule": 600.0},
    "clear expired sessions": {"task": "accounts.tasks.clear_expired_sessions", "schedule": 3600.0},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
