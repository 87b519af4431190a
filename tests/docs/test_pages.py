"""The site of the documentation: built with warnings as errors, whole, and without anything from elsewhere."""

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from blocks import PAGES, ROOT, SITE
from typer.main import get_command

from unimri.cli.__main__ import app
from unimri.config import Config
from unimri.core.settings import Settings
from unimri.workflow.jobs import Site

API = {
    "unimri": ["load", "load_kspace"],
    "unimri.physics.acquisition": ["Acquisition", "Acquisition.cropped"],
    "unimri.deploy.model": ["Model", "Model.reconstruct"],
    "unimri.physics.fourier": ["to_kspace", "to_image", "lines", "undersample", "enforce_consistency"],
    "unimri.physics.mask": ["PHASE_AXES"],
    "unimri.physics.masks": ["Gaussian1D", "Masks", "draw_masks", "save_masks", "load_masks"],
    "unimri.models.cascade": ["D5C5"],
    "unimri.models.conditioning.base": ["Conditioning", "Conditioning.add", "Condition", "CascadeCondition"],
    "unimri.models.folder": ["load_model", "save_aspin", "insert_aspin"],
    "unimri.data.reader": ["Reader", "Reader.find", "Reader.read"],
    "unimri.io.volume": ["Images", "Scan"],
    "unimri.data.store": ["PreparedData", "SliceSet"],
    "unimri.metrics.base": ["MetricSettings"],
    "unimri.metrics.score": ["score_slice"],
    "unimri.metrics.psnr": ["psnr"],
    "unimri.core.errors": ["UnimriError"],
}
# What follows "unimri." on a page and is no module: ends of files, groups of entry points.
OTHER_NAMES = {"key", "sif", "tar", "yaml", "backbones", "masks", "phantoms", "readers"}
# Attributes by which a page makes a browser fetch something by itself. A link that a reader may follow is none.
FETCHED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "object": "data"}


class Page(HTMLParser):
    """What a page fetches, and the names that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if value := found.get(FETCHED.get(tag, "")):
            self.fetched.append(value)
        if name := found.get("id"):
            self.names.add(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    # Material announces another program in each build.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr
    return folder


def page(site: Path, name: str) -> Page:
    return Page((site / name).read_text(encoding="utf-8"))


def test_every_page_is_there_and_in_the_contents(site):
    pages = {path.relative_to(ROOT / "docs") for path in SITE}
    assert {path.with_suffix(".html") for path in pages} <= {path.relative_to(site) for path in site.rglob("*.html")}
    contents = yaml.safe_load(re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text()))["nav"]
    assert set(map(str, pages)) == set(re.findall(r"[\w/-]+\.md", str(contents)))
    assert not list(site.glob("_site*"))


def test_pages_fetch_nothing_from_elsewhere_and_what_they_fetch_is_there(site):
    for path in site.rglob("*.html"):
        for address in page(site, str(path.relative_to(site))).fetched:
            assert not re.match(r"(https?:)?//", address), f"{path.name}: {address}"
            # The page that says that there is none is served below any address.
            if path.name != "404.html" and not address.startswith("data:"):
                assert (path.parent / re.split("[?#]", address)[0]).exists(), f"{path.name}: {address}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import\s*|url\(\s*)[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path.name


def test_each_command_is_described(site):
    named = page(site, "reference/commands.html").names
    for name, command in get_command(app).commands.items():
        assert f"unimri-{name}" in named
        assert all(f"unimri-{name}-{below}" in named for below in getattr(command, "commands", {}))


def test_each_setting_is_described_with_type_and_default(site):
    text = (site / "reference/configuration.html").read_text(encoding="utf-8")
    for found in (*settings_below(Config), Site):
        for name, field in found.model_fields.items():
            assert f"<td><code>{name}</code></td>" in text
            # A kind's name speaks for itself.
            assert field.description or get_origin(field.annotation) is Literal, f"{found.__name__}.{name}"
    assert "<td><code>1.0e-06</code></td>" in text


def settings_below(kind: Any) -> set[type[Settings]]:
    """The settings that a type holds, at any depth."""
    if not inspect.isclass(kind) or not issubclass(kind, Settings):
        return set().union(*map(settings_below, get_args(kind)))
    return {kind}.union(*(settings_below(field.annotation) for field in kind.model_fields.values()))


def test_each_public_name_is_described(site):
    named = page(site, "reference/api.html").names
    assert not [
        f"{module}.{name}" for module, names in API.items() for name in names if f"{module}.{name}" not in named
    ]


@pytest.mark.parametrize("place", PAGES, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_what_a_page_names_of_the_code_is_there(place):
    text = place.read_text(encoding="utf-8")
    files = re.findall(r"(?<![\w/.-])(?:unimri|benchmarks|tests|workflow|examples)/[\w./-]*\w", text)
    assert not [name for name in files if not (ROOT / name).exists()]
    for name in set(re.findall(r"\bunimri(?:\.[A-Za-z_]\w*)+", text)):
        if name.split(".")[1] not in OTHER_NAMES:
            assert pkgutil.resolve_name(name) is not None


def test_parameters_have_types_and_what_they_are(site):
    text = re.sub(r"<[^>]+>", " ", (site / "reference/api.html").read_text(encoding="utf-8"))
    described = " ".join(text[text.index("Retrospective undersampling without noise") :].split())
    assert "image ( Tensor ) – (B, H, W) real or complex." in described
    assert "measured ( Tensor ) – complex (B, H, W), hybrid k-space, zero where not sampled." in described


def test_equations_are_mathml(site):
    text = (site / "why/how-it-works.html").read_text(encoding="utf-8")
    source = (ROOT / "docs/why/how-it-works.md").read_text(encoding="utf-8")
    assert text.count("<math") == source.count("```math") + source.count("$`")
    assert "$<code>" not in text


def test_a_broken_link_fails_the_build(tmp_path):
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[nowhere](missing.md)\n")
    kept = {key: config[key] for key in ("site_name", "strict", "validation")}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(kept))
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert built.returncode != 0
    assert "missing.md" in built.stderr
