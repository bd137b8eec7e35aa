"""Events for tests with Python, as the host would tell them."""

from typing import Any, Optional

from . import Actor, Event

#: The id of every test event's record.
RECORD_ID = "01970000-0000-7000-8000-000000000001"


def created(module: str, after: dict) -> Event:
    return _event("record_created", module, None, after)


def updated(module: str, before: dict, after: dict) -> Event:
    return _event("record_updated", module, before, after)


def deleted(module: str, before: dict) -> Event:
    return _event("record_deleted", module, before, None)


def happened(kind: str, module: str, record: dict, payload: Any) -> Event:
    return _event(kind, module, None, record, payload)


def _event(
    kind: str, module: str, before: Optional[dict], after: Optional[dict], payload: Any = None
) -> Event:
    one, other = before or {}, after or {}
    changed = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    return Event(
        id="01970000-0000-7000-8000-000000000002",
        kind=kind,
        module=module,
        record_id=RECORD_ID,
        record_version=2 if before else 1,
        before=before,
        after=after,
        changed_fields=[] if payload is not None else changed,
        payload=payload,
        actor=Actor("tester", ["owner"]),
        causes=[],
        depth=0,
        occurred_at="2026-01-02T03:04:05Z",
        zone="UTC",
        locale="en",
        idempotency_key="01970000-0000-7000-8000-000000000003",
        seed=7,
    )
