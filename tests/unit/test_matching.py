"""Promises about keys and an inventory: what selects nothing is said before anything is sent, and can be mended."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import scmkit
from scmkit.cli.commands import main
from scmkit.core.errors import MissingColumnError, ValidationError
from scmkit.validation.findings import Findings
from scmkit.validation.matching import KnownKeys

KEY = "lot_number"
SHORT = ["22", "42", "53", "102"]


@pytest.fixture
def codes() -> pd.DataFrame:
    """2,000 codes in 200 lots of six digits."""
    ids = [f"Code_{i:06d}" for i in range(2000)]
    return pd.DataFrame({"extended_id": ids, KEY: [f"{i % 200:06d}" for i in range(2000)], "wine_name": None})


def lots(keys: list[str]) -> pd.DataFrame:
    return pd.DataFrame({KEY: keys, "wine_name": [f"W{i}" for i in range(len(keys))]})


def found(findings: Findings) -> list[tuple[str, str, str | None]]:
    return list(zip(findings.frame["rule"], findings.frame["severity"], findings.frame["fix"], strict=True))


def test_keys_without_their_zeros_are_blocked_and_mended(codes: pd.DataFrame) -> None:
    """Where no key is in the inventory, that is an error that counts what zeros would mend, and a fix for each row."""
    findings = lots(SHORT).scm.validate(KEY, fields=codes)
    padded = ["000022", "000042", "000053", "000102"]
    assert found(findings) == [("no_key_matches", "error", None), *(("unmatched_key", "warning", f) for f in padded)]
    message = findings.frame["message"][0]
    assert "none of 4 key values is in the inventory of 2,000 codes; 4 of 4 would match with zeros in front" in message
    assert "'000022' for '22'" in message
    assert "pad_to={'lot_number': 6}" in message
    assert "no code in the inventory has '22', and some have '000022'" in findings.frame["message"][1]
    assert not findings.rejected.any()
    mended = findings.fixed(lots(SHORT), "unmatched_key")
    assert mended[KEY].tolist() == padded
    assert mended.scm.validate(KEY, fields=codes).ok
    with pytest.raises(ValidationError, match="4 of 4 would match"):
        lots(SHORT).scm.plan(KEY, inventory=codes)


def test_a_plan_that_selects_nothing_can_be_made_and_says_so(codes: pd.DataFrame, tmp_path: Path) -> None:
    """An inventory may be a part of the codes: whoever knows that goes on, from a DataFrame or from a file."""
    codes.to_csv(tmp_path / "codes.csv", index=False)
    for inventory in (codes, tmp_path / "codes.csv"):
        plan = lots(SHORT).scm.plan(KEY, inventory=inventory, errors="reject")
        assert (len(plan.order), plan.selects_nothing) == (4, True)
        assert "4 of 4 key values select no code in the inventory" in plan.summary()
    assert not lots(["000022"]).scm.plan(KEY, inventory=codes).selects_nothing


@pytest.mark.parametrize(
    ("keys", "rules"),
    [
        (["000001", "000002", "999999", "999998"], [None, "warning", "warning"]),  # half of them: a warning each
        (["999997", "999998", "999999"], ["error", "warning", "warning", "warning"]),  # none, of enough keys
        (["999999"], [None, "warning"]),  # a single new lot
        ([f"9{i:05d}" for i in range(300)], [None, *["warning"] * 300]),  # more keys than the inventory has: a part
        (["000001"], [None]),
        (["", None], [None]),
    ],
)
def test_how_much_evidence_blocks(codes: pd.DataFrame, keys: list[str], rules: list[str | None]) -> None:
    """Hardly any of enough keys blocks; a few unknown ones, or an inventory that is too small to tell, warn."""
    found = lots(keys).scm.validate(KEY, inventory=codes).frame
    ours = found[found["rule"].isin(["no_key_matches", "unmatched_key"])]
    assert ours["severity"].tolist() == [severity for severity in rules if severity]


def test_a_sample_blocks_nothing(codes: pd.DataFrame) -> None:
    """In a sample a key may be missing by chance: only another spelling of it is found, and nothing is blocked."""
    table = lots([*SHORT, "999999"])
    sample = codes.sample(frac=0.5, random_state=1)
    assert len(sample) > 100
    plan = table.scm.plan(KEY, inventory=sample, sample_fraction=0.5)
    assert plan.findings.ok
    assert plan.findings.frame["value"].tolist() == SHORT
    assert len(table.scm.estimate(KEY, inventory=sample, sample_fraction=0.5).frame) == 5


def test_the_nearest_is_named_and_never_guessed(codes: pd.DataFrame) -> None:
    """Case, zeros too many and typing errors are named without a fix; one that could be two values has none either."""
    named = codes.assign(
        **{KEY: codes[KEY].map({"000001": "LOT-A1", "000002": "7", "000003": "07"}).fillna(codes[KEY])}
    )
    held = lots(["lot-a1", "LOT-A2", "0000007", "000004"]).scm.validate(KEY, inventory=named).frame
    assert held["fix"].isna().all()
    assert [("did you mean 'LOT-A1'" in m, "did you mean '7'" in m) for m in held["message"]] == [
        (True, False), (True, False), (False, True),
    ]  # fmt: skip
    two = KnownKeys(frozenset({("022",), ("000022",), ("7",)}), 3)
    assert (two.padded(("22",)), two.padded(("٢٢",)), two.padded(("22", "1"))) == (None, None, None)
    assert two.has((" 022 ",))


def test_keys_of_several_columns_and_slim_inventories(codes: pd.DataFrame) -> None:
    """A compound key is looked up as a whole; columns that an inventory lacks are no evidence of anything."""
    table = lots(["000001", "000002"]).assign(extended_id=["Code_000001", "Code_000001"], origin="x")
    both = table.scm.validate(["extended_id", KEY], inventory=codes).frame
    assert both.loc[both["rule"] == "unmatched_key", "row"].tolist() == [1]
    assert lots(SHORT).scm.validate(KEY, fields=codes.drop(columns=KEY)).ok
    with pytest.raises(MissingColumnError, match="lot_number"):
        lots(SHORT).scm.validate(KEY, inventory=codes.drop(columns=KEY))


def test_the_shell_offers_the_padding(codes: pd.DataFrame, tmp_path: Path) -> None:
    """`validate` and `plan` fail with the option that mends it, and with that option they pass."""
    lots(SHORT).to_csv(tmp_path / "lots.csv", index=False)
    codes.to_csv(tmp_path / "codes.csv", index=False)
    files = [str(tmp_path / "lots.csv"), "--key", KEY, "--inventory", str(tmp_path / "codes.csv")]
    for command in ("validate", "plan"):
        refused = CliRunner().invoke(main, [command, *files])
        assert refused.exit_code == 3
        assert (
            "4 of 4 would match with zeros in front, such as '000022' for '22': --pad-to lot_number=6" in refused.output
        )
        assert "--errors reject goes on all the same" in refused.output
        assert CliRunner().invoke(main, [command, *files, "--pad-to", "lot_number=6"]).exit_code == 0
    assert CliRunner().invoke(main, ["plan", *files, "--errors", "reject"]).exit_code == 0
    wrong = CliRunner().invoke(main, ["plan", *files, "--pad-to", "lot_number"])
    assert "COLUMN=WIDTH" in wrong.output


def test_an_upload_that_selects_nothing_is_refused(codes: pd.DataFrame, server: object, client: scmkit.Client) -> None:
    """Nothing is sent before somebody has looked at the keys."""
    with pytest.raises(ValidationError, match="nothing was sent"):
        lots(SHORT).scm.upload(client, KEY, inventory=codes, progress=False)
    assert not server.seen  # type: ignore[attr-defined]


@pytest.mark.parametrize("keys", [["22.0", "42.0"], ["22.00", "42"]])
def test_numbers_that_were_floats_get_their_zeros_too(codes: pd.DataFrame, keys: list[str], tmp_path: Path) -> None:
    """What a spreadsheet made of 000022 may be 22.0: one fix mends both, and so does pad_to."""
    findings = lots(keys).scm.validate(KEY, fields=codes)
    assert "2 of 2 would match with zeros in front" in findings.frame["message"][0]
    assert not findings.ok
    for mended in (findings.fixed(lots(keys)), findings.fixed(lots(keys), "unmatched_key")):
        assert mended[KEY].tolist() == ["000022", "000042"]
    lots(keys).to_csv(tmp_path / "lots.csv", index=False)
    assert scmkit.read_table(tmp_path / "lots.csv", pad_to={KEY: 6})[KEY].tolist() == ["000022", "000042"]


@pytest.mark.parametrize(
    ("text", "near"), [("L22", "L000022"), ("l-7", "L-007"), ("A1-B2", "A01-B002"), ("9", None), ("L0", "L000")]
)
def test_zeros_are_looked_for_wherever_a_number_begins(text: str, near: str | None) -> None:
    """After letters, zeros are no certain fix, but the value that was probably meant is named; of two, neither is."""
    held = KnownKeys(frozenset((v,) for v in ("L000022", "L-007", "A01-B002", "0009", "00009", "L000")), 6)
    assert held.alike(text) == near
