"""How a run ends without an outcome."""

from componentize_py_types import Err
from wit_world.imports import types


def skip(message):
    """Nothing to do for this event; counts as done. To be raised."""
    return Err(types.Failure_Skip(message))


def fail(message):
    """Give up, with a message that the tenant's people can read. To be raised."""
    return Err(types.Failure_Fail(message))


def retry(after_ms, reason):
    """Try again, not before that many milliseconds. To be raised."""
    return Err(types.Failure_Retry(types.RetryRequest(after_ms, reason)))


class Refused(Exception):
    """The host does not answer: ``kind`` is denied, invalid, limited or unavailable."""

    def __init__(self, refusal):
        super().__init__(refusal.value)
        self.kind = type(refusal).__name__.removeprefix("Refusal_").lower()

    def failure(self):
        """What the run ends with where nobody catches this."""
        message = str(self)
        return retry(0, message) if self.kind == "unavailable" else fail(message)
