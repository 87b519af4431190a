"""The notebook in examples/: each of its cells runs, in order, with a model that nobody trained."""

import json
import tempfile

import matplotlib.pyplot as plt
from blocks import ROOT

NOTEBOOK = ROOT / "examples/tour.ipynb"


def test_its_cells_run(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNIMRI_MODELS", str(models))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        # As it is committed: nobody's outputs.
        assert cell.get("outputs", []) == []
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    titles = [axis.get_title() for axis in plt.gcf().axes]
    assert titles[0] == "truth"
    assert titles[-1].startswith("adapted, ")
    assert titles[-1].endswith(" dB")
    plt.close("all")
    assert "pelvis: " in capsys.readouterr().out
    assert (tmp_path / names["folder"].parent.name / "adapted/pelvis.aspin.safetensors").is_file()
