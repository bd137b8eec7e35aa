"""What a run wants: changes of records, and what follows after them.

A ``record`` is the event, or a pair of a module and an id.
"""

from wit_world.imports import types

from .text import write


def _target(record):
    return record if isinstance(record, tuple) else (record.module, record.record_id)


def create(module, data):
    """A new record. Decimals and amounts in ``data`` become text."""
    return types.Mutation_Create(types.NewRecord(module, write(data)))


def update(record, patch, expected_version=None):
    """A JSON merge patch: fields that it leaves out stay, None clears one."""
    patch = types.RecordPatch(*_target(record), expected_version, write(patch))
    return types.Mutation_Update(patch)


def remove(record, expected_version=None):
    """The end of a record."""
    return types.Mutation_Delete(types.RecordRemoval(*_target(record), expected_version))


def link(record, field, target_id):
    """The record points to another through a relation of its module."""
    return types.Mutation_Link(types.RecordLink(*_target(record), field, target_id))


def unlink(record, field, target_id):
    """It points there no longer."""
    return types.Mutation_Unlink(types.RecordLink(*_target(record), field, target_id))


def activity(record, kind, title, body=None, due_at=None, assignee=None):
    """An entry on a record's timeline; ``due_at`` and ``assignee`` are for tasks."""
    entry = types.NewActivity(*_target(record), kind, title, body, due_at, assignee)
    return types.Mutation_Activity(entry)


def assign(record, owner, expected_version=None):
    """The record gets another owner."""
    assignment = types.RecordAssignment(*_target(record), expected_version, owner)
    return types.Mutation_Assign(assignment)


def email(to, subject, text, html=None, cc=(), reply_to=None):
    """A mail."""
    mail = types.Email(list(to), list(cc), reply_to, subject, text, html)
    return types.Effect_Email(mail)


def attach(mail, name, media_type, content):
    """The same mail, and a file that goes with it; ``content`` is text or bytes."""
    content = content.encode() if isinstance(content, str) else bytes(content)
    mail.attached = [*attached(mail), (name, media_type, content)]
    return mail


def attached(effect):
    """The files that go with an effect."""
    return getattr(effect, "attached", [])


def webhook(endpoint, topic, payload):
    """A signed message to an address that the tenant keeps under that name."""
    return types.Effect_Webhook(types.Webhook(endpoint, topic, write(payload)))


def http(key, method, url, headers=None, body=None, wants_answer=False):
    """A request to another system; ``headers`` is a dictionary."""
    headers = list((headers or {}).items())
    request = types.HttpRequest(key, method, url, headers, body, wants_answer)
    return types.Effect_Http(request)


def notify(to, title, body=None):
    """A note to people inside of the CRM."""
    return types.Effect_Notify(types.Notification(list(to), title, body))


def schedule(key, at, payload=None):
    """An event of the kind ``time-reached`` for this plugin and the same record."""
    return types.Effect_Schedule(types.Schedule(key, at, write(payload)))
