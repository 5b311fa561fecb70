"""Results in JupyterLab: legible in both themes, there without a kernel, and harmless whatever is in them."""

from __future__ import annotations

import json
from pathlib import Path

import fault_server
import lab as labs
import pytest
from attacks import ATTACKS

DATA = Path(__file__).parent.parent.parent / "data"
RESULTS = (
    f"""
import pandas as pd, scmkit
lots, damaged = (scmkit.read_table(f"{DATA}/{{name}}.csv") for name in ("lots", "damaged"))
inventory = pd.read_csv("{DATA}/inventory.csv", dtype=str)
sandbox = scmkit.Sandbox(codes=inventory, speed=120).start()
scmkit.use(sandbox.client())
""",
    "damaged.scm.validate(fields=inventory)",
    'estimate = lots.scm.estimate(key="lot_number", inventory=inventory); estimate',
    'plan = lots.head(20).scm.plan(key="lot_number", estimate=estimate); plan',
    "scmkit.simulate(plan, trials=200, seed=1)",
    "job = plan.upload(progress=False, verify=True); job",
)
WORDS = {1: "Findings", 2: "Codes per key value", 3: "Plan keyed by lot_number", 4: "Risk", 5: "complete: 20 applied"}


def shows_results(lab: labs.Lab, picture: str) -> None:
    """Check that each result is there, legible, and no wider than its place."""
    for number, words in WORDS.items():
        output = lab.outputs(number)
        labs.expect(output).to_contain_text(words)
        lab.assert_legible(output)
        lab.assert_fits(output)
        output.scroll_into_view_if_needed()
        lab.picture(f"{picture}-{number}", output)


def test_results_are_legible_and_need_no_kernel(lab: labs.Lab) -> None:
    """All results show in both themes, from the file without a kernel, and in a converted page."""
    lab.open(*RESULTS)
    lab.run_all()
    for theme in ("light", "dark"):
        lab.theme(theme)
        shows_results(lab, f"results-{theme}")
    lab.save()
    lab.show(lab.notebook, theme="dark", kernel=False)
    shows_results(lab, "results-no-kernel")
    labs.expect(lab.page.locator(".jp-Toolbar-kernelName")).to_have_text("No Kernel")
    page = labs.converted(lab.notebook)
    lab.page.goto(page.as_uri())
    for words in WORDS.values():
        labs.expect(lab.page.locator("body")).to_contain_text(words)
    lab.assert_legible(lab.page.locator("body"), least=4)  # nbconvert's own prompts have less
    lab.picture("results-nbconvert")


def test_no_text_from_elsewhere_runs(lab: labs.Lab, rude: fault_server.FaultServer) -> None:
    """Scripts in cells, columns, labels, file names and answers of the server are shown as the text they are."""
    (lab.folder / "attacks.json").write_text(json.dumps(ATTACKS))
    lab.open(
        f"""
import json, pandas as pd, scmkit
from pathlib import Path
attacks = json.loads(Path("attacks.json").read_text())
codes = [f"Code_{{i:05d}}-" for i in range(len(attacks))]
table = pd.DataFrame({{"extended_id": codes, "wine_name": attacks}}, index=attacks)
client = scmkit.Client("{rude.url}", "{rude.token}")
""",
        "pd.DataFrame({name: attacks for name in ['extended_id', *attacks]}, index=attacks).scm.validate()",
        "table.scm.estimate(key='wine_name', default=5)",
        "plan = table.scm.plan(mode='sync'); plan",
        "scmkit.simulate(plan, trials=50, seed=1)",
        "job = plan.upload(client=client, progress=False); job",
        """
name = attacks[2] + ".csv"
Path(name).write_bytes(b"\\xff\\xfe\\x00")
scmkit.read_table(name)
""",
    )
    for number in range(6):
        lab.run(number)
    lab.start(6)
    lab.finished(6, fails=True)
    assert lab.value("sorted(set(job.rows['state']))") == ["rejected"]
    shown = lab.outputs(5).inner_text()
    assert [attack for attack in ATTACKS[:10] if attack not in shown] == []
    assert lab.page.locator(".jp-RenderedHTML :is(script, iframe, svg, video, input, details)").count() == 0
    lab.save()
    lab.page.goto(labs.converted(lab.notebook).as_uri())


def test_an_attack_that_gets_through_is_noticed(lab: labs.Lab) -> None:
    """The two tests above can fail: unescaped, the same texts do run."""
    attack = json.dumps(ATTACKS[2] + ATTACKS[3])
    lab.open(f"from IPython.display import HTML\nHTML({attack})")
    lab.run(0)
    lab.page.wait_for_function("() => window.__xss === 4")
    assert lab.dialogs == ["3"]
    with pytest.raises(AssertionError):
        lab.assert_harmless()
    lab.dialogs.clear()
    lab.page.evaluate("() => { window.__xss = undefined; }")
