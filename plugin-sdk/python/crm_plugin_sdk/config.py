"""What the tenant configured for the plugin as a whole."""

import json

from wit_world.imports import config as _host


def get() -> dict:
    return json.loads(_host.get())
