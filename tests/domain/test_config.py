"""Settings: read once, all mistakes named, secrets never shown."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from server.core.config import Config, ConfigError, describe, load, with_secret

SECRETS = {
    "DATABASE_URL": "postgresql://fitsync:hunter2@db.example/fitsync",
    "REDIS_URL": "redis://:hunter2@redis.example/0",
    "SECRET_KEY": "hunter2" * 6,
    "SECRET_KEY_PREVIOUS": "hunter2" * 5,
}


def test_without_any_setting_everything_has_a_value() -> None:
    assert load({}) == Config()


def test_settings_are_read_from_the_environment() -> None:
    found = load({"PORT": "8080", "ALLOWED_ORIGINS": "https://a.example, https://b.example", "LOG_LEVEL": "debug"})
    assert (found.port, found.log_level) == (8080, "debug")
    assert found.allowed_origins == ("https://a.example", "https://b.example")


def test_every_setting_that_is_wrong_is_named_at_once() -> None:
    wrong = {"PORT": "http", "LOG_LEVEL": "loud", "SECRET_KEY": "short", "DATABASE_POOL": "0"}
    with pytest.raises(ConfigError) as refused:
        load(wrong)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        *("DATABASE_POOL", "LOG_LEVEL", "PORT", "SECRET_KEY")
    ] or {line.partition(":")[0] for line in str(refused.value).splitlines()} == set(wrong)


def test_a_database_of_ones_own_wants_a_secret_of_ones_own() -> None:
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        load({"DATABASE_URL": "postgresql://db.example/fitsync"})


def test_secrets_are_never_shown() -> None:
    shown = describe(load(SECRETS))
    assert {name for name, value, _ in shown if value == "********"} == set(SECRETS)
    assert "hunter2" not in str(shown)


def test_every_setting_says_what_it_means() -> None:
    shown = describe(Config())
    assert [name for name, _, _ in shown] == [field.name.upper() for field in msgspec.structs.fields(Config)]
    assert all(meaning.endswith(".") for _, _, meaning in shown)


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    first = with_secret(Config(data_dir=folder))
    assert with_secret(Config(data_dir=folder)) == first
    assert len(first.secret_key) == 64
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600
    assert with_secret(Config(secret_key="given" * 8)).secret_key == "given" * 8
