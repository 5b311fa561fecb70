"""The wire contract as requests and answers, written by hand from the contract and not from any code.

Each pair quotes the fact that it comes from, with its source: ``[seed]``, ``[doc]``, ``[client]`` or ``[assumed]``.
Plain data: `test_pairs.py` plays every pair to all who claim to know the contract.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Some:
    """What the contract leaves to the service: any value of the example's type, and of this form if it is a text."""

    example: Any
    form: str = ".+"


@dataclass(frozen=True)
class Pair:
    """A request, its answer, and what the codes hold before and after.

    Parameters
    ----------
    name, source, fact : str
        What it is called, and the words of the contract that it comes from.
    path, method, query, body : what is asked
        A body that is text is sent as it is. A path may be the example of a `Some` in an earlier answer.
    token : str
        ``valid``, ``wrong``, ``expired``, ``none``; or a permission that a valid token lacks.
    status, answer, headers : what is answered
        Text is HTML or CSV. A server may add members to an answer at its top, nowhere else.
    or_status : int, optional
        Another status that the contract allows as well; then only the state is compared.
    before : dict
        Codes and values that are there in addition to `CODES`.
    after : dict
        Values that differ from before, None where none is left; everything else is as before.
    error, reads : what a client makes of the answer
        The name of an error, and attributes of the error or of what is returned.
    follows : tuple of str
        Pairs that were played before, so that the server is in the right state.
    within : tuple of str
        Pairs that a client asks for in one go.
    sandbox : dict
        Options of the sandbox that bring about this answer.
    by : str
        Who plays it: ``sandbox``, ``client``; ``plain`` (plain_server), which knows no permissions, no limits and no
        unreadable bodies; ``fake`` (fake_service), which knows whole items keyed by ``extended_id``.
    alone : str
        Why only one of sandbox and client can play it.
    rows : sequence of dict, optional
        A table of a user's from which a plan makes this body; an empty one stands for the items of the body themselves.
    """

    name: str
    source: str
    fact: str
    path: str
    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    token: str = "valid"
    status: int = 200
    answer: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    or_status: int | None = None
    before: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    after: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    error: str = ""
    reads: Mapping[str, Any] = field(default_factory=dict)
    follows: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    by: str = "sandbox client plain"
    alone: str = ""
    rows: Sequence[Mapping[str, Any]] | None = None


ME, SYNC, ASYNC = "/api/v2/me/", "/api/v2/scm/upload/", "/api/v2/scm/upload/async/"
TASK, DOWNLOAD = "/api/v2/scm/tasks/task-1/", "/api/v2/codes/download/"
DOCUMENT, LINK = "/api/v2/documents/doc-1/", "/api/v2/documents/doc-1/get-download-link/"
ELSEWHERE = "https://files.example.com"

# The campaign and its codes. `pallet` is a field of type logistic unit.
FIELDS = ("lot_number", "production_date", "intended_market", "rfid", "pallet")
CODES: dict[str, dict[str, str]] = {
    "AbC-0001_x": {"serial_number": "000101", "lot_number": "L42", "rfid": "E280-01", "pallet": "P1"},
    "AbC-0002_x": {"serial_number": "000102", "lot_number": "L42", "rfid": "E280-02", "pallet": "P1"},
    "AbC-0003_x": {"lot_number": "L42", "rfid": "E280-03", "intended_market": "FR", "pallet": "P2"},
    "AbC-0004_x": {"lot_number": "L43", "rfid": "E280-04", "production_date": "2026-01-05"},
    "AbC-0005_x": {"lot_number": "L43", "status": "1", "product": "SKU-0"},
    "AbC-0006_x": {},
}
C1, C2, C3, C4, C5, C6 = CODES
EVERYBODY, BOTH = "sandbox client plain fake", "sandbox client"
A_TASK = {"task_id": Some("task-1")}
A_REASON = Some({"detail": "The body cannot be read."})  # or {field: [messages]}
THROTTLED = {
    "detail": Some(
        "Request was throttled. Expected available in 3 seconds.",
        r"Request was throttled\. Expected available in \d+ seconds\.",
    ),
    "code": "throttled",
}
PAGE = Some("<html><head><title>An error</title></head><body>An error</body></html>")
ONE = {"data_key": "extended_id", "items": [{"extended_id": C1, "lot_number": "L99"}]}
LOT = {"constraints": {"lot_number": "L42"}, "scm_data": {"intended_market": "CH"}}
TO_CH = {code: {"intended_market": "CH"} for code in (C1, C2, C3)}


def sync(name: str, source: str, fact: str, body: Any, answer: Any, **rest: Any) -> Pair:
    return Pair(name, source, fact, SYNC, body=body, answer=answer, **rest)


def background(name: str, source: str, fact: str, body: Any, answer: Any = A_TASK, **rest: Any) -> Pair:
    return Pair(name, source, fact, ASYNC, body=body, answer=answer, **rest)


def ask(name: str, source: str, fact: str, path: str, answer: Any, **rest: Any) -> Pair:
    return Pair(name, source, fact, path, "GET", answer=answer, **rest)


def items(key: str, *rows: Mapping[str, str]) -> dict[str, Any]:
    return {"data_key": key, "items": list(rows)}


def stored(items: Mapping[str, list[str]] | Some, updates: int | Some, codes: int | Some) -> dict[str, Any]:
    changes = Some([])  # undocumented: carried, not used
    return {"total_updates": updates, "codes_affected": codes, "changes": changes, "items": items}


def task(word: str, codes_affected: int | None, *, began: bool = True, ended: bool = True) -> dict[str, Any]:
    return {
        "id": "task-1",
        "reference": Some("scm-17"),
        "state": word,
        "codes_affected": codes_affected,
        "created_by": Some("ann@example.com"),
        "created_at": Some("2026-11-23T10:00:00Z"),
        "started_at": Some("2026-11-23T10:00:01Z") if began else None,
        "completed_at": Some("2026-11-23T10:00:09Z") if ended else None,
    }


# fmt: off
# The lines of a pair: what it is called and the fact; the request; the answer, and what else is known about it.

SYNC_UPLOADS = (
    sync("sync: the contract's example", "[seed][doc][client]",
        '200 answer: `{"total_updates": 2, "codes_affected": 2, "changes": [...], "items": {"AbC-0001_x":',
        items("extended_id", {"extended_id": C1, "lot_number": "L50", "production_date": "2026-11-23"},
                             {"extended_id": C6, "lot_number": "L50", "production_date": "2026-11-24"}),
        stored({C1: ["lot_number", "production_date"], C6: ["lot_number", "production_date"]}, updates=2, codes=2),
        after={C1: {"lot_number": "L50", "production_date": "2026-11-23"},
               C6: {"lot_number": "L50", "production_date": "2026-11-24"}}, by=EVERYBODY, rows=()),
    sync("sync: data_key left out", "[doc]", "`data_key` defaults to `extended_id` [doc].",
        {"items": [{"extended_id": C1, "lot_number": "L50"}]},
        stored({C1: ["lot_number"]}, updates=1, codes=1), after={C1: {"lot_number": "L50"}}, by=EVERYBODY),
    sync("sync: any number of fields, different ones in each item", "[doc]",
        "Every item carries the key and any number of fields.",
        items("extended_id", {"extended_id": C1, "lot_number": "L50", "intended_market": "CH"},
                             {"extended_id": C2, "production_date": "2026-02-01"}),
        stored({C1: ["lot_number", "intended_market"], C2: ["production_date"]}, updates=2, codes=2),
        after={C1: {"lot_number": "L50", "intended_market": "CH"}, C2: {"production_date": "2026-02-01"}},
        by=EVERYBODY,
        rows=[{"extended_id": C1, "lot_number": "L50", "intended_market": "CH", "production_date": None},
              {"extended_id": C2, "production_date": "2026-02-01"}]),
    sync("sync: a field that is left out stays", "[client]", "a field that is left out stays as it is.",
        items("extended_id", {"extended_id": C3, "lot_number": "L50"}),
        stored({C3: ["lot_number"]}, updates=1, codes=1), after={C3: {"lot_number": "L50"}}, by=EVERYBODY,
        rows=[{"extended_id": C3, "lot_number": "L50", "intended_market": None}]),
    sync("sync: a blank text clears", "[client]", '`""` clears a field [client]',
        items("extended_id", {"extended_id": C3, "intended_market": "", "lot_number": "L50"}),
        stored({C3: ["intended_market", "lot_number"]}, updates=1, codes=1),
        after={C3: {"intended_market": None, "lot_number": "L50"}}, by=EVERYBODY, rows=()),
    sync("sync: clear what is blank already", "[client]", '`""` clears a field [client]',
        items("extended_id", {"extended_id": C6, "rfid": ""}),
        stored(Some({C6: ["rfid"]}), updates=Some(1), codes=Some(1))),
    sync("sync: one code is unknown", "[client]", "a key value that is missing there matched no code [client]",
        items("extended_id", {"extended_id": C1, "lot_number": "L50"},
                             {"extended_id": "Nobody-0001", "lot_number": "L50"}),
        stored({C1: ["lot_number"]}, updates=Some(1), codes=1), after={C1: {"lot_number": "L50"}}, by=EVERYBODY,
        rows=()),
    sync("sync: all codes are unknown", "[client]", "a key value that is missing there matched no code [client]",
        items("extended_id", {"extended_id": "Nobody-0001", "lot_number": "L50"}),
        stored({}, updates=Some(0), codes=0), by=EVERYBODY),
    sync("sync: codes differ by case", "[assumed]", "(8 to 100 characters out of `a-z A-Z 0-9 - _`)",
        items("extended_id", {"extended_id": "abc-0001_X", "lot_number": "L50"}),
        stored({}, updates=Some(0), codes=0), by=EVERYBODY),
    sync("sync: the shortest and the longest code", "[doc]",
        "named by its `extended_id` (8 to 100 characters out of `a-z A-Z 0-9 - _`) [doc]",
        items("extended_id", {"extended_id": "aZ09-_aZ", "rfid": "short"},
                             {"extended_id": "z" * 100, "rfid": "long"}),
        stored({"aZ09-_aZ": ["rfid"], "z" * 100: ["rfid"]}, updates=2, codes=2),
        before={"aZ09-_aZ": {}, "z" * 100: {}}, after={"aZ09-_aZ": {"rfid": "short"}, "z" * 100: {"rfid": "long"}},
        by=EVERYBODY, rows=()),
    sync("sync: an unknown field is discarded", "[doc][assumed]", "a field missing there was discarded [assumed]",
        items("extended_id", {"extended_id": C1, "lot_number": "L50", "lot_nr": "L51"}),
        stored({C1: ["lot_number"]}, updates=1, codes=1), after={C1: {"lot_number": "L50"}}),
    sync("sync: nothing but unknown fields", "[doc][assumed]",
        "a field that the campaign does not define is silently discarded [doc]",
        items("extended_id", {"extended_id": C1, "lot_nr": "L51"}),
        # The code was matched, and so is named; nothing on it was changed, and "codes affected" is what was changed.
        stored({C1: []}, updates=Some(0), codes=0), by="sandbox client plain"),
    sync("sync: what every code has is no field of the campaign", "[doc][assumed]",
        "a field that the campaign does not define is silently discarded [doc]",
        items("lot_number", {"lot_number": "L42", "extended_id": "AbC-0009_x", "serial_number": "7", "brand": "B",
                             "rfid": "E1"}),
        stored({"L42": ["rfid"]}, updates=Some(1), codes=3),
        after={C1: {"rfid": "E1"}, C2: {"rfid": "E1"}, C3: {"rfid": "E1"}}),
    sync("sync: an SCM field selects several codes", "[seed][doc]",
        "then one value selects every code that carries it",
        items("lot_number", {"lot_number": "L42", "intended_market": "CH"}),
        stored({"L42": ["intended_market"]}, updates=Some(1), codes=3), after=TO_CH, rows=()),
    sync("sync: two values of an SCM field, and one that nobody carries", "[seed][doc][client]",
        "**codes affected**: how many codes one call changes. It, and not the number of rows sent",
        items("lot_number", {"lot_number": "L42", "intended_market": "CH"},
                            {"lot_number": "L43", "intended_market": "DE"},
                            {"lot_number": "L44", "intended_market": "IT"}),
        stored({"L42": ["intended_market"], "L43": ["intended_market"]}, updates=Some(2), codes=5),
        after=TO_CH | {C4: {"intended_market": "DE"}, C5: {"intended_market": "DE"}}, rows=()),
    sync("sync: by RFID tag", "[seed][doc]", "or **any SCM field** (`rfid`, `lot_number`, a logistic unit)",
        items("rfid", {"rfid": "E280-04", "production_date": "2026-02-28"}),
        stored({"E280-04": ["production_date"]}, updates=1, codes=1), after={C4: {"production_date": "2026-02-28"}},
        rows=()),
    sync("sync: by logistic unit", "[seed][doc]",
        "logistic-unit fields (a field of type logistic unit: groups codes into box < pallet < container)",
        items("pallet", {"pallet": "P1", "intended_market": "CH"}),
        stored({"P1": ["intended_market"]}, updates=Some(1), codes=2),
        after={C1: {"intended_market": "CH"}, C2: {"intended_market": "CH"}}, rows=()),
    sync("sync: by serial number, with its zeros", "[seed][doc]", "`serial_number` (if set on the codes)",
        items("serial_number", {"serial_number": "000101", "lot_number": "L50"}),
        stored({"000101": ["lot_number"]}, updates=1, codes=1), after={C1: {"lot_number": "L50"}}, rows=()),
    sync("sync: an item again changes nothing more", "[client]", "A known client retries on 429 and 5xx only",
        ONE, stored(Some({C1: ["lot_number"]}), updates=Some(1), codes=Some(1)), after={C1: {"lot_number": "L99"}},
        follows=("sync: one code",)),
    sync("sync: one code", "[doc]", "One of `extended_id` (one code per value)",
        ONE, stored({C1: ["lot_number"]}, updates=1, codes=1), after={C1: {"lot_number": "L99"}}, by=EVERYBODY,
        rows=[{"extended_id": C1, "lot_number": "L99"}]),
    sync("sync: the same item twice", "[assumed]",
        "`items` lists, per key value, the *names* of the fields that were changed",
        items("extended_id", {"extended_id": C1, "lot_number": "L50"}, {"extended_id": C1, "lot_number": "L50"}),
        stored({C1: ["lot_number"]}, updates=Some(2), codes=1), after={C1: {"lot_number": "L50"}},
        by="sandbox client plain"),
    sync("sync: two items of one code with different fields", "[assumed]",
        "`items` lists, per key value, the *names* of the fields that were changed",
        items("extended_id", {"extended_id": C1, "lot_number": "L50"}, {"extended_id": C1, "intended_market": "CH"}),
        stored({C1: ["lot_number", "intended_market"]}, updates=Some(2), codes=1),
        after={C1: {"lot_number": "L50", "intended_market": "CH"}}, by="sandbox client plain"),
    sync("sync: no items", "[assumed]", "400 for a body that cannot be read",
        {"data_key": "extended_id", "items": []}, stored({}, updates=0, codes=0),
        or_status=400),  # whether an empty list can be read is not documented; that it changes nothing is plain
    sync("sync: text beyond ASCII", "[doc]", "`POST /api/v2/scm/upload/`, JSON:",
        items("extended_id", {"extended_id": C1, "lot_number": 'Zürich "€" \\ 酒 🍷'}),
        stored({C1: ["lot_number"]}, updates=1, codes=1), after={C1: {"lot_number": 'Zürich "€" \\ 酒 🍷'}},
        by=EVERYBODY, rows=()),
)

FIELD_RULES = (
    sync("field: a date", "[doc]", "Dates are `YYYY-MM-DD`",
        items("extended_id", {"extended_id": C6, "production_date": "2028-02-29"}),
        stored({C6: ["production_date"]}, updates=1, codes=1), after={C6: {"production_date": "2028-02-29"}},
        by=EVERYBODY, rows=()),
    sync("field: a date in another form is stored as sent", "[doc]",
        "anything else is accepted and stored as sent, and then breaks display and editing in the portal [doc]",
        items("extended_id", {"extended_id": C6, "production_date": "23.11.2026"}),
        stored({C6: ["production_date"]}, updates=1, codes=1), after={C6: {"production_date": "23.11.2026"}},
        by=EVERYBODY),
    sync("field: a product by its SKU", "[doc]", "`product` (an existing product's id or SKU;",
        items("extended_id", {"extended_id": C5, "product": "SKU-1"}),
        stored({C5: ["product"]}, updates=1, codes=1), after={C5: {"product": "SKU-1"}}, by=EVERYBODY, rows=()),
    background("field: a product by its id", "[doc]", "`product` (an existing product's id or SKU;",
        {"constraints": {"extended_id": C5}, "scm_data": {"product": "4711"}},
        after={C5: {"product": "4711"}}, by=EVERYBODY, rows=[{"extended_id": C5, "product": 4711}]),
    *(
        sync(f"field: activation status {status}", "[doc]", "`activation_status` 0 inactive, 1 active, 2 blacklisted",
            items("extended_id", {"extended_id": C6, "activation_status": status}),
            stored({C6: ["activation_status"]}, updates=1, codes=1), after={C6: {"status": status}}, by=EVERYBODY,
            rows=[{"extended_id": C6, "activation_status": int(status)}])
        for status in "012"
    ),
    sync("field: blacklisted, with the reason", "[doc][assumed]",
        "`blacklist_reason` 0 none, 1 counterfeits detected, 2 low quality, 3 overprint, 4 stolen",
        items("extended_id", {"extended_id": C6, "activation_status": "2", "blacklist_reason": "4"}),
        stored({C6: ["activation_status", "blacklist_reason"]}, updates=1, codes=1),
        after={C6: {"status": "2", "blacklist_reason": "4"}}, by=EVERYBODY, rows=()),
    background("field: a lot is blacklisted in the background", "[doc][assumed]",
        "9 work order cancelled, 10 maximum scan count exceeded (only with `activation_status` 2 [assumed])",
        {"constraints": {"lot_number": "L43"}, "scm_data": {"activation_status": "2", "blacklist_reason": "10"}},
        after={C4: {"status": "2", "blacklist_reason": "10"}, C5: {"status": "2", "blacklist_reason": "10"}}, by=BOTH,
        rows=[{"lot_number": "L43", "activation_status": 2, "blacklist_reason": 10}]),
)

ASYNC_UPLOADS = (
    background("async: one value", "[seed][doc]",
        '{"constraints": {"lot_number": "L42"}, "scm_data": {"intended_market": "CH"}}',
        LOT, after=TO_CH, rows=[{"lot_number": "L42", "intended_market": "CH"}]),
    background("async: one code", "[seed][doc]", "A constraint is a value or a list of values",
        {"constraints": {"extended_id": C1}, "scm_data": {"intended_market": "CH"}},
        after={C1: {"intended_market": "CH"}}, by=EVERYBODY, rows=[{"extended_id": C1, "intended_market": "CH"}]),
    background("async: a list of codes", "[seed][doc]",
        '{"constraints": {"extended_id": ["AbC-0001_x", "AbC-0002_x"]}, "scm_data": {"product": "SKU-1"}}',
        {"constraints": {"extended_id": [C1, C2]}, "scm_data": {"product": "SKU-1"}},
        after={C1: {"product": "SKU-1"}, C2: {"product": "SKU-1"}}, by=EVERYBODY,
        rows=[{"extended_id": C1, "product": "SKU-1"}, {"extended_id": C2, "product": "SKU-1"}]),
    background("async: a list, some of it unknown", "[doc]", "A constraint is a value or a list of values",
        {"constraints": {"extended_id": [C1, "Nobody-0001"]}, "scm_data": {"rfid": "E1"}},
        after={C1: {"rfid": "E1"}}, by=EVERYBODY),
    background("async: a list of lots", "[doc]", "A constraint is a value or a list of values",
        {"constraints": {"lot_number": ["L42", "L43"]}, "scm_data": {"intended_market": "CH"}},
        after=TO_CH | {C4: {"intended_market": "CH"}, C5: {"intended_market": "CH"}}),
    background("async: two constraints narrow each other", "[doc][assumed]",
        "several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        {"constraints": {"lot_number": "L42", "pallet": "P1"}, "scm_data": {"intended_market": "CH"}},
        after={C1: {"intended_market": "CH"}, C2: {"intended_market": "CH"}},
        rows=[{"lot_number": "L42", "pallet": "P1", "intended_market": "CH"}]),
    background("async: a list and a value narrow each other", "[doc][assumed]",
        "several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        {"constraints": {"rfid": ["E280-01", "E280-03", "E280-04"], "lot_number": "L42"}, "scm_data": {"rfid": ""}},
        after={C1: {"rfid": None}, C3: {"rfid": None}}),
    background("async: constraints that exclude each other", "[doc][assumed]",
        "several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        {"constraints": {"lot_number": "L43", "pallet": "P1"}, "scm_data": {"intended_market": "CH"}}),
    background("async: nothing is selected", "[seed][doc]", '200 answer, at once: `{"task_id": "..."}`.',
        {"constraints": {"lot_number": "L77"}, "scm_data": {"intended_market": "CH"}}),
    background("async: all selected codes get the same", "[doc]", "**Every selected code gets the same `scm_data`**",
        {"constraints": {"pallet": "P1"}, "scm_data": {"intended_market": "CH", "production_date": "2026-11-23"}},
        after={C1: {"intended_market": "CH", "production_date": "2026-11-23"},
               C2: {"intended_market": "CH", "production_date": "2026-11-23"}},
        rows=[{"pallet": "P1", "intended_market": "CH", "production_date": "2026-11-23"}]),
    background("async: the data change what selected the codes", "[seed][doc]",
        "or **any SCM field** (`rfid`, `lot_number`, a logistic unit)",
        {"constraints": {"lot_number": "L42"}, "scm_data": {"lot_number": "L43"}},
        after={C1: {"lot_number": "L43"}, C2: {"lot_number": "L43"}, C3: {"lot_number": "L43"}}),
    background("async: a blank text clears", "[client][assumed]", '`""` clears a field [client]',
        {"constraints": {"extended_id": C3}, "scm_data": {"intended_market": ""}},
        after={C3: {"intended_market": None}}, by=EVERYBODY, rows=[{"extended_id": C3, "intended_market": ""}]),
    background("async: an unknown field is discarded", "[doc]",
        "a field that the campaign does not define is silently discarded [doc]",
        {"constraints": {"extended_id": C3}, "scm_data": {"rfid": "E1", "lot_nr": "L51"}}, after={C3: {"rfid": "E1"}}),
    background("async: by serial number", "[doc]", "`serial_number` (if set on the codes)",
        {"constraints": {"serial_number": "000102"}, "scm_data": {"rfid": "E1"}},
        after={C2: {"rfid": "E1"}}, rows=[{"serial_number": "000102", "rfid": "E1"}]),
    background("async: no gateway cuts it", "[seed]",
        "The work happens in the background; a timeout cannot occur [seed].",
        LOT, sandbox={"slow_s": 1e6}, by=BOTH),
)

TASKS = (
    ask("task: complete", "[client]",
        "answers `id, reference, state, codes_affected, created_by, created_at, started_at, completed_at`",
        TASK, task("complete", 3),
        after=TO_CH, follows=("async: one value",),
        reads={"id": "task-1", "state": "complete", "word": "complete", "finished": True, "codes_affected": 3,
               "reference": "scm-17", "created_by": "ann@example.com", "created_at": "2026-11-23T10:00:00Z",
               "started_at": "2026-11-23T10:00:01Z", "completed_at": "2026-11-23T10:00:09Z"},
        by=BOTH),
    ask("task: complete, of two codes", "[client]",
        "`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        TASK, task("complete", 2),
        after={C1: {"product": "SKU-1"}, C2: {"product": "SKU-1"}}, follows=("async: a list of codes",),
        reads={"state": "complete", "codes_affected": 2}, by="sandbox client fake"),
    ask("task: complete, and nothing was selected", "[client]",
        "**codes affected**: how many codes one call changes.",
        TASK, task("complete", 0),
        follows=("async: nothing is selected",), reads={"state": "complete", "finished": True, "codes_affected": 0},
        by=BOTH),
    ask("task: complete, two constraints", "[doc][assumed]", "(they narrow each other: AND [assumed])",
        TASK, task("complete", 2),
        after={C1: {"intended_market": "CH"}, C2: {"intended_market": "CH"}},
        follows=("async: two constraints narrow each other",), reads={"state": "complete", "codes_affected": 2},
        by=BOTH),
    ask("task: in progress", "[client][assumed]",
        "`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        TASK, task("in-progress", None, ended=False),
        follows=("async: one value",), sandbox={"slow_s": 1e6},
        reads={"state": "in-progress", "word": "in-progress", "finished": False, "codes_affected": None}, by=BOTH),
    ask("task: pending", "[client][assumed]",
        "`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        TASK, task("pending", None, began=False, ended=False),
        follows=("async: all selected codes get the same", "async: one value"),  # the first is being worked on
        sandbox={"slow_s": 1e6, "task_workers": 1},
        reads={"state": "pending", "word": "pending", "finished": False, "started_at": None, "completed_at": None},
        by=BOTH),
    ask("task: failed", "[client]", "`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        TASK, task("failed", 0),
        reads={"state": "failed", "word": "failed", "finished": True, "codes_affected": 0}, by="client",
        alone="no upload that the contract allows makes a task fail"),
    ask("task: camelCase names", "[client]", "some clients see camelCase names, so read both",
        TASK, {"id": "task-1", "reference": "scm-17", "state": "complete", "codesAffected": 3,
               "createdBy": "ann@example.com", "createdAt": "2026-11-23T10:00:00Z",
               "startedAt": "2026-11-23T10:00:01Z", "completedAt": "2026-11-23T10:00:09Z"},
        reads={"state": "complete", "codes_affected": 3, "created_by": "ann@example.com",
               "created_at": "2026-11-23T10:00:00Z", "started_at": "2026-11-23T10:00:01Z",
               "completed_at": "2026-11-23T10:00:09Z"},
        by="client", alone="the sandbox speaks the other spelling"),
    ask("task: success, in camelCase", "[client][assumed]", "`completed`/`success` = `complete`",
        TASK, {"id": "task-1", "state": "success", "codesAffected": 3},
        after=TO_CH, follows=("async: one value",),
        reads={"state": "complete", "word": "success", "finished": True, "codes_affected": 3}, by="client plain",
        alone="the sandbox speaks the other spelling"),
    *(
        ask(f"task: the word {word}", "[seed][assumed]",
            "Read tolerantly: `running` = `in-progress`, `error` = `failed`, `completed`/`success` = `complete`",
            TASK, task(word, None, ended=finished),
            reads={"state": state, "word": word, "finished": finished}, by="client",
            alone="the sandbox speaks the four documented words")
        for word, state, finished in (
            ("running", "in-progress", False), ("error", "failed", True),
            ("completed", "complete", True), ("success", "complete", True),
        )
    ),
    ask("task: an unknown word", "[assumed]", "an unknown word is kept, shown, and treated as not finished.",
        TASK, task("resting", None, ended=False),
        reads={"state": None, "word": "resting", "finished": False}, by="client",
        alone="the sandbox speaks the four documented words"),
    ask("task: nobody knows it", "[assumed]", "401, 403, 404",
        "/api/v2/scm/tasks/task-0/", {"detail": Some("Not found.")},
        status=404, error="NotFoundError", by="sandbox client plain"),
)

AUTHENTICATION = (
    ask("me: the token works", "[doc]", "`GET /api/v2/me/` answers 200 when the token works [doc]",
        ME, Some({"email": "ann@example.com"})),
    ask("me: a wrong token", "[doc][assumed]", '401/403 when it does not [assumed bodies: `{"detail": "..."}`]',
        ME, {"detail": Some("Invalid token.")}, token="wrong", status=401, error="AuthenticationError"),
    ask("me: no token", "[doc][assumed]", "`Authorization: UAT <token>` on every request",
        ME, {"detail": Some("Authentication credentials were not provided.")},
        token="none", status=401, by="sandbox", alone="a client always has a token"),
    ask("me: an expired token", "[doc][assumed]", "made in the portal, with an expiry date and a set of permissions",
        ME, {"detail": Some("Token expired.")}, token="expired", status=401, error="AuthenticationError", by=BOTH),
    sync("sync: a wrong token", "[doc][assumed]", "`Authorization: UAT <token>` on every request",
        ONE, {"detail": Some("Invalid token.")}, token="wrong", status=401, error="AuthenticationError"),
    background("async: an expired token", "[doc][assumed]",
        "made in the portal, with an expiry date and a set of permissions",
        LOT, answer={"detail": Some("Token expired.")}, token="expired", status=401, error="AuthenticationError",
        by=BOTH),
    ask("download: a wrong token", "[doc][assumed]", "`Authorization: UAT <token>` on every request",
        DOWNLOAD, {"detail": Some("Invalid token.")},
        query={"campaign": "1234"}, token="wrong", status=401, error="AuthenticationError"),
    *(
        Pair(f"{name}: without {permission}", "[doc][assumed]",
            "SCM upload needs `codes_view`, `scm_bulk_edit`, `scm_code_edit`, `product_view`",
            path, body=body,
            answer={"detail": Some("You do not have permission to perform this action.")}, token=permission,
            status=403, error="PermissionDeniedError", by=BOTH)
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
        for permission in ("codes_view", "scm_bulk_edit", "scm_code_edit", "product_view")
    ),
    ask("download: without codes_view", "[doc][assumed]", "code download needs `codes_view` [doc]",
        DOWNLOAD, {"detail": Some("You do not have permission to perform this action.")},
        query={"campaign": "1234"}, token="codes_view", status=403, error="PermissionDeniedError", by=BOTH),
)

LIMITS_AND_ERRORS = (
    sync("429: the eleventh update in a second", "[doc]", "**10 SCM updates per second** (scope `scm_update`)",
        items("extended_id", {"extended_id": C1, "lot_number": "L50"}),
        THROTTLED, status=429, error="ThrottledError", reads={"retry_after_s": 3.0}, follows=("sync: one code",) * 10,
        after={C1: {"lot_number": "L99"}}, sandbox={"rate": 10, "speed": 1}, by=BOTH),
    background("429: sync and async share the limit", "[doc]", "**10 SCM updates per second** (scope `scm_update`)",
        {"constraints": {"extended_id": C1}, "scm_data": {"lot_number": "L50"}},
        answer=THROTTLED, status=429, error="ThrottledError", reads={"retry_after_s": 3.0},
        follows=("sync: one code",) * 10, after={C1: {"lot_number": "L99"}}, sandbox={"rate": 10, "speed": 1},
        by=BOTH),
    ask("429: other calls have a limit of their own", "[doc]", "other authenticated calls 3,000 a minute [doc]",
        ME, THROTTLED,
        status=429, error="ThrottledError", reads={"retry_after_s": 3.0}, follows=("me: the token works",) * 3,
        by=BOTH,
        sandbox={"speed": 0.001}),  # a thousandth of the pace: three calls in a minute
    sync("429: text and header", "[doc][assumed]", "a `Retry-After` header may be there [assumed]",
        ONE, THROTTLED, status=429, headers={"Retry-After": Some("7", r"\d+")}, error="ThrottledError",
        reads={"retry_after_s": 7.0}, sandbox={"faults": {429: 1.0}}, by=BOTH),
    sync("429: header alone", "[assumed]", "a `Retry-After` header may be there [assumed]",
        ONE, "", status=429, headers={"Retry-After": "5"}, error="ThrottledError", reads={"retry_after_s": 5.0},
        by="client", alone="the sandbox always gives the documented text"),
    background("429: text alone", "[doc]",
        '429 `{"detail": "Request was throttled. Expected available in 3 seconds.", "code": "throttled"}` [doc]',
        LOT, answer={"detail": "Request was throttled. Expected available in 3 seconds.", "code": "throttled"},
        status=429, error="ThrottledError", reads={"retry_after_s": 3.0}, by="client",
        alone="the sandbox always gives the header, too"),
    sync("429: neither", "[assumed]", "a `Retry-After` header may be there [assumed]",
        ONE, {"detail": "Request was throttled.", "code": "throttled"}, status=429, error="ThrottledError",
        reads={"retry_after_s": None}, by="client", alone="the sandbox always says how long"),
    *(
        Pair(f"400: {what}", "[assumed]",
            '400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
            path, body=body, answer=A_REASON, status=400, error="BadRequestError", by=BOTH)
        for what, path, body in (
            ("not JSON", SYNC, "extended_id=AbC-0001_x&lot_number=L99"),
            ("JSON that is cut off", SYNC, '{"data_key": "extended_id", "items": [{"extended_id": "AbC-0001_x", "lot'),
            ("a list instead of an object", SYNC, '[{"extended_id": "AbC-0001_x", "lot_number": "L99"}]'),
            ("no items", SYNC, '{"data_key": "extended_id"}'),
            ("items that are not a list", SYNC, '{"items": {"extended_id": "AbC-0001_x", "lot_number": "L99"}}'),
            ("an item without the key", SYNC, {"data_key": "extended_id", "items": [{"lot_number": "L99"}]}),
            ("one good item, one without the key", SYNC, {"items": [ONE["items"][0], {"lot_number": "L99"}]}),
            ("an item that is text", SYNC, '{"items": ["AbC-0001_x"]}'),
            ("async without constraints", ASYNC, '{"scm_data": {"intended_market": "CH"}}'),
            ("async without data", ASYNC, '{"constraints": {"lot_number": "L42"}}'),
            ("async that is not JSON", ASYNC, "lot_number=L42"),
        )
    ),
    sync("400: the reason in a field", "[assumed]",
        '400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
        ONE, {"lot_number": ["This value is too long.", "It is not a lot."]}, status=400, error="BadRequestError",
        reads={"body": {"lot_number": ["This value is too long.", "It is not a lot."]}}, by="client",
        alone="which shape it is depends on the service"),
    background("400: the reason in detail", "[assumed]",
        '400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
        LOT, answer={"detail": "lot_number is not a constraint"}, status=400, error="BadRequestError",
        reads={"detail": "lot_number is not a constraint"}, by="client",
        alone="which shape it is depends on the service"),
    Pair("404: no such endpoint", "[assumed]", "401, 403, 404",
        "/api/v2/scm/uploads/", body=ONE,
        answer={"detail": Some("Not found.")}, status=404, by="sandbox",
        alone="the client asks for the endpoints of the contract only"),
    sync("404: an upload where the service is not", "[assumed]", "401, 403, 404",
        ONE, "<html><head><title>Not Found</title></head></html>", status=404, error="NotFoundError",
        reads={"detail": "Not Found"}, by="client", alone="a wrong base URL leads to another server"),
    *(
        Pair(f"413: {name} too large", "[assumed]", "413 (body too large; the limit is unknown [assumed])",
            path, body=body,
            answer=Some({"detail": "Request entity too large."}), status=413, error="TooLargeError",
            sandbox={"max_body_bytes": 60}, by=BOTH)
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
    ),
    *(
        Pair(f"{status}: {name}", "[assumed]",
            "413 (body too large; the limit is unknown [assumed]), 500, 502, 503, 504.",
            path, body=body, answer=PAGE, status=status, error=error, sandbox={"faults": {status: 1.0}}, by=BOTH)
        for status, error in ((500, "UnavailableError"), (502, "UnavailableError"), (503, "UnavailableError"))
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
    ),
    sync("503: with Retry-After", "[assumed]", "500, 502, 503, 504.",
        ONE, {"detail": "down for maintenance"}, status=503, headers={"Retry-After": "30"}, error="UnavailableError",
        reads={"retry_after_s": 30.0, "detail": "down for maintenance"}, by="client",
        alone="the sandbox is never down for maintenance"),
    sync("504: a lot is too slow", "[seed]",
        "After about **60 s** the gateway answers **504** and **no code is updated** [seed]: all or nothing.",
        items("lot_number", {"lot_number": "L42", "intended_market": "CH"}),
        PAGE, status=504, error="GatewayTimeoutError", sandbox={"slow_s": 1e6}, by=BOTH),
    sync("504: of several items not one is applied", "[seed]", "all or nothing",
        items("extended_id", *({"extended_id": code, "production_date": "2026-11-23"} for code in CODES)),
        PAGE, status=504, error="GatewayTimeoutError", sandbox={"slow_s": 1e6}, by=BOTH, rows=()),
    *(
        Pair(f"redirect: {status} of a {method} to a login page", "[assumed]",
            "production `https://api.scantrust.com`, staging `https://api.staging.scantrust.io` [doc].",
            path, method=method, body=body,
            answer="", status=status, headers={"Location": f"{ELSEWHERE}/login"}, error="RedirectError", by="client",
            alone="the contract's endpoints redirect nowhere: a server on the way does")
        for status, method, path, body in (
            (301, "POST", SYNC, ONE), (302, "POST", ASYNC, LOT), (303, "POST", SYNC, ONE), (307, "POST", SYNC, ONE),
            (302, "GET", ME, None),
        )
    ),
    *(
        Pair(f"200 that says nothing: {what}", source, fact,
            path, body=body,
            answer=answer, error="UnreadableAnswerError", by="client",
            alone="a server of the contract never says this")
        for what, source, fact, path, body, answer in (
            ("a page", "[assumed]", '200 answer: `{"total_updates": 2', SYNC, ONE,
             "<html><title>Log in</title></html>"),
            ("no items", "[client]", '200 answer: `{"total_updates": 2', SYNC, ONE, {"total_updates": 1}),
            ("no task", "[doc]", '200 answer, at once: `{"task_id": "..."}`.', ASYNC, LOT, {"detail": "accepted"}),
            ("nothing", "[doc]", '200 answer, at once: `{"task_id": "..."}`.', ASYNC, LOT, ""),
        )
    ),
)

_REST = ("document: ready", "document: link", "document: file")
_COLUMNS = (
    "extended_id,serial_number,brand,product,sku,status,blacklist_reason,scm_updated_by,scm_updated_at,activated_by,"
    "activated_at,workorder_id"
)


def _asked(name: str, query: dict[str, str], source: str = "[doc]", by: str = "sandbox client") -> Pair:
    return ask(name, source,
               "`serial_number`, `extended_id`, any `scm_<field>=value`) "
               'answers `{"document": {"key": "...", "task": "..."}}`',
               DOWNLOAD, {"document": {"key": Some("doc-1"), "task": Some("task-9")}},
               query=query, within=(name, "document: pending", *_REST), by=by)


DOWNLOADS = (
    _asked("download: a campaign", {"campaign": "1234"}, by="sandbox client plain"),
    _asked("download: one code", {"extended_id": "AbC-0001_x"}),
    _asked("download: a serial number", {"serial_number": "000101"}),
    _asked("download: a value of a field", {"scm_lot_number": "L43"}),
    _asked("download: by status", {"status": "1"}),
    _asked("download: by work order", {"workorder": "700"}),
    _asked("download: what changed in a while", {"updated_at": "2026-11-01,2026-11-23"}),
    ask("document: pending", "[doc][assumed]", "`GET /api/v2/documents/<key>/` until its state says that it is ready",
        DOCUMENT, {"state": "pending"},
        within=("download: a value of a field", "document: pending", *_REST), by=BOTH,
        sandbox={"speed": 0.1}),  # two seconds of the document's are ours, too
    ask("document: ready", "[doc][assumed]", "[state name assumed: `complete`]",
        DOCUMENT, {"state": "complete"}, within=("download: a value of a field", *_REST), by=BOTH),
    ask("document: link", "[doc][assumed]",
        '`GET /api/v2/documents/<key>/get-download-link/` answers a link [assumed: `{"link": "https://..."}`]',
        LINK, {"link": Some(f"{ELSEWHERE}/codes.csv", "https?://.+")},
        within=("download: a value of a field", *_REST), by=BOTH),
    ask("document: file", "[doc]", "fetch it **without** the token: it may live on another host.",
        f"{ELSEWHERE}/codes.csv",
        f"{_COLUMNS},{','.join(FIELDS)}\n"
        "AbC-0004_x,,,,,,,,,,,,L43,2026-01-05,,E280-04,\n"
        "AbC-0005_x,,,SKU-0,,1,,,,,,,L43,,,,\n",
        token="none", within=("download: a value of a field", *_REST), by=BOTH),
    ask("document: the file of the whole campaign", "[doc]",
        "then one column per SCM field of the campaign (so its header also tells",
        f"{ELSEWHERE}/codes.csv",
        f"{_COLUMNS},{','.join(FIELDS)}\n"
        "AbC-0001_x,000101,,,,,,,,,,,L42,,,E280-01,P1\n"
        "AbC-0002_x,000102,,,,,,,,,,,L42,,,E280-02,P1\n"
        "AbC-0003_x,,,,,,,,,,,,L42,,FR,E280-03,P2\n"
        "AbC-0004_x,,,,,,,,,,,,L43,2026-01-05,,E280-04,\n"
        "AbC-0005_x,,,SKU-0,,1,,,,,,,L43,,,,\n"
        "AbC-0006_x,,,,,,,,,,,,,,,,\n",
        token="none",
        within=("download: a campaign", "document: ready", "document: link",
                "document: the file of the whole campaign"),
        by="sandbox client plain"),
    ask("document: nobody knows it", "[assumed]", "401, 403, 404",
        "/api/v2/documents/doc-0/", {"detail": Some("Not found.")},
        status=404, by="sandbox plain", alone="the client asks for documents that it ordered only"),
)

_FACT = '`{"count", "next", "previous", "results": [{..., "sku", "name", "code_count", "active_code_count",'
_SKU_0 = {"sku": "SKU-0", "name": Some("Wine"), "code_count": 1, "active_code_count": 1, "blacklisted_code_count": 0,
          "campaign": {"id": Some(1), "name": Some("Campaign")}}  # fmt: skip

PRODUCTS = (
    ask("products: a page", "[doc]", _FACT, "/api/v2/products/",
        {"count": 1, "next": None, "previous": None, "results": [_SKU_0]},
        query={"limit": "100", "offset": "0"}, by="sandbox client"),
    ask("products: one by its number", "[doc]", "(also `sku__exact=`)", "/api/v2/products/",
        {"count": 0, "next": None, "previous": None, "results": []},
        query={"limit": "20", "offset": "0", "sku__exact": "SKU-9"}, by="sandbox",
        alone="the client lists all products"),
    ask("products: without product_view", "[doc][assumed]", "Needs `product_view`, which uploads need anyway",
        "/api/v2/products/", {"detail": Some("You do not have permission to perform this action.")},
        query={"limit": "100", "offset": "0"}, token="product_view", status=403, error="PermissionDeniedError",
        by="sandbox client"),
)

PAIRS = SYNC_UPLOADS + FIELD_RULES + ASYNC_UPLOADS + TASKS + AUTHENTICATION + LIMITS_AND_ERRORS + DOWNLOADS + PRODUCTS
BY_NAME = {pair.name: pair for pair in PAIRS}
