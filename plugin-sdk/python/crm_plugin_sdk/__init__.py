"""What authors of CRM Pro plugins in Python depend on.

An action is one function from an event and the step's configuration to what it wants. Nothing here
asks the host, so such a function is tested with Python alone. What asks the host is in the modules
`records`, `config`, `secrets`, `state` and `log` beside this one.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Generic, Optional, TypeVar

from . import _contract

__all__ = [
    "Actor", "CauseLink", "Effect", "Event", "Fail", "Mutation", "Retry", "Skip", "action",
    "activity", "activity_on", "assign", "create", "email", "http", "link", "notify", "remove",
    "schedule", "unlink", "update", "update_record", "webhook",
]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Actor:
    """A person."""

    user_id: str
    roles: list[str]


@dataclass(frozen=True)
class CauseLink:
    """One run in the chain that led to an event."""

    event_id: str
    workflow: str
    plugin: str
    run_id: str


@dataclass(frozen=True)
class Event(Generic[T]):
    """What an action is told. Fields that it may not read are missing from the record."""

    id: str
    #: `record_created`, `record_updated`, `record_deleted`, `record_restored`, `answer_received`,
    #: `time_reached`, `started_by_hand`, `request_received` or `called`.
    kind: str
    module: str
    record_id: str
    record_version: int
    before: Optional[T]
    after: Optional[T]
    changed_fields: list[str]
    payload: Any
    actor: Actor
    causes: list[CauseLink]
    depth: int
    #: RFC 3339, UTC. The only clock there is.
    occurred_at: str
    #: The tenant's time zone: `Europe/Berlin`.
    zone: str
    #: The tenant's language: `de`.
    locale: str
    idempotency_key: str
    #: The same for every attempt at the same work: where chance is wanted, start from here.
    seed: int


@dataclass(frozen=True)
class Mutation:
    """A proposed change; the functions below make them."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """Something that follows the commit; the functions below make them."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


class Skip(Exception):
    """Nothing to do for this event; counts as done."""


class Fail(Exception):
    """Give up, with a message that the tenant's people can read."""


class Retry(Exception):
    """Try again, not before that many milliseconds."""

    def __init__(self, after_ms: int, reason: str) -> None:
        super().__init__(reason)
        self.after_ms = after_ms


def action(run: Callable[[Event, Any], Any]) -> type:
    """The class `WitWorld` of a function, which answers with mutations and effects in a list."""

    class WitWorld:
        def run(self, event: Any) -> Any:
            try:
                wanted = run(_read(event), json.loads(event.configuration)) or []
            except Exception as error:
                raise _contract.failure(error) from None
            return _contract.outcome(wanted)

    return WitWorld


def _read(event: Any) -> Event:
    def read(text: Optional[str]) -> Any:
        return None if text is None else json.loads(text)

    return Event(
        id=event.id,
        kind=event.kind.name.lower(),
        module=event.module,
        record_id=event.record_id,
        record_version=event.record_version,
        before=read(event.before),
        after=read(event.after),
        changed_fields=list(event.changed_fields),
        payload=read(event.payload),
        actor=Actor(event.actor.user_id, list(event.actor.roles)),
        causes=[CauseLink(it.event_id, it.workflow, it.plugin, it.run_id) for it in event.causes],
        depth=event.depth,
        occurred_at=event.occurred_at,
        zone=event.zone,
        locale=event.locale,
        idempotency_key=event.idempotency_key,
        seed=event.seed,
    )


def create(module: str, data: dict) -> Mutation:
    """A new record."""
    return Mutation("create", {"module": module, "data": json.dumps(data)})


def update_record(
    module: str, record_id: str, patch: dict, expected_version: Optional[int] = None
) -> Mutation:
    """A JSON merge patch of any record."""
    fields = {"module": module, "record_id": record_id, "expected_version": expected_version}
    return Mutation("update", {**fields, "patch": json.dumps(patch)})


def update(event: Event, patch: dict, expected_version: Optional[int] = None) -> Mutation:
    """A JSON merge patch of the event's own record."""
    return update_record(event.module, event.record_id, patch, expected_version)


def remove(module: str, record_id: str, expected_version: Optional[int] = None) -> Mutation:
    """The end of a record."""
    fields = {"module": module, "record_id": record_id, "expected_version": expected_version}
    return Mutation("delete", fields)


def link(module: str, record_id: str, field: str, target_id: str) -> Mutation:
    """A record points to another through a relation."""
    fields = {"module": module, "record_id": record_id, "field": field, "target_id": target_id}
    return Mutation("link", fields)


def unlink(module: str, record_id: str, field: str, target_id: str) -> Mutation:
    """It points there no longer."""
    return Mutation("unlink", link(module, record_id, field, target_id).fields)


def activity_on(
    module: str,
    record_id: str,
    kind: str,
    title: str,
    body: Optional[str] = None,
    due_at: Optional[str] = None,
    assignee: Optional[str] = None,
) -> Mutation:
    """An entry on the timeline of any record."""
    fields = {"module": module, "record_id": record_id, "kind": kind, "title": title}
    return Mutation("activity", {**fields, "body": body, "due_at": due_at, "assignee": assignee})


def activity(event: Event, kind: str, title: str, **more: Optional[str]) -> Mutation:
    """An entry on the timeline of the event's own record."""
    return activity_on(event.module, event.record_id, kind, title, **more)


def assign(
    module: str, record_id: str, owner: str, expected_version: Optional[int] = None
) -> Mutation:
    """The record belongs to somebody else from then on."""
    fields = {"module": module, "record_id": record_id, "expected_version": expected_version}
    return Mutation("assign", {**fields, "owner": owner})


def email(
    to: list[str],
    subject: str,
    text: str,
    cc: Optional[list[str]] = None,
    reply_to: Optional[str] = None,
    html: Optional[str] = None,
) -> Effect:
    """A mail."""
    fields = {"to": to, "cc": cc or [], "reply_to": reply_to, "subject": subject}
    return Effect("email", {**fields, "text": text, "html": html})


def webhook(endpoint: str, topic: str, payload: Any) -> Effect:
    """A signed message to an address that the tenant keeps under that name."""
    payload = json.dumps(payload)
    return Effect("webhook", {"endpoint": endpoint, "topic": topic, "payload": payload})


def http(
    key: str,
    url: str,
    method: str = "GET",
    headers: Optional[dict[str, str]] = None,
    body: Optional[str] = None,
    wants_answer: bool = False,
) -> Effect:
    """A request to another system."""
    fields = {"key": key, "method": method, "url": url, "body": body}
    pairs = list((headers or {}).items())
    return Effect("http", {**fields, "headers": pairs, "wants_answer": wants_answer})


def notify(to: list[str], title: str, body: Optional[str] = None) -> Effect:
    """A note to people, inside of the CRM."""
    return Effect("notify", {"to": to, "title": title, "body": body})


def schedule(key: str, at: str, payload: Any) -> Effect:
    """An event for the same record at a later time."""
    return Effect("schedule", {"key": key, "at": at, "payload": json.dumps(payload)})
