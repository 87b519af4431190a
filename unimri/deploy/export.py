"""A network with data consistency as one file for other programs: ONNX, or a program of `torch.export`.

The exported graph takes k-space as scanners' files have it and gives the image; transforms, mask, constant phase, ASPIN
of one anatomy and data consistency are inside. Few runtimes have a complex FFT, so the graph has none: a transform is a
product with the real and imaginary part of its matrix, which the graph makes from the size of its input. Batch, height
and width may be any.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.core.provenance import DISTRIBUTION
from unimri.models.cascade import D5C5
from unimri.physics.fourier import lines, to_image, to_kspace, undersample
from unimri.physics.phase import constant_phase

TOLERANCE = 1e-4
"""Largest difference to PyTorch's own result that an export may have, on images in [0, 1]."""

CONVENTIONS = {
    "input_kspace": "float32 (B, 2, H, W), real and imaginary part; centred orthonormal 2D Fourier transform, DC at "
    "H // 2, W // 2; lines that the mask does not keep are ignored",
    "input_scale": "k-space of an image whose fully sampled magnitude is in [0, 1]: divide by the volume's maximum, or "
    "by an estimate of it such as the maximum of the zero-filled image; multiply the result by the same number",
    "output_image": "float32 (B, 2, H, W), real and imaginary part, on the scale of the input",
}
"""What an exported file says of its inputs and outputs. `input_mask` is added; the caller's `about` goes before."""

_OPSET = 18
# Of packages that are installed beside unimri, by the end of a file's name.
_LIBRARIES = {".onnx": ("onnx", "onnxscript", "onnxruntime")}
_Run = Callable[[Tensor, Tensor], Tensor]


class CentredCascade(nn.Module):
    """Blocks and data consistency of a network, from centred k-space to image, in real numbers.

    Parameters
    ----------
    network : whose blocks to use.
    anatomy : whose ASPIN to use; a plain network ignores it.
    axis : phase-encoding axis, -1 or -2.
    """

    def __init__(self, network: D5C5, anatomy: str | None, axis: int) -> None:
        super().__init__()
        self.blocks, self.condition, self.axis = network.blocks, network.conditioning.of(anatomy), axis

    def forward(self, kspace: Tensor, mask: Tensor) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        kspace : float32 (B, 2, H, W), centred.
        mask : float32 (B, N), 1 for a line that is kept and 0 for others, DC at N // 2; N is W for axis -1, else H.

        Returns
        -------
        float32 (B, 2, H, W).
        """
        phase, readout = self.axis, -3 - self.axis
        cosines, sines = _transform(kspace.shape[phase])
        kept = mask[:, None, None, :] if phase == -1 else mask[:, None, :, None]
        measured = _apply(kspace * kept, *_transform(kspace.shape[readout]), readout, forward=False)
        image = _apply(measured, cosines, sines, phase, forward=False)
        turn = _constant_phase(image)
        back = turn * torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1)
        measured, image = _product(measured, back), _product(image, back)
        for number, block in enumerate(self.blocks):
            refined, _ = block(image, self.condition.of_cascade(number), None)
            spectrum = _apply(refined, cosines, sines, phase, forward=True)
            image = _apply(torch.where(kept > 0.5, measured, spectrum), cosines, sines, phase, forward=False)
        return _product(image, turn)


def _constant_phase(image: Tensor) -> Tensor:
    """`unimri.physics.phase.constant_phase` of (B, 2, H, W): (B, 2, 1, 1)."""
    magnitude = image.square().sum(1, keepdim=True).sqrt()
    total = (magnitude * image).sum((2, 3), keepdim=True)
    size = total.square().sum(1, keepdim=True).sqrt()
    return torch.where(size > 0, total / size.clamp_min(1e-30), torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1))


def _product(channels: Tensor, number: Tensor) -> Tensor:
    """The product of complex numbers, (B, 2, H, W) times (B, 2, 1, 1)."""
    real, imaginary = number[:, :1], number[:, 1:]
    return torch.cat(
        [
            channels[:, :1] * real - channels[:, 1:] * imaginary,
            channels[:, 1:] * real + channels[:, :1] * imaginary,
        ],
        dim=1,
    )


def _transform(size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the centred orthonormal Fourier transform: float32 (N, N) each, symmetric."""
    # As tensors: what is computed with a Python number that stands for any size, ONNX cannot have everywhere.
    count = torch.full((1, 1), size)
    place = torch.arange(size) - size // 2
    # Whole turns are taken out, and float64 is used, because the rounding of a matrix adds up over all its products.
    turns = torch.remainder(place[:, None] * place, count).to(torch.float64)
    angle, scale = turns * (2 * torch.pi) / count, count.to(torch.float64).rsqrt()
    return (angle.cos() * scale).to(torch.float32), (angle.sin() * scale).to(torch.float32)


def _apply(channels: Tensor, cosines: Tensor, sines: Tensor, axis: int, forward: bool) -> Tensor:
    """Transform (B, 2, H, W) along an axis, with exp(-i angle) when `forward`, else with exp(i angle)."""
    if axis == -1:
        even, odd = channels @ cosines, channels @ sines
    else:
        even, odd = cosines @ channels, sines @ channels
    if not forward:
        odd = -odd
    return torch.stack([even[:, 0] + odd[:, 1], even[:, 1] - odd[:, 0]], dim=1)


def export(
    network: D5C5, anatomy: str | None, axis: int, output: Path, about: Mapping[str, str], size: int = 64
) -> str:
    """Write a network with one anatomy's ASPIN as one file, after checking it against PyTorch.

    `.onnx` needs the libraries of the extra `export`, opset 18, one file, weights included. `.pt2` is what
    `torch.export.load` reads: that function unpickles what a file asks it to, so a `.pt2` is for the use of those who
    made it, and unimri itself never loads one.

    Parameters
    ----------
    network : stays as it is. One whose `forward` is not that of `D5C5` fails the check.
    anatomy : whose ASPIN; None for a plain network.
    axis : phase-encoding axis, -1 or -2.
    output : `.onnx` or `.pt2`, written whole or not at all.
    about : what the file's metadata say of the model, such as anatomy, acceleration and the digest of the base. The
        keys of `CONVENTIONS` are added where they are missing.
    size : height and width, in pixels, of one of the slices that the check is made with; the others are odd and not
        square. At least 16.

    Returns
    -------
    One line: what was checked, and how close it came.

    Raises
    ------
    UnimriError : when the suffix is another, a library is missing, the network does not know the anatomy, the graph
        cannot be exported, or a result differs from PyTorch's by more than `TOLERANCE`.
    """
    if output.suffix not in (".onnx", ".pt2"):
        raise UnimriError(f"{output}: no format has this suffix; choose .onnx or .pt2")
    phase = "columns: N = W" if axis == -1 else "rows: N = H"
    mask = f"float32 (B, N), 1 for a phase-encoding line that is kept, 0 for others, DC at N // 2; lines are {phase}"
    described = {**CONVENTIONS, "input_mask": mask, "anatomy": anatomy or "any", **about}
    own = copy.deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(False)
    own.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    write = _write_onnx if output.suffix == ".onnx" else _write_torch
    if missing := [name for name in _LIBRARIES.get(output.suffix, ()) if find_spec(name) is None]:
        raise UnimriError(f"{output}: {missing[0]} is not installed; pip install '{DISTRIBUTION}[export]'")
    with replacing(output) as temporary:
        try:
            run, runtime = write(_traced(own, anatomy, axis), axis, temporary, described)
        except OSError:
            raise
        except Exception as fault:
            reason = " ".join(str(fault).split())[:200]
            raise UnimriError(
                f"{output}: the network cannot be exported ({type(fault).__name__}: {reason}); its blocks must not "
                "depend on the size of a slice in a way that torch.export cannot follow"
            ) from fault
        return _check(own, anatomy, axis, run, output, size, runtime)


def _write_onnx(program: ExportedProgram, axis: int, path: Path, about: Mapping[str, str]) -> tuple[_Run, str]:
    """Write to ONNX; give what runs the file on disk, and the runtime's name."""
    import onnx
    import onnxruntime

    with _quiet():
        exported = torch.onnx.export(
            program, input_names=["kspace", "mask"], output_names=["image"], opset_version=_OPSET, verbose=False
        )
    assert exported is not None
    model = exported.model_proto
    _tidy(model, axis)
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(kspace: Tensor, mask: Tensor) -> Tensor:
        (image,) = session.run(["image"], {"kspace": kspace.numpy(), "mask": mask.numpy()})
        return torch.from_numpy(image)

    return run, f"onnxruntime {onnxruntime.__version__}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of libraries that it does not find, and of its own code."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            yield
    finally:
        log.setLevel(level)


def _tidy(model: Any, axis: int) -> None:
    """Give the sizes of an ONNX model's inputs and outputs names, and take out what was noted of its making."""
    graph = model.graph
    sizes = [dimension for value in graph.input for dimension in value.type.tensor_type.shape.dim]
    named = zip(sizes, ("batch", "", "height", "width", "batch", "width" if axis == -1 else "height"), strict=True)
    names = {size.dim_param: name for size, name in named if size.dim_param}
    # Other sizes are not needed, and runtimes work them out.
    graph.ClearField("value_info")
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = names[size.dim_param]
    for part in (graph, *graph.node, *graph.initializer):
        # Lines of source code, with the folders of the machine.
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _write_torch(program: ExportedProgram, axis: int, path: Path, about: Mapping[str, str]) -> tuple[_Run, str]:
    """Write by `torch.export`, `about` as its extra file about.json; give the program in memory to be run.

    The file is not what is checked: loading it could unpickle.
    """
    torch.export.save(program, path, extra_files={"about.json": json.dumps(dict(about), sort_keys=True)})
    return program.module(), f"torch.export {torch.__version__}"


def _traced(network: D5C5, anatomy: str | None, axis: int) -> ExportedProgram:
    module = CentredCascade(network, anatomy, axis).eval()
    batch, height, width = Dim("batch", min=1), Dim("height", min=8), Dim("width", min=8)
    sizes = {"kspace": {0: batch, 2: height, 3: width}, "mask": {0: batch, 1: width if axis == -1 else height}}
    # No two of them are equal, or torch takes them for one.
    example = torch.zeros(2, 2, 17, 23), torch.zeros(2, 23 if axis == -1 else 17)
    program = torch.export.export(module, example, dynamic_shapes=sizes, strict=False)
    for node in program.graph.nodes:
        # Lines of source code, with the folders of the machine.
        node.meta.pop("stack_trace", None)
    return program


@torch.no_grad()
def _check(network: D5C5, anatomy: str | None, axis: int, run: _Run, output: Path, size: int, runtime: str) -> str:
    """Compare with the network itself, whose transforms are FFTs."""
    shapes, largest = [], 0.0
    for kspace, mask in _cases(max(size, 16), axis):
        kept = lines(mask > 0.5, axis)
        zero_filled, measured = undersample(to_image(torch.complex(kspace[:, 0], kspace[:, 1])), kept, axis)
        turn = constant_phase(zero_filled)
        expected, _ = network(zero_filled * turn.conj(), measured * turn.conj(), kept, axis, anatomy)
        image = run(kspace, mask)
        difference = (torch.complex(image[:, 0], image[:, 1]) - expected * turn).abs().max().item()
        # A NaN is larger than anything.
        largest = max(largest, difference if difference == difference else float("inf"))
        shapes.append("x".join(map(str, (len(kspace), *kspace.shape[2:]))))
    if largest > TOLERANCE:
        raise UnimriError(
            f"{output}: not written: it differs from PyTorch by {largest:.1e} on images in [0, 1], allowed: "
            f"{TOLERANCE:.0e}; use the network in PyTorch"
        )
    return (
        f"{output}: checked against PyTorch in {runtime} on slices x rows x columns {', '.join(shapes)}: largest "
        f"difference {largest:.1e} on images in [0, 1], allowed {TOLERANCE:.0e}"
    )


def _cases(size: int, axis: int) -> Iterator[tuple[Tensor, Tensor]]:
    """k-space (B, 2, H, W) and masks (B, N): of the given size, odd, not square, and small."""
    rng = np.random.default_rng(0)
    for batch, height, width in ((1, size, size), (3, size // 2 + 1 | 1, size - 3), (2, size - 1 & ~1, size // 2 | 1)):
        images = np.stack([_picture(rng, height, width) for _ in range(batch)])
        kspace = torch.view_as_real(to_kspace(torch.from_numpy(images))).permute(0, 3, 1, 2).contiguous()
        count = width if axis == -1 else height
        mask = torch.from_numpy((rng.random((batch, count)) < 0.3).astype(np.float32))
        mask[:, count // 2] = 1
        yield kspace, mask


def _picture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.complex64]:
    """Bodies with edges and noise, and a phase that turns slowly; magnitude in [0, 1]."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    picture = np.zeros((height, width))
    for _ in range(6):
        x, y, rx, ry = rng.uniform(-0.5, 0.5, 2).tolist() + rng.uniform(0.1, 0.6, 2).tolist()
        picture[((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 < 1] = rng.uniform(0.1, 1)
    picture = np.abs(picture + 0.03 * rng.standard_normal(picture.shape))
    phase = rng.uniform(-1, 1, 3) @ np.stack([rows.ravel(), columns.ravel(), np.ones(rows.size)])
    turned = picture / picture.max() * np.exp(1j * phase.reshape(rows.shape))
    result: NDArray[np.complex64] = turned.astype(np.complex64)
    return result
