"""Exported files give what the network gives, at sizes that they were not made from."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from unimri.core.errors import UnimriError
from unimri.deploy import export as export_module
from unimri.deploy.export import CentredCascade, export
from unimri.models.cascade import D5C5
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import lines, to_hybrid, to_image, to_kspace, undersample

SETTINGS = CascadeSettings(cascades=2, convolutions=2, width=3, last_convolution="default")
SMALLEST = CascadeSettings(cascades=1, convolutions=2, width=2, last_convolution="default")
ABOUT = {"anatomy": "brain", "acceleration": "4", "base_sha256": "0" * 64}


@pytest.fixture(scope="module")
def network() -> D5C5:
    torch.manual_seed(1)
    network = D5C5(SETTINGS, "aspin", ["brain", "knee"])
    with torch.no_grad():
        for aspin in network.conditioning.per_anatomy.values():
            aspin.gamma.uniform_(0.3, 1)
            aspin.beta.normal_(0, 0.2)
    return network.eval()


def case(shape: tuple[int, int, int], axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image in [0, 1] as complex64 (B, H, W), and masks (B, N)."""
    generator = torch.Generator().manual_seed(sum(shape))
    image = torch.rand(shape, generator=generator) * torch.exp(1j * torch.linspace(0, 2, shape[2]))
    mask = torch.rand(shape[0], shape[axis], generator=generator) < 0.4
    return image, mask


@torch.no_grad()
def expected(network: D5C5, image: torch.Tensor, mask: torch.Tensor, axis: int, anatomy: str) -> torch.Tensor:
    kept = lines(mask, axis)
    zero_filled, measured = undersample(image, kept, axis)
    total = (zero_filled.abs() * zero_filled).sum((1, 2), keepdim=True)
    phase = total / total.abs()
    return network(zero_filled / phase, measured / phase, kept, axis, anatomy)[0] * phase


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 15, 22), (3, 24, 11)])
def test_the_graph_without_ffts_is_the_network(network: D5C5, shape: tuple[int, int, int], axis: int) -> None:
    image, mask = case(shape, axis)
    # What lies in lines that were not sampled must not matter.
    kspace = torch.view_as_real(to_kspace(image)).permute(0, 3, 1, 2)
    with torch.no_grad():
        result = CentredCascade(network, "knee", axis)(kspace, mask.float())
    result = torch.complex(result[:, 0], result[:, 1])
    torch.testing.assert_close(result, expected(network, image, mask, axis, "knee"), atol=1e-5, rtol=0)
    kept = lines(mask, axis).expand(shape)
    torch.testing.assert_close(to_hybrid(result, axis)[kept], to_hybrid(image, axis)[kept], atol=1e-5, rtol=0)


def test_onnx_gives_the_networks_image_at_other_sizes(network: D5C5, tmp_path: Path) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "brain.onnx"
    said = export(network, "brain", -2, file, ABOUT, size=20)
    assert "onnxruntime" in said
    assert "1x20x20" in said

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in [(1, 32, 32), (4, 21, 9)]:
        image, mask = case(shape, -2)
        kspace = torch.view_as_real(to_kspace(image)).permute(0, 3, 1, 2).contiguous().numpy()
        (result,) = session.run(None, {"kspace": kspace, "mask": mask.float().numpy()})
        wanted = expected(network, image, mask, -2, "brain").numpy()
        np.testing.assert_allclose(result[:, 0] + 1j * result[:, 1], wanted, atol=1e-4, rtol=0)
        assert np.abs(result[:, 0] + 1j * result[:, 1] - to_image(to_kspace(image)).numpy()).max() > 1e-2

    model = onnx.load(file)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert ABOUT.items() <= properties.items()
    assert "rows" in properties["input_mask"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in shape] == ["batch", 2, "height", "width"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert _folders() not in file.read_bytes()


def test_a_torch_program_says_what_it_is_and_nothing_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "plain.pt2"
    assert "torch.export" in export(D5C5(SMALLEST), None, -1, file, ABOUT, size=20)
    with zipfile.ZipFile(file) as archive:
        content = {Path(name).name: archive.read(name) for name in archive.namelist()}
    about = json.loads(content["about.json"])
    assert ABOUT.items() <= about.items()
    assert not [name for name, part in content.items() if _folders() in part]


def _folders() -> bytes:
    return str(Path(export_module.__file__).parents[1]).encode()


class Forgetful(D5C5):
    """Leaves data consistency out, as a network of another kind may."""

    def forward(self, zero_filled, measured, sampled, axis, anatomy=None, layer=None):
        image, activations = super().forward(zero_filled, measured, sampled, axis, anatomy, layer)
        return 1.001 * image, activations


def test_a_file_that_is_not_close_is_not_written(tmp_path: Path) -> None:
    old = tmp_path / "x.pt2"
    old.write_bytes(b"what was there")
    with pytest.raises(UnimriError, match=r"differs from PyTorch by .*allowed: 1e-04"):
        export(Forgetful(SMALLEST, "aspin", ["brain"]), "brain", -1, old, {}, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt2"]
    assert old.read_bytes() == b"what was there"


def test_faults_name_the_mend(network: D5C5, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnimriError, match=r"x.pt: .*choose .onnx or .pt2"):
        export(network, "brain", -1, tmp_path / "x.pt", {})
    with pytest.raises(UnimriError, match="known: brain, knee"):
        export(network, "hip", -1, tmp_path / "x.pt2", {})
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    with pytest.raises(UnimriError, match=r"pip install 'universal-mri-reconstruction\[export\]'"):
        export(network, "brain", -1, tmp_path / "x.onnx", {})
    assert not list(tmp_path.iterdir())
