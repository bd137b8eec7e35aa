"""Texts that stand for secrets, in headers of requests; no plugin sees the secrets themselves."""

from wit_world.imports import secrets as _host


def handle(name: str) -> str:
    return _host.handle(name)
