"""A head in axial slices: scalp, skull, folded cortex, white matter, ventricles, deep nuclei, cerebellum."""

import numpy as np

from unimri.data.phantoms.phantom import Canvas, Field, Phantom, Plane, Pose
from unimri.data.phantoms.shapes import between, closed_curve, dome, ellipse, scaled, wobbled


class Brain(Phantom, table="brain.toml"):
    """A head, nose up, from the temporal lobes (z = -30 mm) to the crown (z = 60 mm)."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.08, shift=5, stretch=0.04, bend=2.0, wavelength=110)
        self.egg = rng.uniform(0.02, 0.10)
        self.scalp = rng.uniform(4, 8)
        self.skull = rng.uniform(5, 8)
        self.atrophy = rng.uniform(0.6, 1.5)
        self.ventricles = rng.uniform(0.75, 1.45)
        self.noise = self.draw_noise(rng)
        self.lesions = [
            (rng.choice([-1, 1]) * rng.uniform(14, 38), rng.uniform(-42, 48), rng.uniform(0, 40), rng.uniform(1.5, 4.5))
            for _ in range(rng.integers(0, 12))
        ]
        self.tumour = (
            (rng.choice([-1, 1]) * rng.uniform(22, 38), rng.uniform(-30, 35), rng.uniform(5, 40), rng.uniform(9, 17))
            if rng.random() < 0.3
            else None
        )
        self.shape_seed = int(rng.integers(2**32))

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw an axial slice; see `Phantom.draw`."""
        signal = self.signals(contrast)
        canvas = Canvas(plane)
        x, y, z = plane.x, plane.y, plane.z
        grain, patches = self.noise["grain"].on(plane), self.noise["patches"].on(plane)
        contour = self.noise["contour"].on(plane)

        size = dome(z, 0, 92) if z > 0 else 1.0
        rx, ry = 74 * size, 93 * size
        narrowing = 1 + self.egg * y / ry
        angle = np.arctan2(y / ry, x / rx)
        depth = (1 - np.hypot(x / (rx * narrowing), y / ry)) * np.float32((rx + ry) / 2) + contour * np.float32(0.7)

        self._paint_coverings(canvas, signal, depth, grain)
        # The crown is cut ever more obliquely, so skull and scalp look thicker there.
        slant = 1 / max(size, 0.45)
        surface = depth - np.float32((self.scalp + self.skull) * slant + 1.5 * self.atrophy)
        self._paint_cerebrum(canvas, signal, surface, angle, grain, patches)
        if z < 30:
            self._paint_depths(canvas, signal, grain)
        self._paint_ventricles(canvas, signal, grain)
        if z < -8:
            self._paint_hindbrain(canvas, signal, grain, surface)
        self._paint_lesions(canvas, signal, contrast, grain)
        return canvas

    def _paint_coverings(self, canvas: Canvas, signal: dict[str, float], depth: Field, grain: Field) -> None:
        plane = canvas.plane
        slant = 1 / max(dome(max(plane.z, 0), 0, 92), 0.45)
        scalp, skull = self.scalp * slant, self.skull * slant
        canvas.paint(plane.inside(depth), signal["skin"])
        fat = signal["fat"] * (1 + 0.12 * grain)
        canvas.paint(plane.inside(depth - np.float32(1.6)), fat)
        # The temporal muscles lie between scalp and skull at the sides, low in the head.
        if plane.z < 25:
            thickness = between(plane.z, (-30, 10, 25), (9, 5, 0)) * np.exp(-(((plane.y + 25) / 28) ** 2))
            muscle = plane.inside(depth - np.float32(scalp) + thickness) * plane.inside(
                np.abs(plane.x) - np.float32(40), 10
            )
            canvas.paint(muscle, signal["muscle"] * (1 + 0.15 * grain))
        canvas.paint(plane.inside(depth - np.float32(scalp)), signal["bone"])
        diploe = plane.inside(np.float32(skull * 0.24) - np.abs(depth - np.float32(scalp + skull * 0.5)))
        canvas.paint(diploe, signal["marrow"] * (1 + 0.25 * grain))
        canvas.paint(plane.inside(depth - np.float32(scalp + skull)), signal["csf"])

    def _paint_cerebrum(
        self, canvas: Canvas, signal: dict[str, float], surface: Field, angle: Field, grain: Field, patches: Field
    ) -> None:
        x, y = canvas.plane.x, canvas.plane.y
        plane, z = canvas.plane, canvas.plane.z
        falx = np.abs(x + patches * np.float32(0.9)) - np.float32(0.5 * self.atrophy)
        # Corpus callosum and deep grey matter join the halves: there the cleft between them has a gap.
        reach = between(z, (-30, -12, 5, 30, 38), (10, 24, 36, 30, -99))
        if reach > 0:
            falx = np.maximum(falx, np.float32(reach) - np.abs(y - np.float32(2)))
        pia = np.minimum(surface, falx)

        # Folds run inwards from the surface: noise that is long in depth and short along the circumference.
        # Its zero lines are the sulci, and dividing by the slope turns its value into mm from the nearest.
        around = self.noise["folds"].at(angle * np.float32(58), surface, z) + np.float32(0.75) * self.noise["turns"].on(
            plane
        )
        dy, dx = np.gradient(around, np.float32(plane.spacing))
        sulcus = np.abs(around) / (np.hypot(dx, dy) + np.float32(0.05))
        reach_inwards = np.float32(19) + np.float32(6) * self.noise["depths"].on(plane)
        sulcus += np.maximum(0, surface - reach_inwards) * np.float32(1.2)
        pia = np.minimum(pia, sulcus)

        width = np.float32(0.55 * self.atrophy)
        cortex = width + np.float32(2.5) + np.float32(0.4) * patches
        brain = plane.inside(surface)
        canvas.paint(brain * plane.inside(pia - width), signal["grey"] * (1 + 0.05 * grain + 0.04 * patches))
        white = signal["white"] * (1 + 0.035 * grain + 0.05 * patches)
        canvas.paint(brain * plane.inside(pia - cortex, plane.spacing + 0.6), white)
        # The Sylvian fissure opens at the sides of the lower slices.
        if -22 < z < 22:
            for side in (-1, 1):
                fissure = closed_curve(self.outline("sylvian_fissure")) * (side, 1)
                canvas.paint(plane.mask(fissure, soft=0.5) * brain, signal["csf"])

    def _paint_depths(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        z = canvas.plane.z
        deep = signal["deep"] * (1 + 0.04 * grain)
        wide = 2.5 * (self.ventricles - 1)
        for side in (-1.0, 1.0):
            if (r := dome(z, 8, 17)) > 0.1:
                canvas.fill(ellipse((side * (27 + wide), -5), 6.5 * r, 16 * r, side * 12), deep, soft=0.8)
                canvas.fill(ellipse((side * (21.5 + wide), -4), 3.5 * r, 9 * r, side * 16), deep * 0.94, soft=0.6)
            if (r := dome(z, 6, 15)) > 0.1:
                canvas.fill(ellipse((side * (10.5 + wide), 9), 8.5 * r, 13 * r, side * -22), deep, soft=0.8)
            if (r := dome(z, 12, 18)) > 0.1:
                canvas.fill(ellipse((side * (14 + wide), -25), 5.5 * r, 9.5 * r, side * -14), deep * 1.03, soft=0.7)

    def _paint_ventricles(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        z, size = canvas.plane.z, self.ventricles
        csf = signal["csf"] * (1 + 0.02 * grain)
        front = dome(z, 13, 17) * size
        back = dome(z, 12, 15) * size
        body = dome(z, 24, 13) * size
        rng = np.random.default_rng(self.shape_seed)
        for side in (-1.0, 1.0):
            uneven = rng.uniform(0.8, 1.2)
            if front > 0.15:
                horn = closed_curve(self.outline("front_horn", front)) * (side * uneven**0.5, 1)
                canvas.fill(horn, csf, soft=0.5)
            if back > 0.15:
                trigone = closed_curve(self.outline("trigone", back)) * (side * uneven**0.5, 1)
                canvas.fill(trigone, csf, soft=0.5)
                canvas.fill(ellipse((side * 19, 33), 3 * back, 4 * back), signal["grey"] * 0.9, soft=0.8)
            if body > 0.15:
                tube = closed_curve(self.outline("body", body)) * (side * uneven**0.5, 1)
                canvas.fill(tube, csf, soft=0.5)
        third = dome(z, 2, 13) * size
        if third > 0.15:
            canvas.fill(ellipse((0, 6), 1.4 + 1.2 * third, 13), csf, soft=0.4)
        if 5 < z < 27:
            canvas.stroke(closed_curve([(0, -10), (0.5, -20), (0, -25), (-0.3, -18)]), 1.5, signal["white"])

    def _paint_hindbrain(self, canvas: Canvas, signal: dict[str, float], grain: Field, surface: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        x, y = plane.x, plane.y
        low = between(z, (-30, -8), (1, 0))
        # Tentorium to folia: the cerebellum grows into the picture from behind as slices go down.
        half = 30 + 22 * low
        centre = 48.0
        cerebellum = closed_curve(
            [(-half, centre), (-half * 0.7, centre - 22 - 8 * low), (0, centre - 26 - 6 * low),
             (half * 0.7, centre - 22 - 8 * low), (half, centre), (half * 0.65, centre + 24),
             (0, centre + 20),
             (-half * 0.65, centre + 24)]
        ) * (between(z, (-20, -8), (1, 0.35)), 1)  # fmt: skip
        rim = plane.mask(cerebellum * (1.05, 1) + (0, -1), soft=0.8) * plane.inside(surface)
        canvas.paint(rim, signal["csf"])
        inside = plane.mask(cerebellum, soft=0.6) * plane.inside(surface - np.float32(1.5))
        # Folia are thin leaves side by side, fanning out from the peduncles.
        reach = np.hypot(x * np.float32(0.7), y - np.float32(30))
        leaves = np.sin(reach * np.float32(2 * np.pi / 4.6) + np.float32(2.4) * self.noise["turns"].on(plane))
        core = np.exp(-((x / np.float32(0.55 * half)) ** 2) - ((y - np.float32(centre - 3)) / 11) ** 2)
        matter = signal["grey"] + (signal["white"] - signal["grey"]) * np.clip(core * 1.5 + 0.25 * leaves, 0, 1)
        matter += (signal["csf"] - matter) * np.clip(leaves - 0.72, 0, 1) * np.float32(1.6)
        canvas.paint(inside, (matter * (1 + 0.05 * grain)).astype(np.float32))
        stem = ellipse((0, 16 - 2 * low), 15 + 3 * low, 12 + 3 * low)
        canvas.fill(stem * (1.25, 1) + (0, -1), signal["csf"], soft=1.2)
        canvas.fill(stem, signal["white"] * (0.93 + 0.04 * grain), soft=0.6)
        canvas.fill(ellipse((0, 29), 5 + 3 * low, 3.5), signal["csf"], soft=0.5)
        for side in (-1.0, 1.0):
            if z < -18:
                grow = between(z, (-30, -18), (1, 0.3))
                canvas.fill(
                    ellipse((side * 32, -58), 17 * grow, 19 * grow), signal["fat"] * (1 + 0.1 * grain), soft=0.6
                )
                canvas.fill(ellipse((side * 32, -63), 12.0 * grow, 12.0 * grow), signal["eye"], soft=0.4)
                canvas.fill(ellipse((side * 32, -72.5), 4.5 * grow, 2.2 * grow), signal["muscle"], soft=0.3)
                canvas.stroke(np.array([(side * 30, -51), (side * 20, -34)]), 3.5 * grow, signal["white"], soft=0.4)
            canvas.fill(ellipse((side * 9, -2), 2, 2), signal["vessel"], soft=0.3)
        canvas.fill(ellipse((0, 0), 1.8, 1.8), signal["vessel"], soft=0.3)

    def _paint_lesions(self, canvas: Canvas, signal: dict[str, float], contrast: str, grain: Field) -> None:
        z = canvas.plane.z
        rng = np.random.default_rng(self.shape_seed + 1)
        # The sagittal sinus and the arteries in the cleft are dark by flow, bright with contrast agent.
        canvas.fill(ellipse((0, 79 * dome(max(z, 0), 0, 92)), 4, 3.2), signal["vessel"], soft=0.5)
        if z < 35:
            canvas.fill(ellipse((1.5, -40 * dome(max(z, 0), 0, 92)), 1.2, 1.2), signal["vessel"], soft=0.3)
            canvas.fill(ellipse((-1.5, -41 * dome(max(z, 0), 0, 92)), 1.1, 1.1), signal["vessel"], soft=0.3)
        for lx, ly, lz, radius in self.lesions:
            outline = wobbled(ellipse((lx, ly), radius * 1.3, radius), rng, 0.5)
            if (r := dome(z, lz, radius * 2)) > 0.2 and contrast != "AXT1POST":
                canvas.fill(scaled(outline, r, (lx, ly)), signal["lesion"], soft=0.7)
        if self.tumour:
            tx, ty, tz, radius = self.tumour
            outline = wobbled(ellipse((tx, ty), radius, radius), rng, 2.0) - (tx, ty)
            if (r := dome(z, tz, radius * 1.3)) > 0.15:
                oedema = signal["lesion"] if contrast != "AXT1POST" else signal["grey"] * 0.8
                canvas.fill(outline * r * 1.55 + (tx, ty), oedema * (0.85 + 0.08 * grain), soft=2.2)
                canvas.fill(outline * r + (tx, ty), signal["grey"] * (1.1 + 0.12 * grain), soft=0.7)
                canvas.fill(outline * r * 0.5 + (tx, ty), signal["csf"], soft=0.7)
                if contrast == "AXT1POST":
                    canvas.stroke(outline * r * 0.8 + (tx, ty), 3.5, signal["lesion"], closed=True, soft=0.6)
