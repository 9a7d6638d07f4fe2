"""Finds and reads the safety file: where experiments may run, when, and what they may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from chaos.definition.load import parse, validated
from chaos.errors import DefinitionError
from chaos.safety.limits import SafetyFile

NAME = "gameday-safety.yaml"
ACCOUNTS = "GAMEDAY_ACCOUNTS"


def safety_of(named: Path | None) -> SafetyFile:
    """Return the safety file in force; without any, what it says by default.

    That is the one named, else `gameday-safety.yaml` here, else `~/.config/gameday/safety.yaml`.
    Accounts of GAMEDAY_ACCOUNTS, with commas between them, are allowed too.

    Raises:
        DefinitionError: the one named is not there, or it is wrong; every fault is a line.
    """
    path = named or next((p for p in _places() if p.is_file()), None)
    found = read_safety(path) if path else SafetyFile()
    more = [one.strip() for one in os.environ.get(ACCOUNTS, "").split(",") if one.strip()]
    wrong = [account for account in more if not re.fullmatch(r"\d{12}", account)]
    if wrong:
        raise DefinitionError(
            f"{ACCOUNTS} has {', '.join(wrong)}; write accounts of twelve digits, with commas"
        )
    return found.model_copy(update={"accounts": (*found.accounts, *more)})


def read_safety(path: Path) -> SafetyFile:
    """Read a safety file.

    Raises:
        DefinitionError: it cannot be read or is wrong.
    """
    return validated(
        parse(path, "a safety file is a mapping with accounts, refuse, blackouts..."),
        path,
        SafetyFile,
    )


def _places() -> tuple[Path, ...]:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (Path(NAME), home / "gameday" / "safety.yaml")
