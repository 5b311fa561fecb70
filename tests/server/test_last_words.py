"""A script that ends before its upload does: real processes, and the journal that they leave."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
from plain_server import PlainServer

import scmkit

SCRIPT = """
import pandas as pd, scmkit, sys, time
url, token, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
df = pd.read_csv("table.csv")
client = scmkit.Client(url, token, limits=scmkit.Limits(updates_per_second=10))
small = scmkit.Assumptions(max_body_bytes=400)
job = scmkit.upload(df, client, wait=False, assumptions=small, **options)
"""


def run(server: PlainServer, table: pd.DataFrame, folder: Path, more: str = "", **options: object) -> str:
    """Run the script in a folder, and return what it says at its end."""
    table.to_csv(folder / "table.csv", index=False)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT + more, server.url, server.token, repr(options)],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(scmkit.__file__).parent.parent)},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    return ran.stderr


def test_a_script_that_ends_says_what_is_left(
    server: PlainServer, client: scmkit.Client, table: pd.DataFrame, tmp_path: Path
) -> None:
    """One line with the number of calls that were not made and how to resume; the resume brings all rows there."""
    said = run(server, table, tmp_path)
    found = re.fullmatch(
        r"scmkit: Python ended before upload (\S+) did: (\d+) of (\d+) calls were not made, (\d+) rows left\. "
        r"Resume it with scmkit\.resume\('\1'\), or in a shell with scmkit resume \1\n",
        said,
    )
    assert found is not None, said
    job, unmade, planned = found[1], int(found[2]), int(found[3])
    assert planned - unmade == len(server.seen) < planned
    before = len(server.seen)
    assert scmkit.resume(job, client, progress=False).ok
    assert unmade <= len(server.seen) - before <= unmade + 1  # one that was under way goes out again
    held = [server.codes[code].get("vintage_year") for code in table["extended_id"]]
    assert held == table["vintage_year"].astype(str).tolist()


def test_each_upload_has_its_line(server: PlainServer, table: pd.DataFrame, tmp_path: Path) -> None:
    """A journal that is not the user's own is in it, none at all is said, and a job that has ended says nothing."""
    more = "job.cancel(); job.result(); " + "; ".join(
        f"scmkit.upload(df, client, wait=False, assumptions=small, anyway=True, journal={journal!r})"
        for journal in ("my uploads.sqlite3", False)
    )
    elsewhere, nowhere = run(server, table, tmp_path, more).splitlines()
    path = tmp_path / "my uploads.sqlite3"
    assert f", journal={str(path)!r}), or in a shell" in elsewhere
    assert elsewhere.endswith(f" --journal '{path}'")
    assert nowhere.endswith("Nothing was written down (journal=False): upload the table again, with wait=True")
