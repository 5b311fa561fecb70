"""States that say no more than the evidence, against a server that knows what really happened."""

import threading
import time

import pandas as pd
import pytest
from jobs import states
from plain_server import FIXED, PlainServer

import scmkit
from scmkit.core import errors

SLIM = pd.DataFrame({"extended_id": ["Code_00000-"], "lot_number": ["000000"]})
HEADER = ",".join(FIXED)


def lots(*values: str, **fields: str) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": list(values)}).assign(**(fields or {"wine_name": "a"}))


def upload(df: pd.DataFrame, client: scmkit.Client, key: str = "lot_number", **options: object) -> scmkit.UploadJob:
    return df.scm.upload(client, key=key, mode="async", progress=False, **options)


@pytest.mark.parametrize("given", [SLIM, SLIM[["lot_number"]], SLIM.assign(sku="x", brand="y")])
def test_an_inventory_does_not_say_what_a_campaign_defines(
    client: scmkit.Client, server: PlainServer, given: pd.DataFrame
) -> None:
    """A slim inventory discards no stored row, and none of its lots is unmatched for not being in it (F49)."""
    job = upload(lots("000000", "000001"), client, inventory=given)
    assert job.ok, job.rows
    assert "does not define" not in job.plan.summary()


def test_an_old_inventory_does_not_either(client: scmkit.Client, server: PlainServer) -> None:
    """A field that the campaign has got since, and one that it has lost, are as they are now (F49)."""
    old = pd.DataFrame({name: ["x"] for name in [*FIXED, "lot_number", "colour"]})
    job = upload(lots("000000", wine_name="a", colour="red"), client, inventory=old)
    assert (states(job), job.rows["discarded_fields"].tolist()) == ({"applied": 1}, [("colour",)])


DOWNLOADS = {
    "empty": f"{HEADER},lot_number,wine_name\n",
    "without the key": f"{HEADER},wine_name\n{',' * 12}\n",
    "of another lot": f"{HEADER},lot_number,wine_name\n{',' * 12}000009,a\n",
    "slim": "extended_id,lot_number,colour\nCode_00000-,000000,red\n",
    "torn": f"{HEADER},lot_number,wine_name\nCode_000",
    "nothing": "",
    "a page": "<html>Sign in</html>",
}


@pytest.mark.parametrize("document", DOWNLOADS.values(), ids=DOWNLOADS.keys())
@pytest.mark.parametrize("field", ["wine_name", "colour"])
def test_without_evidence_about_fields_nothing_is_applied(
    client: scmkit.Client, server: PlainServer, document: str, field: str
) -> None:
    """A download that shows nothing about the codes leaves the rows of tasks unverified (F50)."""
    server.document = lambda: document
    job = upload(lots("000000", "000001", **{field: "red"}), client)
    assert (states(job), job.ok) == ({"unverified": 2}, False)
    assert job.rows["message"].str.contains("fields").all()


def test_a_download_that_is_refused(
    client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of tasks are unverified, whether a field exists or not, until they can be read back (F50)."""
    with monkeypatch.context() as patch:
        patch.setattr(client, "download_codes", lambda **_: (_ for _ in ()).throw(errors.PermissionDeniedError(403)))
        job = upload(lots("000000", wine_name="a", colour="red"), client)
        gone = upload(lots("000001", colour="red"), client)
    assert (states(job), states(gone)) == ({"unverified": 1}, {"unverified": 1})
    job.verify(), gone.verify()
    assert (states(job), job.rows["discarded_fields"].tolist()) == ({"applied": 1}, [("colour",)])
    assert (states(gone), gone.rows["discarded_fields"].tolist()) == ({"discarded": 1}, [("colour",)])


def cancel_between(job: scmkit.UploadJob, server: PlainServer) -> None:
    """Cancel a job of two tasks when the first has ended and the second has not."""
    while len(job.tasks) < 2:
        time.sleep(0.01)
    server.tasks["task-0"]["state"] = "success"
    while job.counts().get("pending") == 2:
        time.sleep(0.01)
    job.cancel(grace_s=0)


def test_a_cancelled_job_claims_nothing_about_fields(
    client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that ended before the cancel are unverified where nothing is known of the fields (F50)."""
    monkeypatch.setattr(client, "download_codes", lambda **_: 1 / 0)
    server.polls_until_complete = 1_000_000
    job = upload(lots("000000", "000001", colour="red").assign(colour=["r", "g"]), client, wait=False)
    cancel_between(job, server)
    assert sorted(states(job.result(timeout=5)).items()) == [("unknown", 1), ("unverified", 1)]


def test_a_field_named_like_a_number(client: scmkit.Client, server: PlainServer) -> None:
    """It is stored, and read back (F50)."""
    server.fields = [*server.fields, "2026"]
    job = upload(lots("000000", **{"2026": "yes"}), client, verify=True)
    assert job.ok, job.summary()


@pytest.mark.parametrize("journal", [None, False])
def test_a_later_job_takes_nothing_back(client: scmkit.Client, server: PlainServer, journal: bool | None) -> None:
    """Codes that it moved to another lot were in the one in which the first job found them (F51)."""
    first = upload(lots("000000", "000001"), client, journal=journal)
    ids = [code for code, held in server.codes.items() if held["lot_number"] == "000000"]
    moved = pd.DataFrame({"extended_id": ids, "lot_number": "000007"})
    assert upload(moved, client, "extended_id", journal=journal).ok
    assert len(first.verify()) == 0
    assert states(first) == {"applied": 2}
    assert first.ok == (journal is None)  # else nobody knows why
    assert ("no code carries the key of 1 applied row" in first.summary()) == (journal is False)


def test_codes_that_a_later_job_moved_here_prove_nothing(client: scmkit.Client, server: PlainServer) -> None:
    """They never had to hold what the first job sent for this lot, nor do those that it overwrote (F51)."""
    first = upload(lots("000000", "000001", "000002", "000003"), client)
    moving = lots("000000").assign(lot="000001").rename(columns={"lot_number": "pallet", "lot": "lot_number"})
    server.fields = [*server.fields, "pallet"]
    for held in server.codes.values():
        held["pallet"] = held["lot_number"]
    upload(moving, client, "pallet")
    upload(lots("000002", wine_name="newer"), client)
    server.codes["Code_00003-"]["wine_name"] = "someone else's"
    assert len(first.verify()) == 0  # by another key, the later job may have moved any code
    assert states(first) == {"applied": 4}


@pytest.mark.parametrize("document", [DOWNLOADS["empty"], DOWNLOADS["without the key"], "extended_id\nCode_00000-\n"])
def test_a_download_that_proves_nothing_takes_nothing_back(
    client: scmkit.Client, server: PlainServer, document: str
) -> None:
    """Rows stay what they were, and the job says that it was not read back (F50)."""
    job = upload(lots("000000"), client)
    assert job.ok
    server.document = lambda: document
    assert len(job.verify()) == 0
    assert (states(job), job.ok) == ({"applied": 1}, False)
    assert "not read back: the download" in job.summary()
    assert job.differences is None


def test_a_lot_that_finds_no_code_later_proves_nothing(client: scmkit.Client, server: PlainServer) -> None:
    """Whether it found some when it was sent, nobody can say: the codes may have been moved since (F51)."""
    gate = threading.Event()
    server.answers = [lambda *_: gate.wait(5) and None]
    job = upload(lots("000000"), client, wait=False)
    while not server.seen:
        time.sleep(0.01)
    job.cancel(grace_s=0)
    assert states(job.result(timeout=5)) == {"unknown": 1}
    gate.set()
    for held in server.codes.values():
        held["lot_number"] = "somewhere else"
    job.verify()
    assert states(job) == {"unknown": 1}


def test_equal_sums_are_no_proof(client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory that is out of date, and whose sum is right: the codes say who is who, or nobody (F52)."""
    server.codes["Code_00000-"]["lot_number"] = "B"
    inventory = pd.DataFrame({"lot_number": ["A"]})
    job = upload(lots("A", "B"), client, inventory=inventory)
    assert len(job.calls) == 1
    assert job.rows["state"].tolist() == ["unmatched", "applied"]
    monkeypatch.setattr(client, "download_codes", lambda **_: 1 / 0)
    assert states(upload(lots("A", "B", wine_name="b"), client, inventory=inventory)) == {"unverified": 2}


def test_part_of_a_download_does_not_say_that_a_code_is_not_there(
    client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of other codes leaves a row open that a whole download settles (F50)."""
    df = pd.DataFrame({"extended_id": ["Code_00000-", "Code_nobody-"], "wine_name": "a"})
    job = upload(df, client, "extended_id")
    assert states(job) == {"unverified": 2}
    whole = server.document
    server.document = lambda: "extended_id,wine_name\nCode_00000-,a\n"
    job.verify()
    assert job.rows["state"].tolist() == ["applied", "unverified"]
    server.document = whole
    job.verify()
    assert job.rows["state"].tolist() == ["applied", "unmatched"]


def test_a_filter_of_the_caller_hides_codes(client: scmkit.Client, server: PlainServer) -> None:
    """What it leaves out is not missing."""
    job = upload(lots("000000", "000001"), client)
    whole = server.document()
    server.document = lambda: "\n".join(line for line in whole.splitlines() if "000001" not in line) + "\n"
    server.codes["Code_00000-"]["wine_name"] = "not a"
    job.verify(campaign=1)
    assert (states(job), job.unproven) == ({"applied": 2}, "")


def test_resuming_settles_what_a_refused_download_left_open(
    client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts of its tasks are in the journal, and the fields can be asked for again."""
    server.polls_until_complete = 1_000_000
    with monkeypatch.context() as patch:
        patch.setattr(client, "download_codes", lambda **_: 1 / 0)
        job = upload(lots("000000", "000001").assign(colour=["r", "g"]), client, wait=False)
        cancel_between(job, server)
        job.result(timeout=5)
    server.polls_until_complete = 1
    job = scmkit.resume(job.id, client, progress=False)
    assert states(job) == {"applied": 2}
    assert set(job.rows["discarded_fields"]) == {("colour",)}
    assert len(server.seen) == 2


@pytest.mark.parametrize("order", [1, -1])
def test_a_task_that_found_no_field_to_store(client: scmkit.Client, server: PlainServer, order: int) -> None:
    """A count of 0 has two reasons: whichever task ends first, the codes tell which it was."""

    def accept(_: object, body: dict) -> tuple[int, dict, dict]:
        answer = server.accept(body)
        known = "colour" not in body["scm_data"]
        server.tasks[answer["task_id"]]["codesAffected"] *= known
        return 200, answer, {}

    server.answers = [accept] * 9
    df = pd.DataFrame({"lot_number": ["000000", "nope"], "colour": ["red", None], "wine_name": [None, "a"]})
    job = upload(df[::order], client)
    assert dict(zip(job.rows["lot_number"], job.rows["state"], strict=True)) == {
        "000000": "discarded", "nope": "unmatched",
    }  # fmt: skip


def test_a_product_is_a_key_of_its_own_kind(
    client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes of a product are asked for by the filter that the contract has for it."""
    for code in ("Code_00000-", "Code_00001-"):
        server.codes[code]["product"] = "SKU-1"
    asked: list[dict] = []
    download = client.download_codes
    monkeypatch.setattr(client, "download_codes", lambda **filters: asked.append(filters) or download(**filters))
    assert upload(pd.DataFrame({"product": ["SKU-1"], "wine_name": ["a"]}), client, "product").ok
    assert [filters["products"] for filters in asked] == ["SKU-1"]


@pytest.mark.parametrize("items", [{}, {"Code_00000": ["wine_name"]}, {"code_00000-": ["wine_name"]}])
def test_an_answer_that_lists_other_keys_proves_no_key_absent(
    client: scmkit.Client, server: PlainServer, items: dict[str, list[str]]
) -> None:
    """Codes were changed, and no key of ours is listed: what was stored may be ours, so it is not unmatched (I6)."""
    server.answers = [(200, {"total_updates": 1, "codes_affected": 1, "changes": [], "items": items}, {})]
    df = pd.DataFrame({"extended_id": ["Code_00000-"], "wine_name": ["a"]})
    job = df.scm.upload(client, mode="sync", progress=False)
    assert states(job) == {"unverified": 1}
    assert job.rows["message"][0]


@pytest.mark.parametrize("names", [[["wine_name"]], [{"name": "wine_name"}], [None]])
def test_names_that_cannot_be_read_do_not_discard(
    client: scmkit.Client, server: PlainServer, names: list[object]
) -> None:
    """An answer whose names of fields cannot be read is none: the call is made again (I6)."""
    answer = {"total_updates": 1, "codes_affected": 1, "changes": [], "items": {"Code_00000-": names}}
    server.answers = [(200, answer, {})]
    df = pd.DataFrame({"extended_id": ["Code_00000-"], "wine_name": ["a"]})
    assert states(df.scm.upload(client, mode="sync", progress=False)) == {"applied": 1}
