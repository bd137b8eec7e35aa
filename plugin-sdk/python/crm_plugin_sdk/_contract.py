"""Between this package's classes and those that componentize-py writes from the contract. Those are
there in components only; natively nothing crosses a component's edge."""

from typing import Any

try:
    from componentize_py_types import Err
    from wit_world.imports import types
except ImportError:
    Err = types = None

MUTATIONS = {
    "create": ("Mutation_Create", "NewRecord"),
    "update": ("Mutation_Update", "RecordPatch"),
    "delete": ("Mutation_Delete", "RecordRemoval"),
    "link": ("Mutation_Link", "RecordLink"),
    "unlink": ("Mutation_Unlink", "RecordLink"),
    "activity": ("Mutation_Activity", "NewActivity"),
    "assign": ("Mutation_Assign", "RecordAssignment"),
}
EFFECTS = {
    "email": ("Effect_Email", "Email"),
    "webhook": ("Effect_Webhook", "Webhook"),
    "http": ("Effect_Http", "HttpRequest"),
    "notify": ("Effect_Notify", "Notification"),
    "schedule": ("Effect_Schedule", "Schedule"),
}


def _made(names: tuple[str, str], fields: dict) -> Any:
    case, record = (getattr(types, name) for name in names)
    return case(record(**fields))


def outcome(wanted: list) -> Any:
    """What is wanted, mutations and effects in one list."""
    from_kind = [(MUTATIONS.get(it.kind), EFFECTS.get(it.kind), it.fields) for it in wanted]
    return types.Outcome(
        mutations=[_made(names, fields) for names, _, fields in from_kind if names],
        effects=[_made(names, fields) for _, names, fields in from_kind if names],
    )


def failure(error: Exception) -> Exception:
    """What was raised, as the contract says it: a mistake of the code gives up."""
    kind, reason = type(error).__name__, str(error)
    if Err is not None and isinstance(error, Err):
        # A refusal of the host: denied, invalid, limited or unavailable.
        reason = str(getattr(error.value, "value", error.value))
        if type(error.value).__name__ == "Refusal_Unavailable":
            return Err(types.Failure_Retry(types.RetryRequest(0, reason)))
        return Err(types.Failure_Fail(reason))
    if kind == "Skip":
        return Err(types.Failure_Skip(reason))
    if kind == "Retry":
        return Err(types.Failure_Retry(types.RetryRequest(error.after_ms, reason)))
    if kind == "Fail":
        return Err(types.Failure_Fail(reason))
    return Err(types.Failure_Fail(f"{kind}: {reason}"))
