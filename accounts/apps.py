"""WHO: teams, members, roles, tiers, keys, audit."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # It listens to allauth's signals; models exist from here on.
        import_module("accounts.signing_in.trail")
