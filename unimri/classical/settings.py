"""Settings of the classical methods, and what tuning leaves."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import pywt
from pydantic import Field, field_validator, model_validator

from unimri.core.errors import UnimriError
from unimri.core.settings import Settings
from unimri.physics.drawing import AcquisitionSettings

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Classical(Settings):
    weights: list[Weight] = Field(
        [1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
        min_length=2,
        description="weights of the penalty to try, rising; tuning goes on in their ratio when the best is at an end",
    )

    @field_validator("weights")
    @classmethod
    def _rising(cls, weights: list[float]) -> list[float]:
        if any(left >= right for left, right in pairwise(weights)):
            raise ValueError("must rise")
        return weights


class ConjugateFilling(Settings):
    """The least norm of an image without phase: nothing is tuned."""

    method: Literal["conjugate_filling"] = "conjugate_filling"

    @property
    def weights(self) -> list[float]:
        """None: there is no penalty."""
        return []


class TotalVariation(_Classical):
    """Isotropic total variation."""

    method: Literal["total_variation"] = "total_variation"
    iterations: int = Field(40, ge=1, description="iterations of ADMM")


class RealTotalVariation(_Classical):
    """Isotropic total variation of an image without phase."""

    method: Literal["total_variation_real"] = "total_variation_real"
    iterations: int = Field(40, ge=1, description="iterations of ADMM")


class Wavelet(_Classical):
    """L1 norm of undecimated wavelet coefficients."""

    method: Literal["wavelet"] = "wavelet"
    iterations: int = Field(30, ge=1, description="iterations of ADMM")
    wavelet: str = Field("haar", description="PyWavelets' name of an orthogonal wavelet")
    levels: int = Field(3, ge=1, le=8, description="levels of the transform")

    @field_validator("wavelet")
    @classmethod
    def _orthogonal(cls, name: str) -> str:
        if name not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(name).orthogonal:
            raise ValueError("no orthogonal wavelet; allowed: haar, db2, sym4, coif1, ...")
        return name


class CgSense(_Classical):
    """SENSE by conjugate gradients (Pruessmann et al. 2001), with the squared norm of the image as penalty."""

    method: Literal["cg_sense"] = "cg_sense"
    iterations: int = Field(30, ge=1, description="iterations of conjugate gradients")


class WaveletSense(_Classical):
    """SENSE with the L1 norm of wavelet coefficients (Lustig et al. 2007)."""

    method: Literal["wavelet_sense"] = "wavelet_sense"
    iterations: int = Field(100, ge=1, description="iterations of FISTA")
    wavelet: str = Field("db4", description="PyWavelets' name of a wavelet")


class TotalVariationSense(_Classical):
    """SENSE with total variation (Block et al. 2007), of the differences along each axis."""

    method: Literal["total_variation_sense"] = "total_variation_sense"
    iterations: int = Field(100, ge=1, description="iterations of the primal-dual hybrid gradient method")


Sense = CgSense | WaveletSense | TotalVariationSense
"""Those that know of several coils."""

Penalised = TotalVariation | RealTotalVariation | Wavelet
"""Those that have a penalty."""

Classical = ConjugateFilling | Penalised | Sense
ClassicalMethod = Annotated[Classical, Field(discriminator="method")]


class ClassicalSettings(Settings):
    """The classical methods; which of them are rows of Table 1 says `studies.classical`."""

    total_variation: TotalVariation = Field(default_factory=TotalVariation, description="of the method of that name")
    total_variation_real: RealTotalVariation = Field(
        default_factory=RealTotalVariation, description="of the method of that name"
    )
    wavelet: Wavelet = Field(default_factory=Wavelet, description="of the method of that name")
    cg_sense: CgSense = Field(default_factory=CgSense, description="of the method of that name")
    wavelet_sense: WaveletSense = Field(default_factory=WaveletSense, description="of the method of that name")
    total_variation_sense: TotalVariationSense = Field(
        default_factory=TotalVariationSense, description="of the method of that name"
    )
    validation_slices: int = Field(
        24, ge=1, description="tune on at most this many validation slices of an anatomy, evenly spaced"
    )

    def of(self, method: str) -> Classical:
        """Settings of one method.

        Raises
        ------
        UnimriError : when it is none of the classical ones.
        """
        known = (
            ConjugateFilling(),
            self.total_variation,
            self.total_variation_real,
            self.wavelet,
            self.cg_sense,
            self.wavelet_sense,
            self.total_variation_sense,
        )
        for settings in known:
            if settings.method == method:
                return settings
        allowed = ", ".join(settings.method for settings in known)
        raise UnimriError(f"method {method!r} is not classical; allowed: {allowed}")


class Tuned(Settings):
    """A classical method whose weight is chosen: what reconstruction needs, and what it was made from.

    `tried` has weight and mean PSNR in dB of each attempt, in order; weight 0 is zero filling. `inputs` has SHA-256 of
    manifest and mask.
    """

    settings: ClassicalMethod
    weight: float = Field(ge=0, allow_inf_nan=False)
    psnr_db: float
    tried: list[tuple[float, float]]
    anatomy: str
    slices: int
    metrics: dict[str, Any]
    acquisition: AcquisitionSettings | None = None
    inputs: dict[str, str]
    code: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _was_tried(self) -> Self:
        if self.weight not in [weight for weight, _ in self.tried]:
            raise ValueError(f"weight {self.weight:g} is none of those tried")
        return self
