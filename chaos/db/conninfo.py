"""Somebody's own connection string, in libpq's words and without its password."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from chaos.errors import DefinitionError

_SECRET = {"password", "sslpassword", "sslkey"}


def parameters_of(text: str) -> Mapping[str, str]:
    """Return the libpq parameters of a connection string or a SQLAlchemy URL.

    Raises:
        DefinitionError: it is neither; the text, which may hold a password, is not repeated.
    """
    try:
        if "://" in text and not text.startswith(("postgres://", "postgresql://")):
            url = make_url(text)
            if not url.drivername.startswith("postgresql"):
                raise DefinitionError(f"--dsn: {url.drivername} is not PostgreSQL")
            text = url.set(drivername="postgresql").render_as_string(hide_password=False)
        found = conninfo_to_dict(text)
    except (psycopg.Error, ArgumentError, ValueError) as error:
        raise DefinitionError(
            "--dsn is no connection string that libpq or SQLAlchemy understands "
            f"({type(error).__name__}); for example postgresql://app@HOST/shop?connect_timeout=3"
        ) from None
    return {k: str(v) for k, v in found.items() if v is not None and k not in _SECRET}
