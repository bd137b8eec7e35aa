"""From the contract's event to the author's function, and back."""

import traceback
from dataclasses import replace

from componentize_py_types import Err
from wit_world.imports import types
from wit_world.imports.types import Event

from .answers import attached
from .failures import Refused, fail
from .host import attach_to, log
from .text import read


def action(run):
    """The component's world, made of a function from an event and a configuration.

    In the event, ``before``, ``after`` and ``payload`` are decoded; ``kind`` is an ``EventKind``.
    The function returns a mutation, an effect, or a list of them; it raises what ``skip``,
    ``fail`` and ``retry`` make.
    """

    class WitWorld:
        def run(self, event):
            try:
                configuration = _read("the step's configuration", event.configuration)
                return _outcome(run(_decoded(event), configuration))
            except Err:
                raise
            except Refused as refused:
                raise refused.failure() from refused
            except Exception as error:
                log.error(traceback.format_exc())
                raise fail(f"{type(error).__name__}: {error}") from error

    return WitWorld


def _read(what, text):
    try:
        return read(text)
    except ValueError as error:
        raise fail(f"{what} could not be read: {error}") from error


def _decoded(event):
    return replace(
        event,
        before=_read("the record before the event", event.before),
        after=_read("the record after the event", event.after),
        payload=_read("what came with the event", event.payload),
    )


def _outcome(answer):
    wanted = answer if isinstance(answer, list) else [answer]
    wanted = [one for one in wanted if one is not None]
    mutations = [one for one in wanted if type(one).__name__.startswith("Mutation_")]
    effects = [one for one in wanted if type(one).__name__.startswith("Effect_")]
    if len(mutations) + len(effects) < len(wanted):
        raise fail("an action returns mutations and effects, and nothing else")
    for place, effect in enumerate(effects):
        attach_to(place, attached(effect))
    return types.Outcome(mutations, effects)


__all__ = ["Event", "action"]
