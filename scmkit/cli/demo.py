"""`scmkit demo`: the whole way on the sandbox, told as a story of six steps."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scmkit.core import display
from scmkit.core.errors import GatewayTimeoutError
from scmkit.planning.plan import Plan
from scmkit.sandbox import Sandbox, samples
from scmkit.simulation.simulate import Risk, simulate
from scmkit.tables.inventory import count_codes
from scmkit.uploading.job import UploadJob
from scmkit.uploading.plans import plan
from scmkit.uploading.upload import upload
from scmkit.validation.findings import Findings
from scmkit.validation.validate import validate
from scmkit.wire.client import Client

SPEED = 30  # a minute of the service's clock is two seconds here, and so are the gateway's 60 s

Say = Callable[[str], Any]


def run(report: Path, say: Say) -> bool:
    """Play the demo, write the report, and tell whether everything arrived.

    Parameters
    ----------
    report : Path
        Where the HTML report goes.
    say : callable
        Takes each line of text.
    """
    begun = time.monotonic()
    inventory = samples.inventory()
    with Sandbox(codes=inventory, speed=SPEED) as sandbox, sandbox.client() as client:
        say(f"Sandbox with {len(inventory):,} codes in {inventory['lot_number'].nunique()} lots at {sandbox.url}")
        say(f"(its clock runs {SPEED} times faster than yours)\n")
        findings = _validate(inventory, say)
        _naive(client, sandbox, inventory, say)
        by_code = plan(samples.codes_table(inventory), inventory=inventory, journal=False)
        by_lot = plan(samples.lots_table(inventory), key="lot_number", inventory=inventory, journal=False)
        risk = simulate(by_lot, trials=2_000, seed=1)
        say("4. The plan by lot instead\n" + _indent(by_lot.summary()) + f"\n   simulated: {risk.summary()}\n")
        say("5. Upload")
        jobs = {"5,000 codes": _upload(by_code, client, say), "400 lots": _upload(by_lot, client, say)}
        say("")
    _write_report(report, findings, by_lot, risk, jobs)
    _summarise(jobs, time.monotonic() - begun, report, say)
    return all(job.ok for job in jobs.values())


def _validate(inventory: pd.DataFrame, say: Say) -> Findings:
    damaged = samples.damaged_table(inventory)
    findings = validate(damaged, fields=inventory)
    total, *lines = findings.summary().splitlines()
    say(f"1. A damaged table, validated before anything is sent\n   {total}")
    say(_indent("\n".join(textwrap.shorten(line, 130, placeholder=" ...") for line in lines[:6])))
    say(f"   ... and {len(lines) - 6} more kinds of damage\n")
    return findings


def _naive(client: Client, sandbox: Sandbox, inventory: pd.DataFrame, say: Say) -> None:
    """Show what a sync call for the largest lot gets."""
    largest = count_codes(inventory, "lot_number").iloc[0]
    lot, codes = largest["lot_number"], int(largest["codes"])
    say(f"2. One naive sync call for lot {lot}, which {codes:,} codes carry")
    try:
        client.upload_sync([{"lot_number": lot, "wine_name": "Naive"}], data_key="lot_number")
        say("   it went through")
    except GatewayTimeoutError as error:
        say(f"   {error}")
    changed = int((sandbox.codes()["wine_name"] == "Naive").sum())
    say(f"3. Codes changed by it: {changed:,} of {codes:,}\n")


def _upload(made: Plan, client: Client, say: Say) -> UploadJob:
    job = upload(made, client, verify=True, journal=False)  # a show, not the user's history
    read_back = "not read back" if job.differences is None else f"read back with {len(job.differences):,} differences"
    say(f"   {' + '.join(made.key)}: {job.summary()}; {read_back}")
    if job.state != "complete":
        raise KeyboardInterrupt
    return job


def _summarise(jobs: dict[str, UploadJob], seconds: float, report: Path, say: Say) -> None:
    say("6. Result")
    for name, job in jobs.items():
        counts = job.counts()
        applied = counts.pop("applied", 0)
        others = ", ".join(f"{n:,} {word}" for word, n in counts.items())
        proven = "proven by reading back" if job.ok else "NOT complete"
        calls = job.calls
        tasks = int(calls["task_id"].notna().sum())
        say(
            f"   {name:<12} {applied:>6,} rows applied{', ' + others if others else ''} "
            f"with {len(calls) - tasks} sync calls and {tasks} tasks: {proven}"
        )
    say(f"   {seconds:.0f} s; the pictures are in {report}")


def _write_report(path: Path, findings: Findings, by_lot: Plan, risk: Risk, jobs: dict[str, UploadJob]) -> None:
    # The cards of the plan and of the risk have pictures of their own.
    pictures = [by_lot.estimate.plot(), by_lot.service_time.plot(), *(job.plot() for job in jobs.values())]
    results: list[Any] = [*jobs.values(), by_lot, risk, findings]
    pages = (display.Html(result._repr_html_()) for result in results)
    pictured = display.side_by_side(*(display.figure(ax.figure) for ax in pictures))
    path.write_text(display.page("scmkit demo", pictured, *pages), encoding="utf-8")


def _indent(text: str) -> str:
    return "\n".join("   " + line for line in text.splitlines())
