"""What schemathesis cannot know from /openapi.json: a module and what records and filters of it
look like. Adds the module of module.json to the tenant, and turns some of the members of random
bodies into fields, operators and values of it. Decides by the body alone, so that a seed always
asks the same."""

import json
import os
import pathlib
import urllib.request
import zlib

import schemathesis

MODULE = json.loads(pathlib.Path(__file__).with_name("module.json").read_text())
FIELDS = [field["key"] for field in MODULE["fields"]] + ["id", "created_at", "customer.full_name"]
OPERATORS = (
    "eq ne lt lte gt gte in not_in between contains starts_with ends_with "
    "is_empty is_not_empty any none within"
).split()
VALUES = [
    "", "a", "a\u0000b", "\U0001f600", "\u202e", "one", "True", "-0", "1e400", "9" * 400,
    "0." + "0" * 400 + "1", "2026-02-30", "9999-12-31", "-4713-01-01", "2026-01-01T00:00:00Z",
    "+262142-12-31T23:59:59Z", "24:00:00", "PT1H", "P99999999999D", "last_7_days", "me",
    "+4915112345678", "a@example.com", "https://example.com/\u00fc", "#ff0000",
    "00000000-0000-0000-0000-000000000000", 0, -1, 2**53, 2**63, -(2**63) - 1, 10**40, 1e308,
    0.1, True, None, [], ["a", "a"], [["a"]], {}, {"amount": "1.00", "currency": "USD"},
    {"amount": "9" * 60, "currency": "XXX"}, {"first": "A", "last": "\u0000"},
    {"lat": "91", "lon": "0"}, {"latitude": 1, "longitude": 1}, {"country": "DE", "city": "a"},
]


def pick(choices, seed):
    return choices[zlib.crc32(repr(seed).encode("utf-8", "backslashreplace")) % len(choices)]


def data(given):
    """Fields of the module, with the values that were given or odd ones."""
    return {
        pick(FIELDS[:-3] + [key], key): pick([value, *VALUES], (key, value))
        for key, value in given.items()
    }


def condition(given):
    """A condition, alone or in others."""
    seed = json.dumps(given, sort_keys=True)
    inner = {
        "field": pick(FIELDS, seed),
        "op": pick(OPERATORS, seed + "o"),
        "value": pick(VALUES, seed + "v"),
    }
    return pick([given, inner, inner, {"not": inner}, {"or": [inner, inner]}], seed + "f")


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("data"), dict):
        body = {**body, "data": data(body["data"])}
    if isinstance(body.get("filter"), dict):
        body = {**body, "filter": condition(body["filter"])}
    if isinstance(body.get("operations"), list):
        body = {**body, "operations": [map_body(context, inner) for inner in body["operations"]]}
    return body


def add_module():
    request = urllib.request.Request(
        os.environ["CRM_FUZZ_BASE"] + "/api/crm/modules",
        json.dumps(MODULE).encode(),
        {
            "Authorization": "Bearer " + os.environ["CRM_FUZZ_TOKEN"],
            "Content-Type": "application/json",
        },
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


add_module()
