"""Lines for the run log, which the tenant's people can read. Natively they go to standard error."""

import sys

try:
    from wit_world.imports import log as _host
except ImportError:
    _host = None


def _write(level: str, message: object) -> None:
    if _host is None:
        print(f"{level}: {message}", file=sys.stderr)
    else:
        _host.write(_host.Level[level.upper()], str(message))


def debug(message: object) -> None:
    _write("debug", message)


def info(message: object) -> None:
    _write("info", message)


def warn(message: object) -> None:
    _write("warn", message)


def error(message: object) -> None:
    _write("error", message)
