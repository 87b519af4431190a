"""A ball of gel with a smaller one inside, as scanners are tested with."""

import numpy as np

from unimri.data.phantoms.phantom import Canvas, Phantom, Plane, Pose, signals_by_contrast
from unimri.data.phantoms.shapes import dome, ellipse


class Ball(Phantom):
    layout = "decathlon"
    tissues = signals_by_contrast(("T1", "T2"), {"gel": (0.6, 0.9), "core": (1.0, 0.3)})
    field_of_view = 200.0
    coverage = (-60.0, 60.0)

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.1, shift=5, stretch=0.05, bend=1.0, wavelength=90)
        self.core = (rng.uniform(-20, 20), rng.uniform(-20, 20))

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        signal, canvas = self.signals(contrast), Canvas(plane)
        radius = 80 * dome(plane.z, centre=0, half=80)
        canvas.fill(ellipse((0, 0), radius, radius), signal["gel"], label=1)
        if abs(plane.z) < 30:
            inner = 30 * dome(plane.z, centre=0, half=30)
            canvas.fill(ellipse(self.core, inner, inner), signal["core"], label=2)
        return canvas
