"""Live line, task board and capacity explorer in JupyterLab."""

from __future__ import annotations

import threading
from typing import Any

import lab as labs
import pytest
from plain_server import PlainServer

TABLE = """
table = pd.DataFrame({"extended_id": [f"Code_{i:05d}-" for i in range(50)], "wine_name": [f"w{i}" for i in range(50)]})
"""


def setup(server: PlainServer) -> str:
    limits = "scmkit.Limits(updates_per_second=200, speed=20, connect_s=2, read_s=60, deadline_s=60)"
    return f"import pandas as pd, scmkit\nscmkit.use(scmkit.Client({server.url!r}, {server.token!r}, limits={limits}))"


def gates(server: PlainServer, count: int) -> list[threading.Event]:
    """Let each of the next calls wait until its event is set."""
    made = [threading.Event() for _ in range(count)]

    def closed(event: threading.Event) -> Any:
        def wait(*_: object) -> None:
            server.lock.release()
            event.wait(120)
            server.lock.acquire()

        return wait

    server.answers = [closed(event) for event in made]
    return made


def test_a_live_line_moves_while_another_cell_runs(lab: labs.Lab, server: PlainServer) -> None:
    """A running job shows how far it is, whatever the kernel does; at the end, and in the file, is the summary."""
    first, second = gates(server, 2)
    upload = 'job = scmkit.plan(table, mode="sync", batch=25, workers=1).upload(wait=False); job'
    lab.open(setup(server), TABLE + upload, "job.result(60).state")
    lab.run(0)
    line = lab.run(1)
    labs.expect(line).to_contain_text("0 of 50 rows")
    lab.start(2)
    first.set()
    labs.expect(line).to_contain_text("25 of 50 rows (25 applied); 1 of 2 calls answered")
    labs.expect(line.locator("progress")).to_have_attribute("value", "50.0")
    assert lab.running(2)
    for theme in ("dark", "light"):
        lab.theme(theme)
        lab.assert_legible(line)
        lab.assert_fits(line)
        lab.picture(f"live-line-{theme}", line)
    second.set()
    labs.expect(lab.finished(2)).to_contain_text("complete")
    labs.expect(line).to_contain_text("complete: 50 applied; 2 calls, 0 tasks")
    labs.expect(line.locator("progress")).to_have_count(0)
    lab.save()
    lab.show(lab.notebook, kernel=False)
    labs.expect(lab.outputs(1)).to_contain_text("complete: 50 applied; 2 calls, 0 tasks")


def test_the_board_after_a_kernel_restart(lab: labs.Lab, server: PlainServer) -> None:
    """The board shows what the end of the kernel stopped, resumes it and shows its end, also in the saved notebook."""
    server.polls_until_complete = 10**9
    frame = 'pd.DataFrame({"lot_number": ["000001", "000002"], "wine_name": ["a", "b"]})'
    upload = f'job = {frame}.scm.upload(key="lot_number", mode="async", wait=False)'
    wait = "import time\nwhile len(job.tasks) < 2: time.sleep(0.05)"
    lab.open(setup(server), f"{upload}\n{wait}\njob.id", "board = scmkit.TaskBoard()\nboard")
    lab.run(0)
    lab.run(1)
    lab.restart()
    lab.run(0)
    board = lab.run(2)
    labs.expect(board.get_by_role("cell", name="cancelled, 0 of 2 applied").first).to_be_visible()
    labs.expect(board.get_by_text("Tasks that nobody knows the end of yet").first).to_be_visible()
    board.get_by_label("Job", exact=True).select_option(index=1)
    resume = board.get_by_role("button", name="Resume (2 rows left)")
    labs.expect(resume).to_be_enabled()
    labs.expect(board.get_by_text("Tasks, as the service described them last").first).to_be_visible()
    for theme in ("dark", "light"):
        lab.theme(theme)
        lab.assert_legible(board, least=4)  # widgets that cannot be used are pale
        lab.assert_fits(board)
        lab.picture(f"board-{theme}", board)
    lab.page.set_viewport_size({"width": 390, "height": 900})
    lab.assert_fits(board)
    server.polls_until_complete = 1
    resume.click()
    labs.expect(board.get_by_role("cell", name="complete", exact=True).first).to_be_visible()
    labs.expect(board.get_by_role("button", name="Resume", exact=True)).to_be_disabled()
    lab.page.wait_for_function("() => document.querySelector('details')?.innerText !== undefined")
    labs.expect(board.locator("details")).to_contain_text("1 complete")
    lab.save()
    lab.show(lab.notebook, kernel=False)
    kept = lab.outputs(2).locator("details")
    kept.locator("summary").click()
    labs.expect(kept).to_contain_text("1 job: 1 complete")


@pytest.mark.parametrize("width", [900, 1400])
def test_the_explorer_follows_its_sliders(lab: labs.Lab, width: int) -> None:
    """Typing a number moves the curves and the words; without a kernel the last state is there."""
    lab.page.set_viewport_size({"width": width, "height": 900})
    lab.open("import scmkit\nexplorer = scmkit.CapacityExplorer(codes_per_key=400, batch=10)\nexplorer")
    output = lab.run(0)
    words = output.get_by_text("With 400 codes a key and a bearable risk of 1 %").first
    labs.expect(words).to_be_visible()
    labs.expect(output.locator("svg[role=img]")).to_have_count(3)
    field = output.locator("input[type=number]").first
    field.fill("50")
    field.press("Enter")
    labs.expect(output.get_by_text("With 50 codes a key").first).to_be_visible()
    for theme in ("dark", "light"):
        lab.theme(theme)
        lab.assert_legible(output)
        lab.assert_fits(output)
        lab.picture(f"explorer-{theme}-{width}", output)
    lab.page.set_viewport_size({"width": 390, "height": 900})
    lab.assert_fits(output)
    lab.page.set_viewport_size({"width": width, "height": 900})
    labs.expect(output.locator("details")).to_contain_text("With 50 codes a key")
    lab.save()
    lab.show(lab.notebook, kernel=False)
    kept = lab.outputs(0).locator("details")
    kept.locator("summary").click()
    labs.expect(kept.locator("img")).to_be_visible()
    lab.picture(f"explorer-no-kernel-{width}", lab.outputs(0))
