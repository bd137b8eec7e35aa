"""JSON without floats: a decimal is read as one and written as text, as the contract wants it."""

import json
from decimal import Decimal


def read(text):
    """The value of JSON text; None where there is no text."""
    return None if text is None else json.loads(text, parse_float=Decimal)


def write(value):
    """JSON text of a value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_decimal)


def _decimal(value):
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
