"""Other records of the tenant: granted fields, of records that the person sees, as they are now."""

import json
from dataclasses import dataclass
from typing import Any, Optional

from wit_world.imports import records as _host


@dataclass(frozen=True)
class Found:
    id: str
    version: int
    data: dict
    owner_id: str
    created_at: str
    updated_at: str


def _read(it: Any) -> Found:
    data = json.loads(it.data)
    return Found(it.id, it.version, data, it.owner_id, it.created_at, it.updated_at)


def get(module: str, id: str) -> Optional[Found]:
    found = _host.get(module, id)
    return None if found is None else _read(found)


def query(module: str, query: dict) -> tuple[list[Found], Optional[str]]:
    """Records and where the next page begins; the query is as for
    `POST /api/crm/records/{module}/query`."""
    page = _host.query(module, json.dumps(query))
    return [_read(it) for it in page.records], page.next_cursor


def aggregate(module: str, query: dict) -> Any:
    """As for `POST /api/crm/records/{module}/aggregate`."""
    return json.loads(_host.aggregate(module, json.dumps(query)))
