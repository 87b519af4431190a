"""What stands on the page, and what does not."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiment import CONFIG, Experiment, write_table

from unimri.config import load_config
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.deploy.figure import BETTER, WORSE
from unimri.evaluation.paper import published
from unimri.report.catalogue import COLUMNS, TABLES
from unimri.report.experiment import Experiment as Configured
from unimri.report.experiment import commands
from unimri.report.page import scripts, style, write_report
from unimri.training.methods import METHODS
from unimri.workflow.plan import WorkflowPlan

ROOT = Path(__file__).parents[2]
OPTIONAL = {"figures", "studies", "curves", "data", "masks", "cost"}


class Reader(HTMLParser):
    """Reads a page's elements, the text of each section, and the rows of each table."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.bold: list[str] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag in ("section", "article"):
            self._section = dict(attrs).get("id") or ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        # Elements without an end, such as img, stay open above it.
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & set(self._open):
            return
        self.sections[self._section] = self.sections.get(self._section, "") + data
        if self.rows and self.rows[-1] and "tr" in self._open:
            self.rows[-1][-1] += data
        if "strong" in self._open:
            self.bold.append(data)

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


def written(experiment: Experiment, config: dict[str, Any]) -> str:
    output = experiment.results / "report.html"
    write_report(experiment.results, config, output)
    return output.read_text(encoding="utf-8")


def test_a_section_whose_inputs_are_not_there_is_left_out(experiment: Experiment, config: dict[str, Any]) -> None:
    ids = set(Reader(written(experiment, config)).ids())
    assert {"summary", "results", "table-table1", "provenance", "rerun"} <= ids
    assert not OPTIONAL & ids
    assert "table-robustness" not in ids


def test_a_whole_experiment_has_every_section_and_table(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    assert set(reader.ids()) >= OPTIONAL | {entry.key for entry in TABLES}
    links = {attributes.get("href") for tag, attributes in reader.elements if tag == "a"}
    assert links >= {f"#{name}" for name in ("summary", "results", *OPTIONAL, "provenance", "rerun")}
    assert {link[1:] for link in links if link and link.startswith("#")} <= set(reader.ids())


def test_one_study_brings_its_own_table_alone(experiment: Experiment, config: dict[str, Any]) -> None:
    columns = ["acceleration", "method", "new", "anatomy", "before", "after", "difference", "largest_pixel_change"]
    rows = [(4, "finetuned", "prostate", "brain", 36.5, 35, -1.5, 0.03)]
    write_table(experiment.tables / "forgetting.csv", columns, rows)
    reader = Reader(written(experiment, config))
    assert [name for name in reader.ids() if name.startswith("table-")] == ["table-table1", "table-forgetting"]
    assert ["fine-tuned", "prostate", "brain", "36.50", "35.00", "−1.50", "0.03"] in [
        [cell.strip() for cell in row] for row in reader.rows
    ]


def test_figures_come_in_the_configured_order_and_other_masks_last(
    experiment: Experiment, config: dict[str, Any]
) -> None:
    config["accelerations"] = [10, 4]
    for sampling in ("4x", "10x", "4x-other"):
        for name in ("prostate", "brain"):
            experiment.png(experiment.results / "figures" / sampling / f"{name}.png")
    experiment.png(experiment.results / "figures/data/brain.png")
    reader = Reader(written(experiment, config))
    titles = [attributes["data-title"] for _, attributes in reader.elements if "data-title" in attributes]
    shown = ["brain, 10×", "prostate, 10×", "brain, 4×", "prostate, 4×", "brain, 4×-other", "prostate, 4×-other"]
    assert titles == [*(f"{title} (simulated)" for title in shown), "Contact sheet, brain"]


def test_ids_are_unique_and_pictures_have_words(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    assert [name for name, count in Counter(reader.ids()).items() if count > 1] == []
    pictures = [attributes for tag, attributes in reader.elements if tag == "img" and "src" in attributes]
    assert len(pictures) > 10
    assert all(len(attributes["alt"] or "") > 10 for attributes in pictures)


def test_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for tag, attributes in Reader(text).elements:
        for name in ("src", "srcset", "href", "data", "action", "poster", "background"):
            target = attributes.get(name)
            if target is None or tag == "a" or target.startswith("data:"):
                continue
            pytest.fail(f"<{tag} {name}={target[:60]}>")
    assert "@import" not in text
    outside = [a.get("href") or "" for tag, a in Reader(text).elements if tag == "a" and "#" not in (a["href"] or "#")]
    assert outside == ["https://arxiv.org/abs/2103.05214"]


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"])
def test_everything_is_escaped(experiment: Experiment, config: dict[str, Any], evil: str) -> None:
    experiment.data()
    quoted = '"' + evil.replace('"', '""') + '"'
    write_table(experiment.results / "data/brain/skipped.csv", ["volume", "digest", "reason"], [("v", "d", quoted)])
    columns = ["claim", "where", "statement", "orderings", "supported", "contradicted", "undecided", "verdict"]
    write_table(experiment.tables / "claims.csv", columns, [(quoted, quoted, quoted, 1, 0, 0, 0, quoted)])
    experiment.slices(experiment.results / "figures/4x/brain.npz", f"</script>{evil}", ["a", evil])
    config["network"]["name"] = evil
    text = written(experiment, config)
    reader = Reader(text)
    # As text it is there; as an element, an attribute or a script it is not.
    assert evil in reader.sections["table-claims"]
    assert text.count("<script") == 4
    assert text.count("</script>") == 4
    assert "<img src=x" not in text
    assert all("onerror" not in attributes for _, attributes in reader.elements)


def test_scripts_and_style_cannot_end_early() -> None:
    assert all("</script" not in script.lower() for script in scripts())
    assert "</style" not in style().lower()


def test_libraries_come_with_their_licences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "Copyright (c) 2021 Cloud Four" in text
    assert "This is free and unencumbered software released into the public domain." in text


def test_simulated_data_are_said_wherever_numbers_stand(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    for name in ("summary", "table-table1", "table-claims", "table-robustness", "table-forgetting", "figures"):
        assert "Simulated data" in reader.sections[name]
    assert "Every anatomy is simulated." in reader.sections["summary"]


def test_mixed_data_are_told_apart_by_column(experiment: Experiment, config: dict[str, Any]) -> None:
    experiment.origins({"brain": "real", "knee": "simulated", "prostate": "simulated"})
    reader = Reader(written(experiment, config))
    heading = next(row for row in reader.rows if row and "brain" in row[1])
    assert [" ".join(cell.split()) for cell in heading] == [
        "Method",
        "brain real",
        "knee simulated",
        "prostate simulated",
        "average mixed",
    ]
    assert "Simulated: knee, prostate; real: brain" in reader.sections["table-table1"]
    assert "knee and prostate: simulated." in reader.sections["summary"]


def test_real_scans_bring_a_warning(experiment: Experiment, config: dict[str, Any]) -> None:
    experiment.data()
    experiment.origins(dict.fromkeys(experiment.anatomies, "real"))
    reader = Reader(written(experiment, config))
    assert "Share it as you would share the scans" in reader.sections["data"]
    assert "simulated" not in reader.sections["summary"].lower()


def test_the_best_of_each_column_is_bold_and_the_paper_stands_below(
    experiment: Experiment, config: dict[str, Any]
) -> None:
    columns = ["acceleration", "method", "metric", "brain", "average"]
    rows = [
        (4, "undersampled", "psnr_db", 28.1, 28.1),
        (4, "shared", "psnr_db", 38.004, 38.5),
        (4, "proposed", "psnr_db", 38.001, ""),
    ]
    write_table(experiment.tables / "table1.csv", columns, rows)
    spread = [(4, "undersampled", "psnr_db", 0, 0), (4, "shared", "psnr_db", 0.126, 0.2)]
    write_table(experiment.tables / "table1_deviation.csv", columns, [*spread, (4, "proposed", "psnr_db", "", "")])
    paper = published()
    wanted = paper[(paper.acceleration == 4) & (paper.method == "shared") & (paper.metric == "psnr_db")].brain.iloc[0]
    write_table(
        experiment.tables / "table1_published.csv",
        ["acceleration", "method", "metric", "anatomy", "ours", "published", "difference"],
        [(4, "shared", "psnr_db", "brain", 38.004, wanted, 38.004 - wanted)],
    )
    experiment.best(*(("table1", "psnr_db", name, "shared") for name in ("brain", "average")))
    reader = Reader(written(experiment, config))
    # Before rounding: two that read alike are not both the best.
    rows_read = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in reader.rows if len(row) == 3}
    assert rows_read["Undersampled"] == ["28.10", "28.10"]
    assert rows_read["Shared"] == ["38.00 ± 0.1340.78, −2.78", "38.50 ± 0.20"]
    assert rows_read["Proposed"] == ["38.00", "–"]
    assert [text for text in reader.bold if "±" in text] == ["38.00 ± 0.13", "38.50 ± 0.20"]


def test_lower_is_better_for_an_error(experiment: Experiment, config: dict[str, Any]) -> None:
    columns = ["convention", "acceleration", "method", "metric", "brain", "average"]
    rows = [("unit_range", 4, method, "nmse", value, value) for method, value in (("shared", 0.02), ("proposed", 0.01))]
    write_table(experiment.tables / "conventions.csv", columns, rows)
    experiment.best(("conventions", "nmse", "brain", "proposed"))
    bold = Reader(written(experiment, config)).bold
    assert "0.0100" in bold
    assert "0.0200" not in bold


def test_the_best_aspin_of_each_row_is_bold_where_it_is_sure(experiment: Experiment, config: dict[str, Any]) -> None:
    columns = ["acceleration", "metric", "anatomy", "aspin", "value", "difference"]
    values = {("brain", "brain"): 31, ("brain", "knee"): 30, ("knee", "brain"): 32, ("knee", "knee"): 33}
    rows = [(4, "psnr_db", *names, value, -1) for names, value in values.items()]
    write_table(experiment.tables / "aspin_matrix.csv", columns, rows)
    experiment.best(("aspin_matrix", "psnr_db", "knee", "knee"), ("table1", "psnr_db", "brain", "proposed"))
    bold = Reader(written(experiment, config)).bold
    assert "33.00" in bold
    assert not {"30.00", "31.00", "32.00"} & set(bold)


def test_a_third_metric_of_table_1_has_its_lowest_in_bold(experiment: Experiment, config: dict[str, Any]) -> None:
    columns = ["acceleration", "method", "metric", "brain", "average"]
    values = {"psnr_db": (38.1, 39.2), "ssim_percent": (93.1, 94.2), "hfen": (0.31234, 0.21234)}
    rows = [
        (4, method, metric, both[place], both[place])
        for metric, both in values.items()
        for place, method in enumerate(("shared", "proposed"))
    ]
    write_table(experiment.tables / "table1.csv", columns, rows)
    spread = [(4, method, metric, 0.00123, 0.00123) for _, method, metric, *_ in rows]
    write_table(experiment.tables / "table1_deviation.csv", columns, spread)
    columns = ["acceleration", "metric", "anatomy", "other", "difference", "low", "high", "patients", "seeds"]
    compared = (4, "hfen", "brain", "shared", -0.1, -0.15, -0.05, 7, 1, 0.01, 0.02, "supported")
    write_table(experiment.tables / "comparisons.csv", [*columns, "p_value", "p_corrected", "verdict"], [compared])
    experiment.best(*(("table1", "hfen", name, "proposed") for name in ("brain", "average")))
    reader = Reader(written(experiment, config))
    summary = next(row for row in reader.rows if "4× HFEN" in row)
    assert summary == ["Method", "4× PSNR (dB)", "4× SSIM (%)", "4× HFEN"]
    # In the summary, and for brain and the average in the table.
    assert reader.bold.count("0.2123") == 1
    assert reader.bold.count("0.2123 ± 0.0012") == 2
    assert not any("0.3123" in text for text in reader.bold)
    rows_read = [[cell.strip() for cell in row] for row in reader.rows]
    assert ["Shared", "0.3123 ± 0.0012", "0.3123 ± 0.0012"] in rows_read
    assert ["brain", "Shared", "−0.1000", "−0.1500", "−0.0500", "7", "1", "0.010", "0.020", "supported"] in rows_read


def test_claims_are_counted_and_the_others_named(page: Path) -> None:
    summary = " ".join(Reader(page.read_text(encoding="utf-8")).sections["summary"].split())
    for text in ("1 contradicted", "1 undecided", "1 supported", "1 not checked"):
        assert text in summary
    refuted = summary.index("Shared is above Independent (Table 1): contradicted")
    unsure = "Proposed is above w/o MD (Table 1): undecided (6 supported, 0 contradicted, 14 undecided of 20)"
    assert refuted < summary.index(unsure)
    assert "Proposed is above every other method" not in summary


def test_the_first_words_are_what_does_not_hold_and_then_what_was_measured(page: Path) -> None:
    summary = " ".join(Reader(page.read_text(encoding="utf-8")).sections["summary"].split())
    assert summary.startswith(
        "Summary Of the paper's 4 claims the intervals contradict 1, leave 1 undecided and support 1; 1 could not be "
        "checked. Contradicted: “Shared is above Independent” (all). Measured: PSNR (dB) and SSIM (%) of 5 methods on "
        "simulated scans of brain, knee and prostate (6 test patients). 4×: the best average is Proposed's, "
    )
    assert "dB [" in summary.split("6×:")[0]
    assert "held in part" not in summary


def test_one_patient_decides_nothing_and_the_first_words_say_so(experiment: Experiment, config: dict[str, Any]) -> None:
    columns = ["acceleration", "metric", "anatomy", "other", "difference", "low", "high", "patients", "seeds"]
    compared = (4, "psnr_db", "average", "shared", 1.5, "", "", 1, 1, "", "", "undecided")
    write_table(experiment.tables / "comparisons.csv", [*columns, "p_value", "p_corrected", "verdict"], [compared])
    summary = " ".join(Reader(written(experiment, config)).sections["summary"].split())
    assert "+1.50 dB against Shared, undecided" in summary
    assert "Without an interval (one test patient, or a seed that is missing) nothing is decided." in summary


def test_the_papers_orderings_are_counted(experiment: Experiment, config: dict[str, Any]) -> None:
    rows = [("supported", "True"), ("undecided", "True"), ("supported", "False"), ("contradicted", "")]
    write_table(experiment.tables / "orderings.csv", ["verdict", "published_held"], rows)
    summary = Reader(written(experiment, config)).sections["summary"]
    assert "Proposed above the other method: 1 supported, 0 contradicted, 1 undecided of 2." in summary


def test_what_falls_short_follows_the_data(experiment: Experiment, config: dict[str, Any]) -> None:
    experiment.data()
    short = Reader(written(experiment, config)).sections["summary"]
    assert "One seed:" in short
    assert "They have no phase" in short
    assert "Few test patients (brain 2, knee 2 and prostate 2)" in short
    assert "64 × 64 pixels; the paper's are 320 × 320" in short
    assert "The paper's claims were not checked" in short
    assert "Robustness" in short

    config["training"]["seeds"] = [1, 2, 3]
    config["preparation"]["image_size"] = 320
    experiment.other_results()
    experiment.studies()
    counts = [(name, split, 50, 50, 500) for name in experiment.anatomies for split in ("train", "test")]
    write_table(experiment.tables / "data.csv", ["anatomy", "split", "patients", "volumes", "slices"], counts)
    better = Reader(written(experiment, config)).sections["summary"]
    for gone in ("One seed", "Few test patients", "pixels; the paper's", "were not checked", "Not made"):
        assert gone not in better
    assert "1 of the paper's claims could not be checked" in better


def test_pictures_of_a_study_stand_with_its_table(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, other in (("aspin_matrix", "adaptation"), ("adaptation", "aspin_matrix")):
        article = text.partition(f'<article id="table-{name}">')[2].partition("</article>")[0]
        assert f'id="figures-4x-{name}"' in article
        assert f'id="figures-4x-{other}"' not in article


def test_a_picture_without_its_table_has_a_heading(experiment: Experiment, config: dict[str, Any]) -> None:
    experiment.png(experiment.results / "figures/4x/aspin_matrix.png")
    experiment.png(experiment.results / "figures/4x/adaptation.png")
    text = written(experiment, config)
    for title in ("Each anatomy with every anatomy's ASPIN", "Adding an anatomy with few patients"):
        heading = f"<h3>{title.replace(chr(39), '&#39;')}</h3>"
        assert "data-title" in text.partition(heading)[2].partition("<h3>")[0]


def test_what_is_secondary_is_folded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outside, depth = "", 0
    for piece in re.split(r"(</?details)", text):
        depth += {"<details": 1, "</details": -1}.get(piece, 0)
        outside += "" if depth else piece
    assert depth == 0
    # Averages, and Table 1 at two accelerations in two metrics.
    assert outside.count("<table") == 5
    assert "<details open" not in text


def test_colours_of_better_and_worse_are_those_of_the_figures() -> None:
    for name, colour in (("better", BETTER), ("worse", WORSE)):
        assert f"--{name}: light-dark({colour}, " in style()


def test_the_commit_is_named_and_no_date_of_the_page(
    experiment: Experiment, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"ls-files": "provenance.py", "log": f"{'c0ffee' * 6}abcd 2026-01-31", "status": ""}
    monkeypatch.setattr("unimri.report.provenance._git", lambda word, *_: answers[word])
    said = Reader(written(experiment, config)).sections["provenance"]
    assert f"{'c0ffee' * 6}abcd" in said
    assert "2026-01-31" in said
    assert "changed since" not in said
    answers["status"] = " M unimri/report/page.py"
    assert "abcd, and changed since" in Reader(written(experiment, config)).sections["provenance"]
    # In the repository of something else, whose commit says nothing of this code.
    answers["ls-files"] = ""
    assert "it is no git checkout" in Reader(written(experiment, config)).sections["provenance"]


def test_cost_is_summed_by_step(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in reader.rows if len(row) == 5}
    assert rows["shared"] == ["1", "0:01:02", "0:01:00", "512"]
    assert rows["score"] == ["2", "0:00:10", "0:00:08", "310"]
    assert rows["mask"] == ["1", "0:00:00", "0:00:00", "–"]
    assert rows["all"] == ["4", "0:01:12", "0:01:08", "512"]


def test_what_was_left_out_is_counted_by_reason(page: Path) -> None:
    rows = [[cell.strip() for cell in row] for row in Reader(page.read_text(encoding="utf-8")).rows]
    assert ["brain", "too few slices", "2"] in rows


def test_provenance_names_digests_and_no_path_or_file_of_the_user(
    experiment: Experiment, config: dict[str, Any]
) -> None:
    experiment.models()
    experiment.data()
    config["anatomies"]["brain"]["path"] = "../scans/Zaphod"
    config["anatomies"]["knee"]["splits"] = "Zaphod.csv"
    config["anatomies"]["prostate"]["reader"] = {
        "format": "nifti",
        "exclude": ["Zaphod.nii"],
        "patient_pattern": "Zaphod_",
    }
    config["preparation"]["key_file"] = "Zaphod.key"
    text = written(experiment, config)
    reader = Reader(text)
    assert hashlib.sha256(b"weights").hexdigest() in text
    assert "4x/seed2021/shared/model.safetensors" in text
    assert "Networks trained infloat32" in reader.sections["provenance"]
    assert "omega: 1.0e-06" in reader.sections["provenance"]
    for secret in ("Zaphod", "/home/someone", str(experiment.results)):
        assert secret not in text


def test_commands_name_what_this_experiment_has(
    experiment: Experiment, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config["training"]["seeds"] = [7]
    config["distillation"]["layer"] = 2
    monkeypatch.chdir(experiment.results.parent)
    write_report(Path("results"), config, Path("report.html"))
    text = Path("report.html").read_text(encoding="utf-8")
    assert "snakemake results/4x/seed7/distilled/layer2/model.safetensors" in text
    assert "snakemake results/4x/seed7/distilled/layer2/aspin/prostate.safetensors" in text


def test_commands_make_the_models_that_the_workflow_trains() -> None:
    loaded = load_config(ROOT / "config.yaml")
    plan = WorkflowPlan(loaded)
    experiment = parse_settings(Configured, loaded.model_dump(mode="json"), "a test")
    texts = [command.text for command in commands(Path(plan.results), experiment)]
    where = experiment.samplings[0], str(experiment.seeds[0]), next(iter(experiment.anatomies))
    for method in METHODS:
        if method.in_paper and method.budget:
            assert f"snakemake {plan.model(method.key, *where)}/model.safetensors" in texts


def test_the_same_results_give_the_same_bytes(page: Path, tmp_path: Path) -> None:
    write_report(page.parent, CONFIG, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_the_page_needs_no_torch() -> None:
    code = "import sys, unimri.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_key_has_a_heading() -> None:
    assert {key for entry in TABLES for key in entry.keys} <= set(COLUMNS)


def without_table1(experiment: Experiment) -> Path:
    path = experiment.tables / "table1.csv"
    path.unlink()
    return path


def without_a_column(experiment: Experiment) -> Path:
    path = experiment.tables / "claims.csv"
    write_table(path, ["claim", "statement"], [("a", "b")])
    return path


def short_line(experiment: Experiment) -> Path:
    path = experiment.tables / "table1.csv"
    path.write_text(path.read_text() + "4,shared\n")
    return path


def no_number(experiment: Experiment) -> Path:
    path = experiment.tables / "data.csv"
    write_table(path, ["anatomy", "split", "patients", "volumes", "slices"], [("brain", "train", "many", 1, 1)])
    return path


def binary(experiment: Experiment) -> Path:
    path = experiment.tables / "masks.csv"
    path.write_bytes(b"\xff\xfe\x00mask")
    return path


def empty(experiment: Experiment) -> Path:
    path = experiment.tables / "table1.csv"
    path.write_text("")
    return path


def unknown_origin(experiment: Experiment) -> Path:
    path = experiment.tables / "origins.json"
    path.write_text(json.dumps({"brain": "borrowed"}))
    return path


def torn_picture(experiment: Experiment) -> Path:
    path = experiment.results / "figures/4x/brain.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no picture")
    return path


def pickled_slices(experiment: Experiment) -> Path:
    path = experiment.results / "figures/4x/brain.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, truth=np.zeros((4, 4)), images=np.array([{}], dtype=object), about=np.array("{}"))
    return path


def slices_that_do_not_fit(experiment: Experiment) -> Path:
    path = experiment.results / "figures/4x/brain.npz"
    experiment.slices(path, "brain", ["one", "two"])
    with np.load(path) as content:
        np.savez(path, truth=content["truth"], images=content["images"][:1], about=content["about"])
    return path


def torn_benchmark(experiment: Experiment) -> Path:
    path = experiment.results / "benchmarks/mask/4x.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\n")
    return path


def torn_model(experiment: Experiment) -> Path:
    experiment.models()
    path = experiment.results / "4x/seed2021/shared/model.json"
    path.write_text("{")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        without_table1,
        without_a_column,
        short_line,
        no_number,
        binary,
        empty,
        unknown_origin,
        torn_picture,
        pickled_slices,
        slices_that_do_not_fit,
        torn_benchmark,
        torn_model,
    ],
)
def test_a_damaged_file_is_named(experiment: Experiment, config: dict[str, Any], damage: Any) -> None:
    path = damage(experiment)
    output = experiment.results / "report.html"
    with pytest.raises(UnimriError) as fault:
        write_report(experiment.results, config, output)
    assert str(path) in str(fault.value)
    assert "\n" not in str(fault.value)
    assert not output.exists()


def test_a_missing_setting_is_named(experiment: Experiment, config: dict[str, Any]) -> None:
    del config["preparation"]
    with pytest.raises(UnimriError, match=r"--config: preparation: missing"):
        written(experiment, config)


def test_the_command_writes_the_page(experiment: Experiment, config: dict[str, Any]) -> None:
    output = experiment.results / "report.html"
    command = [sys.executable, "-m", "unimri.cli", "report", str(experiment.results), "--config", json.dumps(config)]
    assert subprocess.run([*command, "--output", str(output)], check=False).returncode == 0
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
