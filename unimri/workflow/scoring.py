"""What is reconstructed of test splits: by every method as trained, and under the studies' conditions."""

from collections.abc import Iterator
from typing import Any

from unimri.evaluation.reconstructions import Reconstruction, write_list
from unimri.evaluation.scores import after_learning, with_aspin_of
from unimri.metrics.score import AS_TRAINED
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.trainings import ALL_PATIENTS

PROPOSED, FINETUNED = "proposed", f"finetuned/{ALL_PATIENTS}"


class PlannedReconstructions:
    """Those of one anatomy's test split for one sampling.

    Attributes
    ----------
    reconstructions : seed by seed, the methods of Tables 1 and S2 first.
    files : that they are made from beside the prepared data and the mask of the trainings: trained networks.
    """

    def __init__(self, plan: WorkflowPlan, sampling: str, anatomy: str) -> None:
        self._plan, self._sampling, self._anatomy = plan, sampling, anatomy
        found = [one for seed in plan.seeds for one in self._of_seed(seed)]
        self.reconstructions = [one for one, _ in found]
        self.files = list(dict.fromkeys(file for _, files in found for file in files))

    @property
    def listed(self) -> str:
        """The reconstructions as JSON."""
        return write_list(self.reconstructions)

    def _of_seed(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """Each reconstruction with the files of its model."""
        plan, main = self._plan, self._sampling in self._plan.samplings
        for method in [*plan.methods, *(plan.layer_methods if main else [])]:
            yield self._of_method(method, seed, AS_TRAINED)
        if not main:
            return
        studies = plan.studies()
        if "robustness" in studies:
            yield from self._robustness(seed)
        if "aspin_matrix" in studies:
            yield from self._matrix(seed)
        if self._anatomy in plan.config.base:
            yield from self._forgetting(seed)
        elif "adaptation" in studies:
            for how, patients, new in plan.few():
                if new == self._anatomy:
                    model, aspin, files = plan.few_model(how, patients, self._sampling, seed, new)
                    yield _reconstruction(f"{how}/{patients}", seed, AS_TRAINED, model, aspin=aspin), files

    def _robustness(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """Under other masks and with noise. Of a method that Table 1 does not have, as trained too."""
        plan, robustness = self._plan, self._plan.config.studies.robustness
        own = plan.config.samplings[self._sampling]
        masks = [f"{acceleration:g}x" for acceleration in robustness.accelerations]
        masks += [f"{own.acceleration:g}x-{mask.name}" for mask in robustness.masks]
        samplings = [plan.config.samplings[name] for name in masks if name != self._sampling]
        conditions: dict[str, dict[str, Any]] = {
            one.name: {"mask": {"acceleration": one.acceleration, "mask": one.mask}} for one in samplings
        }
        conditions |= {f"noise {noise:g}": {"noise": noise} for noise in robustness.noise}
        for method in robustness.methods:
            tried = conditions if method in plan.methods else {AS_TRAINED: {}} | conditions
            for name, condition in tried.items():
                yield self._of_method(method, seed, name, slices=plan.config.studies.slices, **condition)

    def _matrix(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """With the other anatomies' ASPINs."""
        plan = self._plan
        model = plan.model(PROPOSED, self._sampling, seed, self._anatomy)
        for other in plan.anatomies:
            if other != self._anatomy:
                files = plan.model_files(PROPOSED, self._sampling, seed, other)
                how = {"aspin": f"{model}/aspin/{other}.safetensors", "slices": plan.config.studies.slices}
                yield _reconstruction(PROPOSED, seed, with_aspin_of(other), model, **how), files

    def _forgetting(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """A base anatomy after new ones were learnt: by S4, and by fine-tuning the whole network."""
        plan = self._plan
        for new in plan.config.new:
            one, files = self._of_method(PROPOSED, seed, after_learning(new), added=[new], before=PROPOSED)
            yield one, [*files, *plan.model_files(PROPOSED, self._sampling, seed, new)]
        for how, patients, new in plan.few():
            if f"{how}/{patients}" == FINETUNED:
                model, _, _ = plan.few_model(how, patients, self._sampling, seed, new)
                own = ("model.safetensors", "model.json", f"aspin/{self._anatomy}.safetensors")
                one = _reconstruction(FINETUNED, seed, after_learning(new), model, before=PROPOSED)
                yield one, [f"{model}/{file}" for file in own]

    def _of_method(self, method: str, seed: str, condition: str, **how: Any) -> tuple[Reconstruction, list[str]]:
        place = (method, self._sampling, seed, self._anatomy)
        model, files = self._plan.model(*place), self._plan.model_files(*place)
        return _reconstruction(method, seed, condition, model, **how), files


def _reconstruction(method: str, seed: str, condition: str, model: str | None, **how: Any) -> Reconstruction:
    """The reconstruction, of paths as text."""
    named = {"method": method, "seed": seed, "condition": condition, "model": model}
    return Reconstruction.model_validate(named | how)
