"""Every setting, read once from the environment. `python -m server config` prints them, secrets masked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import fields


class ConfigError(Exception):
    """A setting is missing or wrong; the message names it and says what it takes."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. The name in the environment is the field's name in capitals."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 4000
    database_url: Annotated[
        str, Meta(description="PostgreSQL 15 or newer. Empty: our own, in DATA_DIR.", extra={"secret": True})
    ] = ""
    database_pool: Annotated[int, Meta(ge=2, le=500, description="Connections to PostgreSQL.")] = 10
    redis_url: Annotated[
        str,
        Meta(
            description="Redis 7 or Valkey. Empty: our own when PostgreSQL is our own too, else none (one instance only).",
            extra={"secret": True},
        ),
    ] = ""
    data_dir: Annotated[Path, Meta(description="Folder of our own PostgreSQL, Valkey and secret key.")] = Path("var")
    secret_key: Annotated[
        str,
        Meta(
            description="Signs tokens and messages between instances; at least 32 characters, the same on every "
            "instance. Needed with DATABASE_URL; else made once and kept in DATA_DIR.",
            extra={"secret": True},
        ),
    ] = ""
    secret_key_previous: Annotated[
        str, Meta(description="The secret before the last change: its tokens stay valid.", extra={"secret": True})
    ] = ""
    allowed_origins: Annotated[
        tuple[str, ...], Meta(description="Origins of web pages that may call us besides our own, comma-separated.")
    ] = ()
    trainer_registration: Annotated[
        bool, Meta(description="Whether people may register as trainers by themselves.")
    ] = True
    max_body_bytes: Annotated[int, Meta(ge=1024, description="Largest request body.")] = 256 * 1024
    max_frame_bytes: Annotated[int, Meta(ge=1024, description="Largest socket frame from a client.")] = 64 * 1024
    max_connections: Annotated[int, Meta(ge=1, description="Most sockets of this instance.")] = 20_000
    max_connections_per_user: Annotated[
        int, Meta(ge=1, description="Most sockets of one person on this instance; the oldest is closed.")
    ] = 10
    max_connections_per_address: Annotated[
        int, Meta(ge=1, description="Most sockets from one address; many people may share one.")
    ] = 5_000
    commands_per_minute: Annotated[int, Meta(ge=1, description="Commands of one socket.")] = 120
    commands_burst: Annotated[int, Meta(ge=1, description="Commands of one socket at once.")] = 20
    messages_per_second: Annotated[int, Meta(ge=1, description="Messages that one person may send.")] = 5
    messages_burst: Annotated[int, Meta(ge=1, description="Messages that one person may send at once.")] = 10
    typing_per_minute: Annotated[int, Meta(ge=1, description="How often one person may say that they type.")] = 30
    syncs_per_minute: Annotated[int, Meta(ge=1, description="How often one person may `sync`.")] = 10
    conversations_per_minute: Annotated[int, Meta(ge=1, description="Conversations that one person may open.")] = 30
    guesses_per_minute: Annotated[
        int, Meta(ge=1, description="Wrong passwords from one address; many people may share one.")
    ] = 60
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks of proxies whose X-Forwarded-For is believed, comma-separated."),
    ] = ()
    parent_pid: Annotated[
        int, Meta(ge=0, description="End when this parent process ends, even by kill -9; `make run` sets it.")
    ] = 0
    log_format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto` is console on a terminal, JSON elsewhere.")
    ] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Quietest level shown.")] = (
        "info"
    )

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The signing secrets, the current one first."""
        return tuple(key for key in (self.secret_key, self.secret_key_previous) if key)


MIN_SECRET = 32
_LISTS = frozenset(("allowed_origins", "trusted_proxies"))


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the environment. ConfigError lists every setting that is wrong."""
    environ = os.environ if environ is None else environ
    hints = get_type_hints(Config, include_extras=True)
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in fields(Config):
        name = field.name.upper()
        text = environ.get(name, "").strip()
        if not text:
            continue
        try:
            given: object = [part.strip() for part in text.split(",")] if field.name in _LISTS else text
            values[field.name] = (
                Path(text) if field.name == "data_dir" else msgspec.convert(given, hints[field.name], strict=False)
            )
        except msgspec.ValidationError as error:
            wrong.append(f"{name}: {error}")
    wrong += [
        f"{name.upper()}: wants at least {MIN_SECRET} characters"
        for name in ("secret_key", "secret_key_previous")
        if 0 < len(values.get(name, "")) < MIN_SECRET
    ]
    if values.get("database_url") and not values.get("secret_key"):
        wrong.append(
            "SECRET_KEY: needed when DATABASE_URL is given (python -c 'import secrets; print(secrets.token_hex(32))')"
        )
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Config(**values)


def with_secret(config: Config) -> Config:
    """Return the config with a secret key, made and kept in the data folder when none was given."""
    if config.secret_key:
        return config
    kept = config.data_dir / "secret_key"
    config.data_dir.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        # Under another name first: a start that breaks off must not leave an empty key behind.
        draft = config.data_dir / f"secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        draft.rename(kept)
    return msgspec.structs.replace(config, secret_key=kept.read_text(encoding="ascii").strip())


def describe(config: Config) -> list[tuple[str, str, str]]:
    """Return (name, value, meaning) of every setting, secrets masked."""
    hints = get_type_hints(Config, include_extras=True)
    rows = []
    for field in fields(Config):
        meta = next(part for part in hints[field.name].__metadata__ if isinstance(part, Meta))
        value = getattr(config, field.name)
        shown = ",".join(value) if isinstance(value, tuple) else str(value)
        if meta.extra and meta.extra.get("secret") and shown:
            shown = "********"
        rows.append((field.name.upper(), shown, meta.description or ""))
    return rows
