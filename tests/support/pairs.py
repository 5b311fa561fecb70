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
class Table:
    """A table of a user's, and how it is planned. Without rows of its own it has the items of the body."""

    rows: Sequence[Mapping[str, Any]] = ()
    key: str | tuple[str, ...] = "extended_id"
    mode: str = "sync"


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
    table : Table, optional
        From which a plan makes this body.
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
    table: Table | None = None


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
ONE = {"data_key": "extended_id", "items": [{"extended_id": "AbC-0001_x", "lot_number": "L99"}]}
LOT = {"constraints": {"lot_number": "L42"}, "scm_data": {"intended_market": "CH"}}
ALL_OF_L42 = ("AbC-0001_x", "AbC-0002_x", "AbC-0003_x")
TO_CH = {code: {"intended_market": "CH"} for code in ALL_OF_L42}


def _stored(items: Mapping[str, list[str]] | Some, updates: int | Some, codes: int | Some) -> dict[str, Any]:
    changes = Some([])  # undocumented: carried, not used
    return {"total_updates": updates, "codes_affected": codes, "changes": changes, "items": items}


SYNC_UPLOADS = (
    Pair(
        name="sync: the contract's example",
        source="[seed][doc][client]",
        fact='200 answer: `{"total_updates": 2, "codes_affected": 2, "changes": [...], "items": {"AbC-0001_x":',
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [
                {"extended_id": "AbC-0001_x", "lot_number": "L50", "production_date": "2026-11-23"},
                {"extended_id": "AbC-0006_x", "lot_number": "L50", "production_date": "2026-11-24"},
            ],
        },
        answer=_stored(
            {"AbC-0001_x": ["lot_number", "production_date"], "AbC-0006_x": ["lot_number", "production_date"]},
            updates=2,
            codes=2,
        ),
        after={
            "AbC-0001_x": {"lot_number": "L50", "production_date": "2026-11-23"},
            "AbC-0006_x": {"lot_number": "L50", "production_date": "2026-11-24"},
        },
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="sync: data_key left out",
        source="[doc]",
        fact="`data_key` defaults to `extended_id` [doc].",
        path=SYNC,
        body={"items": [{"extended_id": "AbC-0001_x", "lot_number": "L50"}]},
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0001_x": {"lot_number": "L50"}},
        by="sandbox client plain fake",
    ),
    Pair(
        name="sync: any number of fields, different ones in each item",
        source="[doc]",
        fact="Every item carries the key and any number of fields.",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [
                {"extended_id": "AbC-0001_x", "lot_number": "L50", "intended_market": "CH"},
                {"extended_id": "AbC-0002_x", "production_date": "2026-02-01"},
            ],
        },
        answer=_stored(
            {"AbC-0001_x": ["lot_number", "intended_market"], "AbC-0002_x": ["production_date"]}, updates=2, codes=2
        ),
        after={
            "AbC-0001_x": {"lot_number": "L50", "intended_market": "CH"},
            "AbC-0002_x": {"production_date": "2026-02-01"},
        },
        by="sandbox client plain fake",
        table=Table(
            [
                {"extended_id": "AbC-0001_x", "lot_number": "L50", "intended_market": "CH", "production_date": None},
                {"extended_id": "AbC-0002_x", "production_date": "2026-02-01"},
            ]
        ),
    ),
    Pair(
        name="sync: a field that is left out stays",
        source="[client]",
        fact="a field that is left out stays as it is.",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0003_x", "lot_number": "L50"}]},
        answer=_stored({"AbC-0003_x": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0003_x": {"lot_number": "L50"}},
        by="sandbox client plain fake",
        table=Table([{"extended_id": "AbC-0003_x", "lot_number": "L50", "intended_market": None}]),
    ),
    Pair(
        name="sync: a blank text clears",
        source="[client]",
        fact='`""` clears a field [client]',
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [{"extended_id": "AbC-0003_x", "intended_market": "", "lot_number": "L50"}],
        },
        answer=_stored({"AbC-0003_x": ["intended_market", "lot_number"]}, updates=1, codes=1),
        after={"AbC-0003_x": {"intended_market": None, "lot_number": "L50"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="sync: clear what is blank already",
        source="[client]",
        fact='`""` clears a field [client]',
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0006_x", "rfid": ""}]},
        answer=_stored(Some({"AbC-0006_x": ["rfid"]}), updates=Some(1), codes=Some(1)),
        after={},
    ),
    Pair(
        name="sync: one code is unknown",
        source="[client]",
        fact="a key value that is missing there matched no code [client]",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [
                {"extended_id": "AbC-0001_x", "lot_number": "L50"},
                {"extended_id": "Nobody-0001", "lot_number": "L50"},
            ],
        },
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=Some(1), codes=1),
        after={"AbC-0001_x": {"lot_number": "L50"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="sync: all codes are unknown",
        source="[client]",
        fact="a key value that is missing there matched no code [client]",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "Nobody-0001", "lot_number": "L50"}]},
        answer=_stored({}, updates=Some(0), codes=0),
        after={},
        by="sandbox client plain fake",
    ),
    Pair(
        name="sync: codes differ by case",
        source="[assumed]",
        fact="(8 to 100 characters out of `a-z A-Z 0-9 - _`)",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "abc-0001_X", "lot_number": "L50"}]},
        answer=_stored({}, updates=Some(0), codes=0),
        after={},
        by="sandbox client plain fake",
    ),
    Pair(
        name="sync: the shortest and the longest code",
        source="[doc]",
        fact="named by its `extended_id` (8 to 100 characters out of `a-z A-Z 0-9 - _`) [doc]",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [{"extended_id": "aZ09-_aZ", "rfid": "short"}, {"extended_id": "z" * 100, "rfid": "long"}],
        },
        answer=_stored({"aZ09-_aZ": ["rfid"], "z" * 100: ["rfid"]}, updates=2, codes=2),
        before={"aZ09-_aZ": {}, "z" * 100: {}},
        after={"aZ09-_aZ": {"rfid": "short"}, "z" * 100: {"rfid": "long"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="sync: an unknown field is discarded",
        source="[doc][assumed]",
        fact="a field missing there was discarded [assumed]",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [{"extended_id": "AbC-0001_x", "lot_number": "L50", "lot_nr": "L51"}],
        },
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0001_x": {"lot_number": "L50"}},
    ),
    Pair(
        name="sync: nothing but unknown fields",
        source="[doc][assumed]",
        fact="a field that the campaign does not define is silently discarded [doc]",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0001_x", "lot_nr": "L51"}]},
        # The code was matched, and so is named; nothing on it was changed, and "codes affected" is what was changed.
        answer=_stored({"AbC-0001_x": []}, updates=Some(0), codes=0),
        after={},
        by="sandbox client plain",
    ),
    Pair(
        name="sync: what every code has is no field of the campaign",
        source="[doc][assumed]",
        fact="a field that the campaign does not define is silently discarded [doc]",
        path=SYNC,
        body={
            "data_key": "lot_number",
            "items": [
                {"lot_number": "L42", "extended_id": "AbC-0009_x", "serial_number": "7", "brand": "B", "rfid": "E1"}
            ],
        },
        answer=_stored({"L42": ["rfid"]}, updates=Some(1), codes=3),
        after={code: {"rfid": "E1"} for code in ALL_OF_L42},
    ),
    Pair(
        name="sync: an SCM field selects several codes",
        source="[seed][doc]",
        fact="then one value selects every code that carries it",
        path=SYNC,
        body={"data_key": "lot_number", "items": [{"lot_number": "L42", "intended_market": "CH"}]},
        answer=_stored({"L42": ["intended_market"]}, updates=Some(1), codes=3),
        after=TO_CH,
        table=Table(key="lot_number"),
    ),
    Pair(
        name="sync: two values of an SCM field, and one that nobody carries",
        source="[seed][doc][client]",
        fact="**codes affected**: how many codes one call changes. It, and not the number of rows sent",
        path=SYNC,
        body={
            "data_key": "lot_number",
            "items": [
                {"lot_number": "L42", "intended_market": "CH"},
                {"lot_number": "L43", "intended_market": "DE"},
                {"lot_number": "L44", "intended_market": "IT"},
            ],
        },
        answer=_stored({"L42": ["intended_market"], "L43": ["intended_market"]}, updates=Some(2), codes=5),
        after=TO_CH | {"AbC-0004_x": {"intended_market": "DE"}, "AbC-0005_x": {"intended_market": "DE"}},
        table=Table(key="lot_number"),
    ),
    Pair(
        name="sync: by RFID tag",
        source="[seed][doc]",
        fact="or **any SCM field** (`rfid`, `lot_number`, a logistic unit)",
        path=SYNC,
        body={"data_key": "rfid", "items": [{"rfid": "E280-04", "production_date": "2026-02-28"}]},
        answer=_stored({"E280-04": ["production_date"]}, updates=1, codes=1),
        after={"AbC-0004_x": {"production_date": "2026-02-28"}},
        table=Table(key="rfid"),
    ),
    Pair(
        name="sync: by logistic unit",
        source="[seed][doc]",
        fact="logistic-unit fields (a field of type logistic unit: groups codes into box < pallet < container)",
        path=SYNC,
        body={"data_key": "pallet", "items": [{"pallet": "P1", "intended_market": "CH"}]},
        answer=_stored({"P1": ["intended_market"]}, updates=Some(1), codes=2),
        after={"AbC-0001_x": {"intended_market": "CH"}, "AbC-0002_x": {"intended_market": "CH"}},
        table=Table(key="pallet"),
    ),
    Pair(
        name="sync: by serial number, with its zeros",
        source="[seed][doc]",
        fact="`serial_number` (if set on the codes)",
        path=SYNC,
        body={"data_key": "serial_number", "items": [{"serial_number": "000101", "lot_number": "L50"}]},
        answer=_stored({"000101": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0001_x": {"lot_number": "L50"}},
        table=Table(key="serial_number"),
    ),
    Pair(
        name="sync: an item again changes nothing more",
        source="[client]",
        fact="A known client retries on 429 and 5xx only",
        path=SYNC,
        body=ONE,
        answer=_stored(Some({"AbC-0001_x": ["lot_number"]}), updates=Some(1), codes=Some(1)),
        after={"AbC-0001_x": {"lot_number": "L99"}},
        follows=("sync: one code",),
    ),
    Pair(
        name="sync: one code",
        source="[doc]",
        fact="One of `extended_id` (one code per value)",
        path=SYNC,
        body=ONE,
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0001_x": {"lot_number": "L99"}},
        by="sandbox client plain fake",
        table=Table([{"extended_id": "AbC-0001_x", "lot_number": "L99"}]),
    ),
    Pair(
        name="sync: the same item twice",
        source="[assumed]",
        fact="`items` lists, per key value, the *names* of the fields that were changed",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [
                {"extended_id": "AbC-0001_x", "lot_number": "L50"},
                {"extended_id": "AbC-0001_x", "lot_number": "L50"},
            ],
        },
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=Some(2), codes=1),
        after={"AbC-0001_x": {"lot_number": "L50"}},
        by="sandbox client plain",
    ),
    Pair(
        name="sync: two items of one code with different fields",
        source="[assumed]",
        fact="`items` lists, per key value, the *names* of the fields that were changed",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [
                {"extended_id": "AbC-0001_x", "lot_number": "L50"},
                {"extended_id": "AbC-0001_x", "intended_market": "CH"},
            ],
        },
        answer=_stored({"AbC-0001_x": ["lot_number", "intended_market"]}, updates=Some(2), codes=1),
        after={"AbC-0001_x": {"lot_number": "L50", "intended_market": "CH"}},
        by="sandbox client plain",
    ),
    Pair(
        name="sync: no items",
        source="[assumed]",
        fact="400 for a body that cannot be read",
        path=SYNC,
        body={"data_key": "extended_id", "items": []},
        answer=_stored({}, updates=0, codes=0),
        or_status=400,  # whether an empty list can be read is not documented; that it changes nothing is plain
        after={},
    ),
    Pair(
        name="sync: text beyond ASCII",
        source="[doc]",
        fact="`POST /api/v2/scm/upload/`, JSON:",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0001_x", "lot_number": 'Zürich "€" \\ 酒 🍷'}]},
        answer=_stored({"AbC-0001_x": ["lot_number"]}, updates=1, codes=1),
        after={"AbC-0001_x": {"lot_number": 'Zürich "€" \\ 酒 🍷'}},
        by="sandbox client plain fake",
        table=Table(),
    ),
)

FIELD_RULES = (
    Pair(
        name="field: a date",
        source="[doc]",
        fact="Dates are `YYYY-MM-DD`",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0006_x", "production_date": "2028-02-29"}]},
        answer=_stored({"AbC-0006_x": ["production_date"]}, updates=1, codes=1),
        after={"AbC-0006_x": {"production_date": "2028-02-29"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="field: a date in another form is stored as sent",
        source="[doc]",
        fact="anything else is accepted and stored as sent, and then breaks display and editing in the portal [doc]",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0006_x", "production_date": "23.11.2026"}]},
        answer=_stored({"AbC-0006_x": ["production_date"]}, updates=1, codes=1),
        after={"AbC-0006_x": {"production_date": "23.11.2026"}},
        by="sandbox client plain fake",
    ),
    Pair(
        name="field: a product by its SKU",
        source="[doc]",
        fact="`product` (an existing product's id or SKU;",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0005_x", "product": "SKU-1"}]},
        answer=_stored({"AbC-0005_x": ["product"]}, updates=1, codes=1),
        after={"AbC-0005_x": {"product": "SKU-1"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="field: a product by its id",
        source="[doc]",
        fact="`product` (an existing product's id or SKU;",
        path=ASYNC,
        body={"constraints": {"extended_id": "AbC-0005_x"}, "scm_data": {"product": "4711"}},
        answer=A_TASK,
        after={"AbC-0005_x": {"product": "4711"}},
        by="sandbox client plain fake",
        table=Table([{"extended_id": "AbC-0005_x", "product": 4711}], mode="async"),
    ),
    *(
        Pair(
            name=f"field: activation status {status}",
            source="[doc]",
            fact="`activation_status` 0 inactive, 1 active, 2 blacklisted",
            path=SYNC,
            body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0006_x", "activation_status": status}]},
            answer=_stored({"AbC-0006_x": ["activation_status"]}, updates=1, codes=1),
            after={"AbC-0006_x": {"status": status}},
            by="sandbox client plain fake",
            table=Table([{"extended_id": "AbC-0006_x", "activation_status": int(status)}]),
        )
        for status in "012"
    ),
    Pair(
        name="field: blacklisted, with the reason",
        source="[doc][assumed]",
        fact="`blacklist_reason` 0 none, 1 counterfeits detected, 2 low quality, 3 overprint, 4 stolen",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [{"extended_id": "AbC-0006_x", "activation_status": "2", "blacklist_reason": "4"}],
        },
        answer=_stored({"AbC-0006_x": ["activation_status", "blacklist_reason"]}, updates=1, codes=1),
        after={"AbC-0006_x": {"status": "2", "blacklist_reason": "4"}},
        by="sandbox client plain fake",
        table=Table(),
    ),
    Pair(
        name="field: a lot is blacklisted in the background",
        source="[doc][assumed]",
        fact="9 work order cancelled, 10 maximum scan count exceeded (only with `activation_status` 2 [assumed])",
        path=ASYNC,
        body={"constraints": {"lot_number": "L43"}, "scm_data": {"activation_status": "2", "blacklist_reason": "10"}},
        answer=A_TASK,
        after={
            "AbC-0004_x": {"status": "2", "blacklist_reason": "10"},
            "AbC-0005_x": {"status": "2", "blacklist_reason": "10"},
        },
        by="sandbox client",
        table=Table(
            [{"lot_number": "L43", "activation_status": 2, "blacklist_reason": 10}], key="lot_number", mode="async"
        ),
    ),
)

ASYNC_UPLOADS = (
    Pair(
        name="async: one value",
        source="[seed][doc]",
        fact='{"constraints": {"lot_number": "L42"}, "scm_data": {"intended_market": "CH"}}',
        path=ASYNC,
        body=LOT,
        answer=A_TASK,
        after=TO_CH,
        table=Table([{"lot_number": "L42", "intended_market": "CH"}], key="lot_number", mode="async"),
    ),
    Pair(
        name="async: one code",
        source="[seed][doc]",
        fact="A constraint is a value or a list of values",
        path=ASYNC,
        body={"constraints": {"extended_id": "AbC-0001_x"}, "scm_data": {"intended_market": "CH"}},
        answer=A_TASK,
        after={"AbC-0001_x": {"intended_market": "CH"}},
        by="sandbox client plain fake",
        table=Table([{"extended_id": "AbC-0001_x", "intended_market": "CH"}], mode="async"),
    ),
    Pair(
        name="async: a list of codes",
        source="[seed][doc]",
        fact='{"constraints": {"extended_id": ["AbC-0001_x", "AbC-0002_x"]}, "scm_data": {"product": "SKU-1"}}',
        path=ASYNC,
        body={"constraints": {"extended_id": ["AbC-0001_x", "AbC-0002_x"]}, "scm_data": {"product": "SKU-1"}},
        answer=A_TASK,
        after={"AbC-0001_x": {"product": "SKU-1"}, "AbC-0002_x": {"product": "SKU-1"}},
        by="sandbox client plain fake",
        table=Table(
            [{"extended_id": "AbC-0001_x", "product": "SKU-1"}, {"extended_id": "AbC-0002_x", "product": "SKU-1"}],
            mode="async",
        ),
    ),
    Pair(
        name="async: a list, some of it unknown",
        source="[doc]",
        fact="A constraint is a value or a list of values",
        path=ASYNC,
        body={"constraints": {"extended_id": ["AbC-0001_x", "Nobody-0001"]}, "scm_data": {"rfid": "E1"}},
        answer=A_TASK,
        after={"AbC-0001_x": {"rfid": "E1"}},
        by="sandbox client plain fake",
    ),
    Pair(
        name="async: a list of lots",
        source="[doc]",
        fact="A constraint is a value or a list of values",
        path=ASYNC,
        body={"constraints": {"lot_number": ["L42", "L43"]}, "scm_data": {"intended_market": "CH"}},
        answer=A_TASK,
        after=TO_CH | {"AbC-0004_x": {"intended_market": "CH"}, "AbC-0005_x": {"intended_market": "CH"}},
    ),
    Pair(
        name="async: two constraints narrow each other",
        source="[doc][assumed]",
        fact="several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        path=ASYNC,
        body={"constraints": {"lot_number": "L42", "pallet": "P1"}, "scm_data": {"intended_market": "CH"}},
        answer=A_TASK,
        after={"AbC-0001_x": {"intended_market": "CH"}, "AbC-0002_x": {"intended_market": "CH"}},
        table=Table(
            [{"lot_number": "L42", "pallet": "P1", "intended_market": "CH"}], key=("lot_number", "pallet"), mode="async"
        ),
    ),
    Pair(
        name="async: a list and a value narrow each other",
        source="[doc][assumed]",
        fact="several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        path=ASYNC,
        body={
            "constraints": {"rfid": ["E280-01", "E280-03", "E280-04"], "lot_number": "L42"},
            "scm_data": {"rfid": ""},
        },
        answer=A_TASK,
        after={"AbC-0001_x": {"rfid": None}, "AbC-0003_x": {"rfid": None}},
    ),
    Pair(
        name="async: constraints that exclude each other",
        source="[doc][assumed]",
        fact="several constraints can be given in one upload [doc] (they narrow each other: AND [assumed])",
        path=ASYNC,
        body={"constraints": {"lot_number": "L43", "pallet": "P1"}, "scm_data": {"intended_market": "CH"}},
        answer=A_TASK,
        after={},
    ),
    Pair(
        name="async: nothing is selected",
        source="[seed][doc]",
        fact='200 answer, at once: `{"task_id": "..."}`.',
        path=ASYNC,
        body={"constraints": {"lot_number": "L77"}, "scm_data": {"intended_market": "CH"}},
        answer=A_TASK,
        after={},
    ),
    Pair(
        name="async: all selected codes get the same",
        source="[doc]",
        fact="**Every selected code gets the same `scm_data`**",
        path=ASYNC,
        body={"constraints": {"pallet": "P1"}, "scm_data": {"intended_market": "CH", "production_date": "2026-11-23"}},
        answer=A_TASK,
        after={
            "AbC-0001_x": {"intended_market": "CH", "production_date": "2026-11-23"},
            "AbC-0002_x": {"intended_market": "CH", "production_date": "2026-11-23"},
        },
        table=Table(
            [{"pallet": "P1", "intended_market": "CH", "production_date": "2026-11-23"}], key="pallet", mode="async"
        ),
    ),
    Pair(
        name="async: the data change what selected the codes",
        source="[seed][doc]",
        fact="or **any SCM field** (`rfid`, `lot_number`, a logistic unit)",
        path=ASYNC,
        body={"constraints": {"lot_number": "L42"}, "scm_data": {"lot_number": "L43"}},
        answer=A_TASK,
        after={code: {"lot_number": "L43"} for code in ALL_OF_L42},
    ),
    Pair(
        name="async: a blank text clears",
        source="[client][assumed]",
        fact='`""` clears a field [client]',
        path=ASYNC,
        body={"constraints": {"extended_id": "AbC-0003_x"}, "scm_data": {"intended_market": ""}},
        answer=A_TASK,
        after={"AbC-0003_x": {"intended_market": None}},
        by="sandbox client plain fake",
        table=Table([{"extended_id": "AbC-0003_x", "intended_market": ""}], mode="async"),
    ),
    Pair(
        name="async: an unknown field is discarded",
        source="[doc]",
        fact="a field that the campaign does not define is silently discarded [doc]",
        path=ASYNC,
        body={"constraints": {"extended_id": "AbC-0003_x"}, "scm_data": {"rfid": "E1", "lot_nr": "L51"}},
        answer=A_TASK,
        after={"AbC-0003_x": {"rfid": "E1"}},
    ),
    Pair(
        name="async: by serial number",
        source="[doc]",
        fact="`serial_number` (if set on the codes)",
        path=ASYNC,
        body={"constraints": {"serial_number": "000102"}, "scm_data": {"rfid": "E1"}},
        answer=A_TASK,
        after={"AbC-0002_x": {"rfid": "E1"}},
        table=Table([{"serial_number": "000102", "rfid": "E1"}], key="serial_number", mode="async"),
    ),
    Pair(
        name="async: no gateway cuts it",
        source="[seed]",
        fact="The work happens in the background; a timeout cannot occur [seed].",
        path=ASYNC,
        body=LOT,
        answer=A_TASK,
        after={},
        sandbox={"slow_s": 1e6},
        by="sandbox client",
    ),
)

NO_SERVER_DOES = "a server cannot be made to say this"


def _task(word: str, codes_affected: int | None, *, began: bool = True, ended: bool = True) -> dict[str, Any]:
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


TASKS = (
    Pair(
        name="task: complete",
        source="[client]",
        fact="answers `id, reference, state, codes_affected, created_by, created_at, started_at, completed_at`",
        path=TASK,
        method="GET",
        answer=_task("complete", 3),
        after=TO_CH,
        follows=("async: one value",),
        reads={
            "id": "task-1",
            "state": "complete",
            "word": "complete",
            "finished": True,
            "codes_affected": 3,
            "reference": "scm-17",
            "created_by": "ann@example.com",
            "created_at": "2026-11-23T10:00:00Z",
            "started_at": "2026-11-23T10:00:01Z",
            "completed_at": "2026-11-23T10:00:09Z",
        },
        by="sandbox client",
    ),
    Pair(
        name="task: complete, of two codes",
        source="[client]",
        fact="`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        path=TASK,
        method="GET",
        answer=_task("complete", 2),
        after={"AbC-0001_x": {"product": "SKU-1"}, "AbC-0002_x": {"product": "SKU-1"}},
        follows=("async: a list of codes",),
        reads={"state": "complete", "codes_affected": 2},
        by="sandbox client fake",
    ),
    Pair(
        name="task: complete, and nothing was selected",
        source="[client]",
        fact="**codes affected**: how many codes one call changes.",
        path=TASK,
        method="GET",
        answer=_task("complete", 0),
        follows=("async: nothing is selected",),
        reads={"state": "complete", "finished": True, "codes_affected": 0},
        by="sandbox client",
    ),
    Pair(
        name="task: complete, two constraints",
        source="[doc][assumed]",
        fact="(they narrow each other: AND [assumed])",
        path=TASK,
        method="GET",
        answer=_task("complete", 2),
        after={"AbC-0001_x": {"intended_market": "CH"}, "AbC-0002_x": {"intended_market": "CH"}},
        follows=("async: two constraints narrow each other",),
        reads={"state": "complete", "codes_affected": 2},
        by="sandbox client",
    ),
    Pair(
        name="task: in progress",
        source="[client][assumed]",
        fact="`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        path=TASK,
        method="GET",
        answer=_task("in-progress", None, ended=False),
        follows=("async: one value",),
        sandbox={"slow_s": 1e6},
        reads={"state": "in-progress", "word": "in-progress", "finished": False, "codes_affected": None},
        by="sandbox client",
    ),
    Pair(
        name="task: pending",
        source="[client][assumed]",
        fact="`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        path=TASK,
        method="GET",
        answer=_task("pending", None, began=False, ended=False),
        follows=("async: all selected codes get the same", "async: one value"),  # the first is being worked on
        sandbox={"slow_s": 1e6, "task_workers": 1},
        reads={"state": "pending", "word": "pending", "finished": False, "started_at": None, "completed_at": None},
        by="sandbox client",
    ),
    Pair(
        name="task: failed",
        source="[client]",
        fact="`state` is one of `pending`, `in-progress`, `complete`, `failed` [client]",
        path=TASK,
        method="GET",
        answer=_task("failed", 0),
        reads={"state": "failed", "word": "failed", "finished": True, "codes_affected": 0},
        by="client",
        alone="no upload that the contract allows makes a task fail",
    ),
    Pair(
        name="task: camelCase names",
        source="[client]",
        fact="some clients see camelCase names, so read both",
        path=TASK,
        method="GET",
        answer={
            "id": "task-1",
            "reference": "scm-17",
            "state": "complete",
            "codesAffected": 3,
            "createdBy": "ann@example.com",
            "createdAt": "2026-11-23T10:00:00Z",
            "startedAt": "2026-11-23T10:00:01Z",
            "completedAt": "2026-11-23T10:00:09Z",
        },
        reads={
            "state": "complete",
            "codes_affected": 3,
            "created_by": "ann@example.com",
            "created_at": "2026-11-23T10:00:00Z",
            "started_at": "2026-11-23T10:00:01Z",
            "completed_at": "2026-11-23T10:00:09Z",
        },
        by="client",
        alone="the sandbox speaks the other spelling",
    ),
    Pair(
        name="task: success, in camelCase",
        source="[client][assumed]",
        fact="`completed`/`success` = `complete`",
        path=TASK,
        method="GET",
        answer={"id": "task-1", "state": "success", "codesAffected": 3},
        after=TO_CH,
        follows=("async: one value",),
        reads={"state": "complete", "word": "success", "finished": True, "codes_affected": 3},
        by="client plain",
        alone="the sandbox speaks the other spelling",
    ),
    *(
        Pair(
            name=f"task: the word {word}",
            source="[seed][assumed]",
            fact="Read tolerantly: `running` = `in-progress`, `error` = `failed`, `completed`/`success` = `complete`",
            path=TASK,
            method="GET",
            answer=_task(word, None, ended=finished),
            reads={"state": state, "word": word, "finished": finished},
            by="client",
            alone="the sandbox speaks the four documented words",
        )
        for word, state, finished in (
            ("running", "in-progress", False),
            ("error", "failed", True),
            ("completed", "complete", True),
            ("success", "complete", True),
        )
    ),
    Pair(
        name="task: an unknown word",
        source="[assumed]",
        fact="an unknown word is kept, shown, and treated as not finished.",
        path=TASK,
        method="GET",
        answer=_task("resting", None, ended=False),
        reads={"state": None, "word": "resting", "finished": False},
        by="client",
        alone="the sandbox speaks the four documented words",
    ),
    Pair(
        name="task: nobody knows it",
        source="[assumed]",
        fact="401, 403, 404",
        path="/api/v2/scm/tasks/task-0/",
        method="GET",
        status=404,
        answer={"detail": Some("Not found.")},
        error="NotFoundError",
        by="sandbox client plain",
    ),
)

AUTHENTICATION = (
    Pair(
        name="me: the token works",
        source="[doc]",
        fact="`GET /api/v2/me/` answers 200 when the token works [doc]",
        path=ME,
        method="GET",
        answer=Some({"email": "ann@example.com"}),
    ),
    Pair(
        name="me: a wrong token",
        source="[doc][assumed]",
        fact='401/403 when it does not [assumed bodies: `{"detail": "..."}`]',
        path=ME,
        method="GET",
        token="wrong",
        status=401,
        answer={"detail": Some("Invalid token.")},
        error="AuthenticationError",
    ),
    Pair(
        name="me: no token",
        source="[doc][assumed]",
        fact="`Authorization: UAT <token>` on every request",
        path=ME,
        method="GET",
        token="none",
        status=401,
        answer={"detail": Some("Authentication credentials were not provided.")},
        by="sandbox",
        alone="a client always has a token",
    ),
    Pair(
        name="me: an expired token",
        source="[doc][assumed]",
        fact="made in the portal, with an expiry date and a set of permissions",
        path=ME,
        method="GET",
        token="expired",
        status=401,
        answer={"detail": Some("Token expired.")},
        error="AuthenticationError",
        by="sandbox client",
    ),
    Pair(
        name="sync: a wrong token",
        source="[doc][assumed]",
        fact="`Authorization: UAT <token>` on every request",
        path=SYNC,
        body=ONE,
        token="wrong",
        status=401,
        answer={"detail": Some("Invalid token.")},
        error="AuthenticationError",
    ),
    Pair(
        name="async: an expired token",
        source="[doc][assumed]",
        fact="made in the portal, with an expiry date and a set of permissions",
        path=ASYNC,
        body=LOT,
        token="expired",
        status=401,
        answer={"detail": Some("Token expired.")},
        error="AuthenticationError",
        by="sandbox client",
    ),
    Pair(
        name="download: a wrong token",
        source="[doc][assumed]",
        fact="`Authorization: UAT <token>` on every request",
        path=DOWNLOAD,
        method="GET",
        query={"campaign": "1234"},
        token="wrong",
        status=401,
        answer={"detail": Some("Invalid token.")},
        error="AuthenticationError",
    ),
    *(
        Pair(
            name=f"{name}: without {permission}",
            source="[doc][assumed]",
            fact="SCM upload needs `codes_view`, `scm_bulk_edit`, `scm_code_edit`, `product_view`",
            path=path,
            body=body,
            token=permission,
            status=403,
            answer={"detail": Some("You do not have permission to perform this action.")},
            error="PermissionDeniedError",
            by="sandbox client",
        )
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
        for permission in ("codes_view", "scm_bulk_edit", "scm_code_edit", "product_view")
    ),
    Pair(
        name="download: without codes_view",
        source="[doc][assumed]",
        fact="code download needs `codes_view` [doc]",
        path=DOWNLOAD,
        method="GET",
        query={"campaign": "1234"},
        token="codes_view",
        status=403,
        answer={"detail": Some("You do not have permission to perform this action.")},
        error="PermissionDeniedError",
        by="sandbox client",
    ),
)

LIMITS_AND_ERRORS = (
    Pair(
        name="429: the eleventh update in a second",
        source="[doc]",
        fact="**10 SCM updates per second** (scope `scm_update`)",
        path=SYNC,
        body={"data_key": "extended_id", "items": [{"extended_id": "AbC-0001_x", "lot_number": "L50"}]},
        status=429,
        answer=THROTTLED,
        error="ThrottledError",
        reads={"retry_after_s": 3.0},
        follows=("sync: one code",) * 10,
        after={"AbC-0001_x": {"lot_number": "L99"}},
        sandbox={"rate": 10, "speed": 1},
        by="sandbox client",
    ),
    Pair(
        name="429: sync and async share the limit",
        source="[doc]",
        fact="**10 SCM updates per second** (scope `scm_update`)",
        path=ASYNC,
        body={"constraints": {"extended_id": "AbC-0001_x"}, "scm_data": {"lot_number": "L50"}},
        status=429,
        answer=THROTTLED,
        error="ThrottledError",
        reads={"retry_after_s": 3.0},
        follows=("sync: one code",) * 10,
        after={"AbC-0001_x": {"lot_number": "L99"}},
        sandbox={"rate": 10, "speed": 1},
        by="sandbox client",
    ),
    Pair(
        name="429: other calls have a limit of their own",
        source="[doc]",
        fact="other authenticated calls 3,000 a minute [doc]",
        path=ME,
        method="GET",
        status=429,
        answer=THROTTLED,
        error="ThrottledError",
        reads={"retry_after_s": 3.0},
        follows=("me: the token works",) * 3,
        sandbox={"speed": 0.001},  # a thousandth of the pace: three calls in a minute
        by="sandbox client",
    ),
    Pair(
        name="429: text and header",
        source="[doc][assumed]",
        fact="a `Retry-After` header may be there [assumed]",
        path=SYNC,
        body=ONE,
        status=429,
        answer=THROTTLED,
        headers={"Retry-After": Some("7", r"\d+")},
        error="ThrottledError",
        reads={"retry_after_s": 7.0},
        sandbox={"faults": {429: 1.0}},
        by="sandbox client",
    ),
    Pair(
        name="429: header alone",
        source="[assumed]",
        fact="a `Retry-After` header may be there [assumed]",
        path=SYNC,
        body=ONE,
        status=429,
        answer="",
        headers={"Retry-After": "5"},
        error="ThrottledError",
        reads={"retry_after_s": 5.0},
        by="client",
        alone="the sandbox always gives the documented text",
    ),
    Pair(
        name="429: text alone",
        source="[doc]",
        fact='429 `{"detail": "Request was throttled. Expected available in 3 seconds.", "code": "throttled"}` [doc]',
        path=ASYNC,
        body=LOT,
        status=429,
        answer={"detail": "Request was throttled. Expected available in 3 seconds.", "code": "throttled"},
        error="ThrottledError",
        reads={"retry_after_s": 3.0},
        by="client",
        alone="the sandbox always gives the header, too",
    ),
    Pair(
        name="429: neither",
        source="[assumed]",
        fact="a `Retry-After` header may be there [assumed]",
        path=SYNC,
        body=ONE,
        status=429,
        answer={"detail": "Request was throttled.", "code": "throttled"},
        error="ThrottledError",
        reads={"retry_after_s": None},
        by="client",
        alone="the sandbox always says how long",
    ),
    *(
        Pair(
            name=f"400: {what}",
            source="[assumed]",
            fact='400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
            path=path,
            body=body,
            status=400,
            answer=A_REASON,
            error="BadRequestError",
            by="sandbox client",
        )
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
    Pair(
        name="400: the reason in a field",
        source="[assumed]",
        fact='400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
        path=SYNC,
        body=ONE,
        status=400,
        answer={"lot_number": ["This value is too long.", "It is not a lot."]},
        error="BadRequestError",
        reads={"body": {"lot_number": ["This value is too long.", "It is not a lot."]}},
        by="client",
        alone="which shape it is depends on the service",
    ),
    Pair(
        name="400: the reason in detail",
        source="[assumed]",
        fact='400 for a body that cannot be read [assumed shape: `{"detail": ...}` or `{field: [messages]}`]',
        path=ASYNC,
        body=LOT,
        status=400,
        answer={"detail": "lot_number is not a constraint"},
        error="BadRequestError",
        reads={"detail": "lot_number is not a constraint"},
        by="client",
        alone="which shape it is depends on the service",
    ),
    Pair(
        name="404: no such endpoint",
        source="[assumed]",
        fact="401, 403, 404",
        path="/api/v2/scm/uploads/",
        body=ONE,
        status=404,
        answer={"detail": Some("Not found.")},
        by="sandbox",
        alone="the client asks for the endpoints of the contract only",
    ),
    Pair(
        name="404: an upload where the service is not",
        source="[assumed]",
        fact="401, 403, 404",
        path=SYNC,
        body=ONE,
        status=404,
        answer="<html><head><title>Not Found</title></head></html>",
        error="NotFoundError",
        reads={"detail": "Not Found"},
        by="client",
        alone="a wrong base URL leads to another server",
    ),
    *(
        Pair(
            name=f"413: {name} too large",
            source="[assumed]",
            fact="413 (body too large; the limit is unknown [assumed])",
            path=path,
            body=body,
            status=413,
            answer=Some({"detail": "Request entity too large."}),
            error="TooLargeError",
            sandbox={"max_body_bytes": 60},
            by="sandbox client",
        )
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
    ),
    *(
        Pair(
            name=f"{status}: {name}",
            source="[assumed]",
            fact="413 (body too large; the limit is unknown [assumed]), 500, 502, 503, 504.",
            path=path,
            body=body,
            status=status,
            answer=PAGE,
            error=error,
            sandbox={"faults": {status: 1.0}},
            by="sandbox client",
        )
        for status, error in ((500, "UnavailableError"), (502, "UnavailableError"), (503, "UnavailableError"))
        for name, path, body in (("sync", SYNC, ONE), ("async", ASYNC, LOT))
    ),
    Pair(
        name="503: with Retry-After",
        source="[assumed]",
        fact="500, 502, 503, 504.",
        path=SYNC,
        body=ONE,
        status=503,
        answer={"detail": "down for maintenance"},
        headers={"Retry-After": "30"},
        error="UnavailableError",
        reads={"retry_after_s": 30.0, "detail": "down for maintenance"},
        by="client",
        alone="the sandbox is never down for maintenance",
    ),
    Pair(
        name="504: a lot is too slow",
        source="[seed]",
        fact="After about **60 s** the gateway answers **504** and **no code is updated** [seed]: all or nothing.",
        path=SYNC,
        body={"data_key": "lot_number", "items": [{"lot_number": "L42", "intended_market": "CH"}]},
        status=504,
        answer=PAGE,
        after={},
        error="GatewayTimeoutError",
        sandbox={"slow_s": 1e6},
        by="sandbox client",
    ),
    Pair(
        name="504: of several items not one is applied",
        source="[seed]",
        fact="all or nothing",
        path=SYNC,
        body={
            "data_key": "extended_id",
            "items": [{"extended_id": code, "production_date": "2026-11-23"} for code in CODES],
        },
        status=504,
        answer=PAGE,
        after={},
        error="GatewayTimeoutError",
        sandbox={"slow_s": 1e6},
        by="sandbox client",
        table=Table(),
    ),
    *(
        Pair(
            name=f"redirect: {status} of a {method} to a login page",
            source="[assumed]",
            fact="production `https://api.scantrust.com`, staging `https://api.staging.scantrust.io` [doc].",
            path=path,
            method=method,
            body=body,
            status=status,
            answer="",
            headers={"Location": f"{ELSEWHERE}/login"},
            error="RedirectError",
            by="client",
            alone="the contract's endpoints redirect nowhere: a server on the way does",
        )
        for status, method, path, body in (
            (301, "POST", SYNC, ONE),
            (302, "POST", ASYNC, LOT),
            (303, "POST", SYNC, ONE),
            (307, "POST", SYNC, ONE),
            (302, "GET", ME, None),
        )
    ),
    *(
        Pair(
            name=f"200 that says nothing: {what}",
            source=source,
            fact=fact,
            path=path,
            body=body,
            answer=answer,
            error="UnreadableAnswerError",
            by="client",
            alone="a server of the contract never says this",
        )
        for what, source, fact, path, body, answer in (
            (
                "a page",
                "[assumed]",
                '200 answer: `{"total_updates": 2',
                SYNC,
                ONE,
                "<html><title>Log in</title></html>",
            ),
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
    return Pair(
        name=name,
        source=source,
        fact="`serial_number`, `extended_id`, any `scm_<field>=value`) "
        'answers `{"document": {"key": "...", "task": "..."}}`',
        path=DOWNLOAD,
        method="GET",
        query=query,
        answer={"document": {"key": Some("doc-1"), "task": Some("task-9")}},
        within=(name, "document: pending", *_REST),
        by=by,
    )


DOWNLOADS = (
    _asked("download: a campaign", {"campaign": "1234"}, by="sandbox client plain"),
    _asked("download: one code", {"extended_id": "AbC-0001_x"}),
    _asked("download: a serial number", {"serial_number": "000101"}),
    _asked("download: a value of a field", {"scm_lot_number": "L43"}),
    _asked("download: by status", {"status": "1"}),
    _asked("download: by work order", {"workorder": "700"}),
    _asked("download: what changed in a while", {"updated_at": "2026-11-01,2026-11-23"}),
    Pair(
        name="document: pending",
        source="[doc][assumed]",
        fact="`GET /api/v2/documents/<key>/` until its state says that it is ready",
        path=DOCUMENT,
        method="GET",
        answer={"state": "pending"},
        within=("download: a value of a field", "document: pending", *_REST),
        sandbox={"speed": 0.1},  # two seconds of the document's are ours, too
        by="sandbox client",
    ),
    Pair(
        name="document: ready",
        source="[doc][assumed]",
        fact="[state name assumed: `complete`]",
        path=DOCUMENT,
        method="GET",
        answer={"state": "complete"},
        within=("download: a value of a field", *_REST),
        by="sandbox client",
    ),
    Pair(
        name="document: link",
        source="[doc][assumed]",
        fact='`GET /api/v2/documents/<key>/get-download-link/` answers a link [assumed: `{"link": "https://..."}`]',
        path=LINK,
        method="GET",
        answer={"link": Some(f"{ELSEWHERE}/codes.csv", "https?://.+")},
        within=("download: a value of a field", *_REST),
        by="sandbox client",
    ),
    Pair(
        name="document: file",
        source="[doc]",
        fact="fetch it **without** the token: it may live on another host.",
        path=f"{ELSEWHERE}/codes.csv",
        method="GET",
        token="none",
        answer=f"{_COLUMNS},{','.join(FIELDS)}\n"
        "AbC-0004_x,,,,,,,,,,,,L43,2026-01-05,,E280-04,\n"
        "AbC-0005_x,,,SKU-0,,1,,,,,,,L43,,,,\n",
        within=("download: a value of a field", *_REST),
        by="sandbox client",
    ),
    Pair(
        name="document: the file of the whole campaign",
        source="[doc]",
        fact="then one column per SCM field of the campaign (so its header also tells",
        path=f"{ELSEWHERE}/codes.csv",
        method="GET",
        token="none",
        answer=f"{_COLUMNS},{','.join(FIELDS)}\n"
        "AbC-0001_x,000101,,,,,,,,,,,L42,,,E280-01,P1\n"
        "AbC-0002_x,000102,,,,,,,,,,,L42,,,E280-02,P1\n"
        "AbC-0003_x,,,,,,,,,,,,L42,,FR,E280-03,P2\n"
        "AbC-0004_x,,,,,,,,,,,,L43,2026-01-05,,E280-04,\n"
        "AbC-0005_x,,,SKU-0,,1,,,,,,,L43,,,,\n"
        "AbC-0006_x,,,,,,,,,,,,,,,,\n",
        within=(
            "download: a campaign",
            "document: ready",
            "document: link",
            "document: the file of the whole campaign",
        ),
        by="sandbox client plain",
    ),
    Pair(
        name="document: nobody knows it",
        source="[assumed]",
        fact="401, 403, 404",
        path="/api/v2/documents/doc-0/",
        method="GET",
        status=404,
        answer={"detail": Some("Not found.")},
        by="sandbox plain",
        alone="the client asks for documents that it ordered only",
    ),
)

PAIRS = SYNC_UPLOADS + FIELD_RULES + ASYNC_UPLOADS + TASKS + AUTHENTICATION + LIMITS_AND_ERRORS + DOWNLOADS
BY_NAME = {pair.name: pair for pair in PAIRS}
