"""What authors of CRM Pro plugins in Python depend on.

An action is one function from an event and the step's configuration to what it wants::

    from crm_plugin_sdk import action, skip, update

    def run(event, config):
        if not event.after or event.after.get("segment") != "collector":
            raise skip("not a collector")
        return update(event, {"notes": config["note"]})

    WitWorld = action(run)

The types are those of the contract, generated from its WIT as ``wit_world``. Natively, the
functions that ask the host raise ``NotImplementedError``: a test puts others in their place.
"""

from .answers import (
    activity,
    assign,
    attach,
    create,
    email,
    http,
    link,
    notify,
    remove,
    schedule,
    unlink,
    update,
    webhook,
)
from .entrance import Event, action
from .failures import Refused, fail, retry, skip
from .host import config, log, records, secrets, state

__all__ = [
    "Event",
    "Refused",
    "action",
    "activity",
    "assign",
    "attach",
    "config",
    "create",
    "email",
    "fail",
    "http",
    "link",
    "log",
    "notify",
    "records",
    "remove",
    "retry",
    "schedule",
    "secrets",
    "skip",
    "state",
    "unlink",
    "update",
    "webhook",
]
