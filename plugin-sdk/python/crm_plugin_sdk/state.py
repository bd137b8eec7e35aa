"""A few values that the plugin keeps for the tenant, from one run to the next."""

import json
from typing import Any, Optional

from wit_world.imports import state as _host


def get(key: str) -> Optional[tuple[Any, int]]:
    """The value and its version."""
    entry = _host.get(key)
    return None if entry is None else (json.loads(entry.value), entry.version)


def set(key: str, value: Any) -> None:
    _host.set(key, json.dumps(value))


def delete(key: str) -> None:
    _host.delete(key)
