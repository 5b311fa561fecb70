"""Promises about asking the service, on the sandbox and on a server that shares no code with it."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plain_server import PlainServer

import scmkit
from scmkit.core.errors import PermissionDeniedError, UnreadableAnswerError
from scmkit.uploading.asking import asked


@pytest.fixture
def lots() -> pd.DataFrame:
    """40 lots, one of 6,000 codes; their table has one column beside the key."""
    return pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(40)], "wine_name": [f"Wine {i}" for i in range(40)]})


@pytest.fixture
def codes() -> pd.DataFrame:
    sizes = np.r_[6_000, np.arange(1, 40) * 20]
    numbers = np.repeat([f"{i:06d}" for i in range(40)], sizes)
    ids = [f"Code_{i:06d}-" for i in range(sizes.sum())]
    return pd.DataFrame({"extended_id": ids, "lot_number": numbers, "wine_name": None})


def hold(server: PlainServer, codes: pd.DataFrame) -> None:
    server.filters_known = True
    server.codes = {code: {"lot_number": lot} for code, lot, _ in codes.itertuples(index=False)}


def ordered(server: PlainServer) -> int:
    """Count the downloads that were asked for."""
    return sum(path == "/api/v2/codes/download/" for path, _ in server.authorizations)


def test_a_token_and_a_table_make_the_plan_of_the_whole_inventory(lots: pd.DataFrame, codes: pd.DataFrame) -> None:
    """Every lot goes the same way as with an inventory, and the largest is not downloaded to its end."""
    with scmkit.Sandbox(codes=codes, speed=50) as sandbox:
        client = sandbox.client()
        estimate = lots.scm.estimate("lot_number", ask=client, progress=False)
        sent = sum(r["path"].startswith("/files/") for r in sandbox.requests().to_dict("records"))
        plan = lots.scm.plan("lot_number", estimate=estimate, journal=False)
        whole = lots.scm.plan("lot_number", inventory=sandbox.codes(), journal=False)
    assert sent == 40
    frame = estimate.frame.set_index("lot_number")
    assert set(frame["source"]) == {"asked"}
    assert frame["codes"].iloc[1:].tolist() == [20 * i for i in range(1, 40)]
    assert 3_000 < frame["low"].iloc[0] < 6_000 <= frame["high"].iloc[0]
    modes = [p.calls["mode"].to_numpy()[p.rows["call"].to_numpy(dtype=int)].tolist() for p in (plan, whole)]
    assert modes[0] == modes[1]


def test_a_second_reading_of_the_contract_gives_the_same_counts(
    lots: pd.DataFrame, codes: pd.DataFrame, server: PlainServer, client: scmkit.Client
) -> None:
    """Counts, fields and the budget hold on a server that shares no code with the sandbox."""
    hold(server, codes)
    assert client.count(scm_lot_number="000005") == 100
    assert client.count(10, scm_lot_number="000005") == 11
    assert client.fields(extended_id="Code_000000-") == server.fields
    before = ordered(server)
    estimate = lots.scm.estimate("lot_number", ask=client, budget=3, progress=False)
    assert ordered(server) == before + 3
    assert (estimate.frame["source"] == "asked").sum() == 3


def test_fields_are_asked_once_and_a_misspelt_one_is_told(
    lots: pd.DataFrame, codes: pd.DataFrame, server: PlainServer, client: scmkit.Client
) -> None:
    """Three small calls and a header say which fields there are; no more is asked by the next plan."""
    hold(server, codes)
    misspelt = lots.rename(columns={"wine_name": "wine_nmae"})
    for _ in range(2):
        plan = misspelt.scm.plan("lot_number", fields=True, client=client, journal=False)
        assert "the campaign does not define 'wine_nmae' (did you mean 'wine_name'?)" in plan.summary()
    assert len(server.authorizations) == 4
    assert "does not define" not in lots.scm.plan("lot_number", journal=False).summary()


def test_a_service_that_ignores_a_filter_is_told(
    lots: pd.DataFrame, codes: pd.DataFrame, server: PlainServer, client: scmkit.Client
) -> None:
    """The number of all codes is never taken for that of one lot."""
    hold(server, codes)
    server.filters_known = False
    with pytest.raises(UnreadableAnswerError, match="another lot_number: the service does not filter by it"):
        lots.scm.estimate("lot_number", ask=client, progress=False)


def test_a_token_that_may_not_look_is_told_at_once(lots: pd.DataFrame) -> None:
    """The permission that is missing stands in the error."""
    with scmkit.Sandbox(codes=50) as sandbox:
        token = sandbox.make_token(["product_view"])
        with scmkit.Client(sandbox.url, token) as client, pytest.raises(PermissionDeniedError, match="codes_view"):
            lots.scm.estimate("lot_number", ask=client, progress=False)


@pytest.mark.parametrize("end", [KeyboardInterrupt, ConnectionError])
def test_what_was_answered_stands_when_asking_ends_early(lots: pd.DataFrame, end: type[BaseException]) -> None:
    """Ctrl-C, or a service that begins to refuse, takes nothing back; the estimate says that it is not all."""
    from scmkit.core.errors import NotSentError
    from scmkit.estimation.estimate import estimate_codes

    class Breaking:
        limits = scmkit.Limits(speed=1_000)

        def count(self, most: int, **filters: str) -> int:
            if filters["scm_lot_number"] >= "000010":
                raise NotSentError("cannot reach it") if end is ConnectionError else end
            return 5

    known = asked(estimate_codes(lots, "lot_number"), Breaking(), 1_000.0)
    assert 1 <= (known.frame["source"] == "asked").sum() <= 10
    assert "asking" in known.note


def test_with_a_sample_in_hand_little_is_asked(lots: pd.DataFrame, codes: pd.DataFrame) -> None:
    """Of 40 lots, a sample of 5 % leaves few whose way is open."""
    with scmkit.Sandbox(codes=codes, speed=50) as sandbox:
        sample = sandbox.codes().sample(frac=0.05, random_state=3)
        known = lots.scm.estimate("lot_number", sample, 0.05, ask=sandbox.client(), progress=False)
    assert (known.frame["source"] == "asked").sum() <= 2


def test_what_was_answered_within_a_day_is_not_asked_again(
    lots: pd.DataFrame, codes: pd.DataFrame, server: PlainServer, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next plan has the same numbers without a question; a day later they are a history, and are asked for anew."""
    hold(server, codes)
    lots, plans = lots.head(6), []
    for _ in range(2):
        plans.append(lots.scm.plan("lot_number", ask=client, service=client.base_url))
        assert ordered(server) == 6
    pd.testing.assert_frame_equal(plans[0].estimate.frame, plans[1].estimate.frame)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 90_000)
    later = lots.scm.plan("lot_number", service=client.base_url).estimate.frame.set_index("lot_number")
    assert ordered(server) == 6
    assert later["source"].tolist() == ["prior", *["history"] * 5]  # a count that was cut off is none
    lots.scm.estimate("lot_number", ask=client, progress=False)
    assert ordered(server) == 12


def test_answers_that_cannot_be_remembered_count_all_the_same(
    lots: pd.DataFrame, codes: pd.DataFrame, server: PlainServer, client: scmkit.Client, tmp_path: Path
) -> None:
    """A journal that is none is left as it is; without one, everything is asked for anew."""
    hold(server, codes)
    (tmp_path / "notes.txt").write_text("not a journal")
    for journal in (tmp_path / "notes.txt", False, False):
        known = lots.head(2).scm.estimate("lot_number", ask=client, progress=False, journal=journal)
        assert (known.frame["source"] == "asked").all()
    assert ordered(server) == 6
    assert (tmp_path / "notes.txt").read_text() == "not a journal"
