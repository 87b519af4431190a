import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from unimri.core.errors import UnimriError
from unimri.deploy.figure import PAPER_INCHES, most_varied_patch, reconstruction_figure
from unimri.evaluation.data_report import contact_sheet
from unimri.evaluation.figures import adaptation_figure, curves_figure, mask_figure, matrix_figure
from unimri.physics.masks import Masks

rng = np.random.default_rng(0)
TRUTH = rng.random((24, 24), dtype=np.float32)
RECONSTRUCTIONS = {f"method ${index}": TRUTH + 0.1 * index for index in range(3)}
SCORES = dict.fromkeys(RECONSTRUCTIONS, (30.0, 90.0))
MASKS = rng.random((3, 24)) < 0.25
HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "step": [10, 20], "train_loss": [0.2, 0.1], "validation_psnr_db": [np.nan, 31.0]}
)

DRAW = {
    "reconstruction": lambda path: reconstruction_figure(
        TRUTH, RECONSTRUCTIONS, SCORES, "a slice", path, simulated=True
    ),
    "fixed mask": lambda path: mask_figure(Masks(MASKS[:1], 4, "rows"), "a mask", path),
    "masks": lambda path: mask_figure(Masks(MASKS, 4.5, "columns"), "masks", path),
    "curves": lambda path: curves_figure({"S1": {"_one$": HISTORY}, "S2": {"b": HISTORY, "c": HISTORY}}, "run", path),
    "contact sheet": lambda path: contact_sheet(np.stack([TRUTH] * 4), list("abc$"), path),
}


@pytest.mark.parametrize("name", DRAW)
def test_equal_input_is_equal_bytes(tmp_path, name):
    for file in ("a.png", "b.png"):
        DRAW[name](tmp_path / file)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    with Image.open(tmp_path / "a.png") as image:
        assert set(image.info) == {"dpi"}
        assert np.asarray(image.convert("L")).std() > 1


def test_figures_need_no_screen():
    # pyplot looks for one. In a process of its own: other tests may have loaded it.
    program = "import sys, unimri.evaluation.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures = []
    save = Figure.savefig

    def record(figure, *args, **kwargs):
        figures.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


@pytest.mark.parametrize(("simulated", "title"), [(True, "a slice (simulated)"), (False, "a slice")])
def test_the_title_says_simulated(tmp_path, drawn, simulated, title):
    reconstruction_figure(TRUTH, RECONSTRUCTIONS, SCORES, "a slice", tmp_path / "a.png", simulated=simulated)
    assert title in [text.get_text() for text in drawn[0].texts]


def images_of(figure):
    return [image for axes in figure.axes for image in axes.get_images()]


def test_images_share_a_scale_and_so_do_error_maps(tmp_path, drawn):
    DRAW["reconstruction"](tmp_path / "a.png")
    images = images_of(drawn[0])
    greys = [image for image in images if image.get_cmap().name == "gray"]
    errors = [image for image in images if image.get_cmap().name != "gray"]
    assert (len(greys), len(errors)) == (8, 3)
    assert len({image.get_clim() for image in greys}) == 1
    # The methods err by 0, 0.1 and 0.2 everywhere; the worst does not set the scale.
    assert len({image.get_clim() for image in errors}) == 1
    assert errors[0].get_clim() == pytest.approx((0.0, 0.1), abs=1e-6)
    for error, reconstruction in zip(errors, RECONSTRUCTIONS.values(), strict=True):
        np.testing.assert_allclose(error.get_array(), np.abs(reconstruction - TRUTH))


def test_the_scale_of_error_maps_can_be_given(tmp_path, drawn):
    reconstruction_figure(TRUTH, RECONSTRUCTIONS, SCORES, "", tmp_path / "a.png", simulated=False, error_max=0.5)
    assert images_of(drawn[0])[-1].get_clim() == (0.0, 0.5)


def test_scores_stand_in_the_pictures(tmp_path, drawn):
    DRAW["reconstruction"](tmp_path / "a.png")
    texts = [text.get_text() for axes in drawn[0].axes for text in axes.texts]
    assert texts == ["30.00 dB\n90.00 %"] * 3


@pytest.mark.parametrize("size", [64, 320])
def test_each_image_pixel_covers_a_whole_number_of_pixels(tmp_path, size):
    image = np.indices((size, size)).sum(axis=0) % 2
    contact_sheet(image[np.newaxis].astype(np.float32), [""], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    scale = 320 // size
    line = pixels[-100 - pixels.shape[0] // 4]
    lengths = np.diff(np.flatnonzero(np.diff(line.astype(int))))
    assert set(lengths) == {scale}


def test_the_patch_is_where_the_truth_varies_most():
    truth = np.full((64, 64), 0.5, dtype=np.float32)
    truth[28:36, 20:28] = rng.random((8, 8))
    row, column, side = most_varied_patch(truth)
    assert side == 16
    assert row <= 28
    assert row + side >= 36
    assert column <= 20
    assert column + side >= 28


@pytest.mark.parametrize("shape", [(4, 4), (9, 9), (64, 40)])
def test_the_patch_lies_inside_the_image(shape):
    row, column, side = most_varied_patch(rng.random(shape))
    assert row >= 0
    assert column >= 0
    assert row + side <= shape[0]
    assert column + side <= shape[1]


def test_blank_images_and_perfect_reconstructions_can_be_drawn(tmp_path):
    blank = np.zeros((16, 16), dtype=np.float32)
    reconstruction_figure(blank, {"a": blank}, {"a": (144.0, 100.0)}, "", tmp_path / "a.png", simulated=True)
    assert (tmp_path / "a.png").exists()


def test_curves_leave_out_what_is_missing(tmp_path, drawn):
    DRAW["curves"](tmp_path / "a.png")
    # Losses of both stages, then their validations.
    loss, _, psnr, second = drawn[0].axes
    assert loss.lines[0].get_xydata().tolist() == [[10, 0.2], [20, 0.1]]
    assert psnr.lines[0].get_xydata().tolist() == [[20, 31.0]]
    assert [text.get_text() for text in psnr.get_legend().get_texts()] == ["_one$"]
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["b", "c"]


@pytest.mark.parametrize(("metric", "heading", "worse"), [("psnr_db", "PSNR (dB)", -1), ("hfen", "HFEN", 1)])
def test_figures_of_studies_say_their_metric_and_what_is_worse_is_orange(tmp_path, drawn, metric, heading, worse):
    matrix = pd.DataFrame(
        [
            ("hand", "hand", 0.5, 0.0),
            ("hand", "foot", 0.5 + worse / 4, worse / 4),
            ("foot", "hand", 0.25, worse / 8),
            ("foot", "foot", 0.25 - worse / 8, 0.0),
        ],
        columns=["anatomy", "aspin", "value", "difference"],
    ).assign(metric=metric)
    matrix_figure(matrix, "matrix", tmp_path / "a.png")
    patients = pd.DataFrame(
        {"metric": metric, "method": ["aspin", "scratch"], "patients": ["2", "all"], "hand": [1, 2]}
    )
    adaptation_figure(patients, "few", tmp_path / "b.png")
    first, second = drawn
    title, _, unit = heading.partition(" ")
    assert first.axes[1].get_ylabel() == f"{title} minus that of the own ASPIN {unit}".strip()
    red, _, blue, _ = first.axes[0].images[0].cmap(0.0 if worse < 0 else 1.0)
    assert red > blue
    assert second.axes[0].get_ylabel() == f"test {heading}"


MANY = {f"S{n}": {f"Proposed, layer 3, a{one}": HISTORY for one in range(4 + 2 * n)} for n in range(6)}
STUDY = pd.DataFrame(
    [("psnr_db", method, count, *range(7)) for method in ("aspin", "scratch") for count in ("1", "all")],
    columns=["metric", "method", "patients", *(f"anatomy {one}" for one in range(7))],
)
MATRIX = pd.DataFrame(
    [("psnr_db", f"a{row}", f"a{column}", 37.25, row - column) for row in range(7) for column in range(7)],
    columns=["metric", "anatomy", "aspin", "value", "difference"],
)
LARGE = {
    "reconstruction": lambda path: reconstruction_figure(
        TRUTH,
        {f"w/o MD, {n}": TRUTH for n in range(8)},
        {f"w/o MD, {n}": (30.0, 90.0) for n in range(8)},
        "a slice",
        path,
        simulated=True,
    ),
    "curves": lambda path: curves_figure(MANY, "run", path),
    "adaptation": lambda path: adaptation_figure(STUDY, "few", path),
    "matrix": lambda path: matrix_figure(MATRIX, "matrix", path),
    "masks": lambda path: mask_figure(Masks(MASKS, 4.5, "columns"), "masks", path),
    "contact sheet": lambda path: contact_sheet(np.stack([TRUTH] * 24), ["validation"] * 24, path),
}


@pytest.mark.parametrize("name", LARGE)
def test_every_text_can_be_read_on_paper(tmp_path, drawn, name):
    LARGE[name](tmp_path / "a.png")
    figure = drawn[0]
    # Its widest is the page's text; its highest, 24 cm, what the style sheet gives it.
    scale = min(1, PAPER_INCHES / figure.get_figwidth(), 24 / 2.54 / figure.get_figheight())
    sizes = {text.get_fontsize() * scale for text in figure.findobj(Text) if text.get_text()}
    assert min(sizes) >= 7.9


def test_a_mask_of_rows_is_drawn_as_rows(tmp_path, drawn):
    mask_figure(Masks(MASKS[:1], 4, "rows"), "a mask", tmp_path / "a.png")
    mask_figure(Masks(MASKS[:1], 4, "columns"), "a mask", tmp_path / "b.png")
    rows, columns = (figure.axes[0].images[0].get_array() for figure in drawn)
    assert (rows == MASKS[0][:, np.newaxis]).all()
    assert (columns == MASKS[0]).all()


def test_faults(tmp_path):
    with pytest.raises(UnimriError, match=r"history of S1, hand: lacks the column\(s\) validation_psnr_db"):
        curves_figure({"S1": {"hand": HISTORY.drop(columns="validation_psnr_db")}}, "run", tmp_path / "a.png")
    with pytest.raises(ValueError, match="shape"):
        reconstruction_figure(TRUTH, {"a": TRUTH[1:]}, SCORES, "", tmp_path / "a.png", simulated=True)
    with pytest.raises(ValueError, match="no scores of a"):
        reconstruction_figure(TRUTH, {"a": TRUTH}, {}, "", tmp_path / "a.png", simulated=True)
    with pytest.raises(ValueError, match="as many titles"):
        contact_sheet(np.stack([TRUTH]), [], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
