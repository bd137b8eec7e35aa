"""What can be asked of the host, its JSON decoded."""

import importlib

from componentize_py_types import Err

from .failures import Refused, fail
from .text import read, write


class _Absent:
    """An interface that the component does not import: its manifest has no capability for it."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, _function):
        raise fail(f"plugin.json has no capability for which `{self._name}` could be asked")


def _interface(name):
    try:
        return importlib.import_module(f"wit_world.imports.{name}")
    except ImportError:
        return _Absent(name)


attachments_host = _interface("attachments")
config_host = _interface("config")
log_host = _interface("log")
records_host = _interface("records")
secrets_host = _interface("secrets")
state_host = _interface("state")


def _asked(question, *arguments):
    try:
        return question(*arguments)
    except Err as error:
        raise Refused(error.value) from error


def _found(record):
    record.data = read(record.data)
    return record


def attach_to(place, files):
    """Hands the files over that go with the mail at that place among the effects."""
    for name, media_type, content in files:
        _asked(attachments_host.attach, place, name, media_type, content)


class records:
    """Other records of the tenant, as they are now."""

    @staticmethod
    def get(module, record_id):
        """One record, if there is one to be seen; its ``data`` is a dictionary."""
        record = _asked(records_host.get, module, record_id)
        return None if record is None else _found(record)

    @staticmethod
    def query(module, query):
        """A page: ``records``, and ``next_cursor``."""
        page = _asked(records_host.query, module, write(query))
        page.records = [_found(record) for record in page.records]
        return page

    @staticmethod
    def aggregate(module, query):
        """Groups and their metrics."""
        return read(_asked(records_host.aggregate, module, write(query)))


class config:
    """What the tenant configured for the plugin as a whole."""

    @staticmethod
    def get():
        return read(config_host.get())


class secrets:
    """Handles of the tenant's secrets, for headers of HTTP requests."""

    @staticmethod
    def handle(name):
        return _asked(secrets_host.handle, name)


class state:
    """Values that are kept from one run to the next."""

    @staticmethod
    def get(key):
        entry = _asked(state_host.get, key)
        return None if entry is None else read(entry.value)

    @staticmethod
    def set(key, value):
        _asked(state_host.set, key, write(value))

    @staticmethod
    def delete(key):
        _asked(state_host.delete, key)


class log:
    """Lines for the run log."""

    @staticmethod
    def debug(message):
        log_host.write(log_host.Level.DEBUG, str(message))

    @staticmethod
    def info(message):
        log_host.write(log_host.Level.INFO, str(message))

    @staticmethod
    def warn(message):
        log_host.write(log_host.Level.WARN, str(message))

    @staticmethod
    def error(message):
        log_host.write(log_host.Level.ERROR, str(message))
