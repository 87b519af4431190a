import pytest
import torch

from unimri.training.fingerprint import resolve


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({"avx512_f": True}, "float32")],
)
def test_auto_is_bfloat16_only_where_the_processor_has_it(experiment, monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    task = experiment.task("independent")
    automatic = task.model_copy(update={"optimisation": task.optimisation.model_copy(update={"precision": "auto"})})
    assert resolve(automatic).optimisation.precision == precision
    assert resolve(task) == task


def test_auto_is_a_gpu_only_where_there_is_one(experiment, monkeypatch):
    task = experiment.task("independent").model_copy(update={"device": "auto"})
    for available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert resolve(task).device == device
