"""What schemathesis cannot know from /openapi.json: a module with records, and what bodies must
look like to get past the first check. Adds the module of module.json to the tenant with a few
rows, names them in paths, and puts bodies of bodies.json, each with something odd in one place, in
the place of most random ones. Decides by the request alone, so that the same seed asks the same."""

import copy
import json
import os
import pathlib
import re
import urllib.request
import zlib

import schemathesis

HERE = pathlib.Path(__file__).parent
MODULE = json.loads((HERE / "module.json").read_text())
BODIES = json.loads((HERE / "bodies.json").read_text())
FIELDS = [field["key"] for field in MODULE["fields"]]
NAMES = [*FIELDS, "id", "created_at", "owner_id", "customer.full_name", "currency.amount", "-", "x" * 300]
OPERATORS = (
    "eq ne lt lte gt gte in not_in between contains starts_with ends_with "
    "is_empty is_not_empty any none within sum avg min max median distinct"
).split()
# fmt: off
ODD = [
    "", "a", "a\u0000b", "\U0001f600", "\u202e", "one", "True", "-0", "1e400", "9" * 400,
    "0." + "0" * 400 + "1", "1.5", "2026-02-30", "9999-12-31", "0000-01-01", "-4713-01-01",
    "0000-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "+262142-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "24:00:00",
    "12:00", "PT1H", "P99999999999D", "last_7_days", "last_999999999_days", "me", "(a+)+$", "[",
    "record.integer / 0", "((((((((((1))))))))))", "+4915112345678", "a@example.com", "\u00fc@\u00fc",
    "https://example.com/\u00fc", "#ff0000", "00000000-0000-0000-0000-000000000000",
    0, 1, 3, -1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**40, 1e308, 0.1, True, False, None,
    [], ["a", "a"], [["a"]], [None], ["2026-01-01", "2025-01-01"], [1, 2], ["\u0000"], {}, {"\u0000": 1},
    {"amount": "1.00", "currency": "USD"}, {"amount": "9" * 60, "currency": "XXX"},
    {"amount": "-1e99", "currency": "JPY"}, {"first": "A", "last": "B"}, {"first": "\u0000"},
    {"latitude": "1.5", "longitude": "2"}, {"latitude": 91, "longitude": 1e300},
    {"country": "DE", "city": "a"},
]
# fmt: on
ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7")
KNOWN = {}


class Choice:
    """Choices that follow from a text."""

    def __init__(self, seed):
        self.state = zlib.crc32(seed.encode("utf-8", "backslashreplace"))

    def of(self, choices):
        self.state = zlib.crc32(b"next", self.state)
        return choices[self.state % len(choices)]


def places(value, path=()):
    """Paths to everything in a body."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in members:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*path, key))


def odd_body(body, choice):
    body = copy.deepcopy(body)
    if isinstance(body.get("data"), dict):
        count = choice.of(range(4))
        body["data"] = {choice.of(FIELDS): copy.deepcopy(choice.of(ODD)) for _ in range(count)}
    for _ in range(choice.of([0, 1, 1, 2])):
        path = choice.of(list(places(body)))
        inside = body
        for key in path[:-1]:
            inside = inside[key]
        pool = {"field": NAMES, "key": NAMES, "op": OPERATORS}.get(path[-1], ODD)
        # A copy: the next turn may put something odd into it, even itself.
        inside[path[-1]] = copy.deepcopy(choice.of([choice.of(pool), choice.of(ODD)]))
        if not list(places(body)):
            break
    return body


@schemathesis.hook
def before_call(context, case, kwargs):
    label = f"{case.method} {case.operation.path}"
    choice = Choice(label + repr((case.body, case.query, case.path_parameters)))
    path = case.path_parameters or {}
    # The module that everything else is about stays as it is.
    if label in ("DELETE /api/crm/modules/{module}", "PATCH /api/crm/modules/{module}"):
        path["module"] = choice.of(["others", "orders", path["module"].replace("things", "others")])
    given, known = path.get("id"), KNOWN.get(case.operation.path.split("/")[3:4][0] if "id" in path else "")
    if known and not ID.match(str(given)) and choice.of([True, True, True, False]):
        path["id"] = choice.of(known)
        if "module" in path:
            path["module"] = MODULE["slug"]
    if label in BODIES and choice.of([True, True, True, False]):
        case.body = odd_body(BODIES[label], choice)


def call(path, body=None):
    request = urllib.request.Request(
        os.environ["CRM_FUZZ_BASE"] + "/api/crm/" + path,
        None if body is None else json.dumps(body).encode(),
        {
            "Authorization": "Bearer " + os.environ["CRM_FUZZ_TOKEN"],
            "Content-Type": "application/json",
        },
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request) as answer:
        return json.load(answer)


def prepare():
    call("modules", MODULE)
    things = [call("records/things", {"data": {"text": text, "integer": 1}}) for text in "abcde"]
    customer = {"data": {"full_name": "Ada"}}
    call("records/customers", customer)
    KNOWN["records"] = [thing["id"] for thing in things]
    KNOWN["views"] = [call("views", BODIES["POST /api/crm/views"])["id"] for _ in range(3)]


prepare()
