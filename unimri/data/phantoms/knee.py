"""A knee in sagittal slices: bones, cartilage, menisci, ligaments, tendons, muscle, fat and vessels."""

import numpy as np

from unimri.data.phantoms.phantom import Canvas, Field, Phantom, Plane, Pose
from unimri.data.phantoms.shapes import Points, between, closed_curve, dome, ellipse, open_curve, scaled

_STEPS = 8


class Knee(Phantom, table="knee.toml"):
    """A knee, kneecap to the left, from the medial side (z = -31 mm) to the fibula's side (31 mm)."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.08, shift=6, stretch=0.06, bend=2.0, wavelength=90)
        self.flexion = rng.uniform(-0.02, 0.16)
        self.fat = rng.uniform(0, 26)
        self.effusion = rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0.4, 1.3)
        self.cartilage = rng.uniform(1.8, 3.2)
        self.patella_height = rng.normal(0, 3)
        self.noise = self.draw_noise(rng)
        self.tear = rng.random() < 0.35
        self.bruise = (
            (rng.uniform(-15, 25), rng.choice([-14, 24]), rng.uniform(-22, 22)) if rng.random() < 0.5 else None
        )

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw a sagittal slice; see `Phantom.draw`."""
        signal = self.signals(contrast)
        canvas = Canvas(plane)
        side = abs(plane.z)
        marrow = signal["marrow"] * (
            1 + 0.10 * self.noise["trabeculae"].on(plane) + 0.07 * self.noise["marrow"].on(plane)
        )
        fibres = 0.6 * self.noise["fibres"].on(plane) + 0.5 * self.noise["bundles"].on(plane)
        muscle = signal["muscle"] * (1 + 0.16 * fibres)
        # Fat runs between the bundles of a muscle.
        muscle += np.clip(np.abs(fibres) - 1.45, 0, 0.6) * (signal["fat"] - signal["muscle"])

        self._paint_soft_tissue(canvas, signal, muscle)
        femur, tibia = self._femur(side), self._tibia(side)
        recess = closed_curve(self.outline("recess"))
        grow = between(side, (0, 24, 34), (1, 0.95, 0.6))
        canvas.fill(self._bent(recess) * (1, grow), signal["fluid"] * 0.5 + signal["fat"] * 0.2, soft=1.0)
        if self.effusion:
            pouch = closed_curve(self.outline("pouch"))
            swollen = (pouch - (-28, -52)) * self.effusion * between(side, (0, 30), (1, 0.3)) + (-28, -52)
            canvas.fill(swollen, signal["fluid"], soft=0.5)
        self._paint_bone(canvas, signal, tibia, (0, 4), marrow)
        self._paint_bone(canvas, signal, femur, (3, 10), marrow)
        self._paint_scars(canvas, signal, side)
        if plane.z > 20:
            r = dome(plane.z, 33, 13)
            fibula = closed_curve(self.outline("fibula"))
            self._paint_bone(canvas, signal, scaled(fibula, (r, 1), (29, 50)), (0, 0), marrow)
        self._paint_menisci(canvas, signal, side)
        if side < 12:
            self._paint_cruciates(canvas, signal, plane.z)
        self._paint_extensors(canvas, signal, side, marrow)
        return canvas

    def _bent(self, points: Points) -> Points:
        """Turn what belongs to the thigh by the flexion of the knee, about the middle of the joint."""
        c, s = np.cos(self.flexion), np.sin(self.flexion)
        x, y = points[:, 0] - 8, points[:, 1] + 8
        return np.stack([c * x - s * y + 8, s * x + c * y - 8], axis=1)

    def _femur(self, side: float) -> Points:
        rounded = between(side, (3, 13), (0, 1))
        outer = between(side, (17, 25), (0, 1))
        corners = self.outline("femur_notch") * (1 - rounded) + self.outline("femur_condyle") * rounded
        corners = corners * (1 - outer) + self.outline("femur_edge") * outer
        shrink = max(0.3, dome(side, 20, 19)) if side > 20 else 1.0
        return self._bent(closed_curve(scaled(corners, shrink, (4, -22)), _STEPS))

    def _tibia(self, side: float) -> Points:
        away = between(side, (14, 27), (0, 1))
        corners = self.outline("tibia_middle") * (1 - away) + self.outline("tibia_edge") * away
        shrink = max(0.3, dome(side, 20, 20)) if side > 20 else 1.0
        return closed_curve(scaled(corners, shrink, (2, 14)), _STEPS)

    def _paint_soft_tissue(self, canvas: Canvas, signal: dict[str, float], muscle: Field) -> None:
        plane = canvas.plane
        side = abs(plane.z)
        narrow = between(side, (0, 24, 40), (1, 0.96, 0.84))
        skin = closed_curve(self.outline("skin", self.fat * 0.5)) * (narrow, 1)
        lobules = self.noise["lobules"].on(plane)
        fat = signal["fat"] * (1 + 0.05 * lobules)
        # Fibrous septa part the fat into lobules: the zero lines of its noise.
        fat += np.clip(1 - np.abs(lobules) * 9, 0, 1) * np.float32(0.5 * (signal["septum"] - signal["fat"]))
        canvas.fill(skin, signal["skin"])
        canvas.fill(skin * 0.975, fat)
        fascia = signal["tendon"] * 1.6
        thigh = between(side, (0, 30), (1, 0.8))
        for name in ("quadriceps", "hamstrings", "calf", "deep_calf", "shin"):
            # The foremost muscle of the shin lies only on the outer side.
            if name == "shin" and plane.z < 4:
                continue
            outline = closed_curve(self.outline(name))
            outline = (self._bent(outline) if name in ("quadriceps", "hamstrings") else outline) * (thigh, 1)
            canvas.fill(outline, muscle, soft=0.3)
            canvas.stroke(outline, 0.8, fascia, closed=True, soft=0.3)
        wander = self.noise["vessels"].on(plane)
        drift = wander[0, 0]
        if side < 16:
            r = dome(plane.z, 0, 17)
            for offset, width in ((0.0, 6.0), (7.0, 4.2)):
                course = open_curve(
                    [(38 + offset, -100), (43 + offset + drift, -50), (42 + offset, -18),
                     (37 + offset / 2, 26), (35 + offset, 100)]
                )  # fmt: skip
                canvas.stroke(course, (width + 1.4) * r, signal["fat"], soft=0.4)
                canvas.stroke(course, width * r, signal["tendon"], soft=0.3)
                canvas.stroke(course, (width - 1.6) * r, signal["vessel"], soft=0.4)
        # Small veins wander through the fat behind the knee and under the skin.
        for start, top, bottom in ((-47, -30, 60), (49, -70, 10), (54, 5, 95)):
            y = np.linspace(top, bottom, 9)
            column = np.clip(((start / plane.spacing) + plane.columns / 2), 0, plane.columns - 1)
            rows = np.clip(y / plane.spacing + plane.rows / 2, 0, plane.rows - 1).astype(int)
            x = start + 2.2 * wander[rows, int(column)] + 0.05 * np.abs(y) * np.sign(start)
            canvas.stroke(open_curve(np.stack([x, y], axis=1)), 1.1, signal["vessel"], soft=0.3)

    def _paint_bone(
        self, canvas: Canvas, signal: dict[str, float], outline: Points, joint: tuple[int, int], marrow: Field
    ) -> None:
        first, last = joint
        if last > first:
            cartilage = outline[first * _STEPS : last * _STEPS + 1]
            canvas.stroke(cartilage, 2 * self.cartilage + 1, signal["cartilage"], soft=0.35)
        canvas.fill(outline, signal["bone"], soft=0.3)
        canvas.stroke(outline, 1.3, signal["bone"], closed=True, soft=0.25)
        centre = outline.mean(axis=0)
        span = np.abs(outline - centre).max(axis=0)
        canvas.fill(scaled(outline, np.clip(1 - 0.9 / span, 0.3, 1), centre), marrow, soft=0.4)

    def _paint_scars(self, canvas: Canvas, signal: dict[str, float], side: float) -> None:
        # The closed growth plates stay visible as thin dark lines across the marrow.
        dark = signal["marrow"] * 0.45
        if side < 24:
            wave = [(-18, -38), (-6, -33), (6, -36), (20, -32)] if side > 6 else [(-18, -40), (-4, -37), (12, -42)]
            canvas.stroke(self._bent(open_curve(wave)), 1.0, dark, soft=0.35)
            canvas.stroke(open_curve([(-21, 27), (-6, 24), (10, 27), (25, 23)]), 0.9, dark, soft=0.35)
        if self.bruise:
            x, y, z = self.bruise
            if (r := dome(abs(side), abs(z), 14)) > 0.2:
                canvas.fill(ellipse((x, y), 9 * r, 6 * r, 20), signal["oedema"], soft=2.5)

    def _paint_menisci(self, canvas: Canvas, signal: dict[str, float], side: float) -> None:
        if not 6 < side < 33:
            return
        # Near the outer edge a sagittal slice runs along the meniscus, and its two wedges join to a bow tie.
        reach = between(side, (8, 18, 26), (9, 12, 24))
        for tip, base in ((-23, 1), (31, -1)):
            wedge = np.array([(tip, 2.0), (tip + base, 12.0), (tip + base * reach, 6.4), (tip + base * reach, 5.6)])
            canvas.fill(closed_curve(wedge, 4), signal["tendon"], soft=0.3)
            if self.tear and base < 0:
                canvas.stroke(np.array([(tip - 1, 9.0), (tip + base * 8, 5.0)]), 0.9, signal["fluid"], soft=0.2)

    def _paint_cruciates(self, canvas: Canvas, signal: dict[str, float], z: float) -> None:
        rear, front = dome(z, -3, 9), dome(z, 4, 8)
        if rear > 0.2:
            line = open_curve(self.outline("posterior_cruciate"))
            canvas.stroke(line, 6.5 * rear, signal["tendon"] * 1.4, soft=0.5)
        if front > 0.2:
            for shift in (-2.2, 0, 2.2):
                line = open_curve(self.outline("anterior_cruciate", shift))
                canvas.stroke(line, 1.9 * front, signal["ligament"], soft=0.4)

    def _paint_extensors(self, canvas: Canvas, signal: dict[str, float], side: float, marrow: Field) -> None:
        r = dome(side, 0, 23)
        h = self.patella_height
        if r > 0.25:
            patella = closed_curve(self.outline("patella", h))
            patella = scaled(patella, r, (-43, -25 + h))
            self._paint_bone(canvas, signal, patella, (2, 4), marrow)
        if side < 15:
            width = between(side, (0, 15), (5.5, 2.5))
            for name in ("patellar_tendon", "quadriceps_tendon"):
                canvas.stroke(open_curve(self.outline(name, h)), width, signal["tendon"], soft=0.4)
            canvas.stroke(open_curve(self.outline("fat_stripe", h)), 0.9, signal["fat"] * 0.6, soft=0.3)
            canvas.stroke(open_curve(self.outline("plica", h)), 0.8, signal["septum"], soft=0.3)
