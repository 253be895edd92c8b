"""Keys and provider secrets: made, recognised, hashed, sealed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts import secrets
from usage import vault

OLD = "a former secret key of this instance, long enough"


def test_a_key_can_be_grepped_for_and_no_two_are_alike() -> None:
    made = {secrets.make() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"sk-mega-[0-9A-Za-z]{44}", key) for key in made)
    assert re.fullmatch(r"sk-admin-[0-9A-Za-z]{44}", secrets.make(secrets.ADMIN_KEY_PREFIX))


@pytest.mark.parametrize("prefix", [secrets.KEY_PREFIX, secrets.ADMIN_KEY_PREFIX])
def test_every_typo_in_one_character_is_noticed(prefix: str) -> None:
    key = secrets.make(prefix)
    assert not secrets.is_typo(key)
    for position in range(len(prefix), len(key)):
        wrong = "x" if key[position] != "x" else "y"
        assert secrets.is_typo(key[:position] + wrong + key[position + 1 :])
    assert secrets.is_typo(key[:-1])
    assert secrets.is_typo(key + "0")


@given(st.text(max_size=80))
@settings(deadline=None)
def test_no_text_at_all_breaks_the_look_at_a_key(text: str) -> None:
    secrets.is_typo(text)
    assert secrets.is_typo(secrets.KEY_PREFIX + text) or len(text) == 44
    assert len(secrets.digest(text, b"pepper")) == 64
    assert len(secrets.redacted(text)) <= 20


def test_keys_of_another_form_are_nobodys_typo() -> None:
    assert not secrets.is_typo("sk-a-key-that-an-administrator-chose")


def test_what_is_kept_of_a_key_tells_little() -> None:
    key = secrets.make()
    assert secrets.redacted(key) == f"{key[:12]}…{key[-4:]}"
    assert secrets.redacted("short-secret") == "sho…et"


def test_another_pepper_makes_another_digest() -> None:
    peppers = [secrets.pepper_from("one secret key"), secrets.pepper_from("another secret key")]
    assert len({secrets.digest("sk-x", pepper) for pepper in peppers}) == 2


def test_a_sealed_secret_opens_for_its_own_row_only() -> None:
    sealed = vault.seal("sk-provider", bound_to="provider:1")
    assert "sk-provider" not in sealed
    assert vault.open_sealed(sealed, bound_to="provider:1") == "sk-provider"
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(sealed, bound_to="provider:2")


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", "天空"])
def test_what_was_never_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(sealed, bound_to="provider:1")


def test_a_seal_survives_a_new_secret_key_while_the_old_one_is_a_fallback(settings: Settings) -> None:
    settings.SECRET_KEY = OLD
    sealed = vault.seal("sk-provider", bound_to="provider:1")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new secret key of this instance, also long", [OLD]
    assert vault.open_sealed(sealed, bound_to="provider:1") == "sk-provider"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(sealed, bound_to="provider:1")
