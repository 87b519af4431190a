"""A pelvis in axial slices about the prostate: its zones, rectum, bladder, muscles and bones."""

import numpy as np
import scipy

from unimri.data.phantoms.phantom import Canvas, Field, Phantom, Plane, Pose
from unimri.data.phantoms.shapes import between, closed_curve, dome, ellipse, open_curve, scaled, wobbled

PERIPHERAL_ZONE, TRANSITION_ZONE = 1, 2
# Diffusion pictures are read out fast, at several millimetres a pixel, and then interpolated.
_ADC_BLUR = 1.1


class Prostate(Phantom, table="prostate.toml"):
    """A pelvis, belly up, from the prostate's apex (z = -20 mm) to bladder and seminal vesicles (27 mm).

    Labels are those of the Decathlon: 1 peripheral zone, 2 transition zone.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.05, shift=4, stretch=0.05, bend=4.0, wavelength=100)
        self.size = rng.uniform(0.95, 1.35)
        self.hyperplasia = rng.uniform(0.75, 1.1)
        self.rectum = rng.uniform(0.75, 1.35)
        self.gas = rng.random() < 0.5
        self.filling = rng.uniform(0.7, 1.2)
        self.nodules = [
            (
                rng.uniform(-0.75, 0.75),
                rng.uniform(-0.75, 0.6),
                rng.uniform(-14, 14),
                rng.uniform(2.5, 7.5),
                rng.random(),
            )
            for _ in range(rng.integers(6, 16))
        ]
        self.lesion = (
            (rng.choice([-1, 1]) * rng.uniform(10, 17), rng.uniform(-14, 12), rng.uniform(3.5, 7))
            if rng.random() < 0.6
            else None
        )
        self.noise = self.draw_noise(rng)
        self.seed = int(rng.integers(2**32))

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw an axial slice; see `Phantom.draw`."""
        signal = self.signals(contrast)
        canvas = Canvas(plane)
        grain, patches = self.noise["grain"].on(plane), self.noise["patches"].on(plane)
        self._paint_pelvis(canvas, signal, grain, patches)
        self._paint_rectum(canvas, signal, grain)
        if plane.z > 8:
            self._paint_above(canvas, signal, grain)
        self._paint_gland(canvas, signal, grain, patches)
        if contrast == "ADC":
            canvas.signal = scipy.ndimage.gaussian_filter(canvas.signal, _ADC_BLUR / plane.spacing)
        return canvas

    def _paint_pelvis(self, canvas: Canvas, signal: dict[str, float], grain: Field, patches: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        strands = self.noise["strands"].on(plane)
        fat = signal["fat"] * (1 + 0.05 * grain + 0.05 * patches)
        fat += np.clip(1 - np.abs(strands) * 8, 0, 1) * np.float32(0.3) * (np.float32(signal["muscle"]) - fat)
        canvas.signal[:] = fat
        muscle = signal["muscle"] * (1 + 0.22 * self.noise["fibres"].on(plane))
        muscle += np.clip(np.abs(strands) - 1.7, 0, 0.8) * np.float32(0.5) * (signal["fat"] - muscle)
        marrow = signal["marrow"] * (1 + 0.12 * grain + 0.08 * patches)
        tissues = signal | {"fibrous": muscle, "spongy": marrow}
        for side in (-1, 1):
            mirror = np.array([side, 1])
            self.paint_layers(canvas, "muscles", tissues, side)
            # The acetabulum gives way to the ischium and the pubic branch as slices go down.
            high = between(z, (-12, 8), (0, 1))
            if high > 0.05:
                head = ellipse((side * 84, -8), 23.5 * high, 23.5 * high)
                socket = closed_curve(self.outline("socket"))
                canvas.fill(socket * mirror, signal["bone"], soft=0.4)
                canvas.fill((socket - (60, -2)) * (0.72, 0.92) * mirror + np.array([60 * side, -2]), marrow, soft=0.5)
                canvas.fill(scaled(head, 1.09, (side * 84, -8)), signal["mucosa"], soft=0.4)
                canvas.fill(head, signal["bone"], soft=0.4)
                canvas.fill(scaled(head, 0.94, (side * 84, -8)), marrow * 1.05, soft=0.5)
            if high < 0.95:
                low = 1 - high
                for name in ("ischium", "pubic_branch"):
                    bone = closed_curve(self.outline(name))
                    middle = bone.mean(axis=0)
                    bone = scaled(bone, low**0.5, middle)
                    canvas.fill(bone * mirror, signal["bone"], soft=0.4)
                    canvas.fill(scaled(bone, 0.84, middle) * mirror, marrow, soft=0.5)
            self.paint_layers(canvas, "vessels", tissues, side)
            levator = open_curve([(23 * self.size, -18), (min(28 * self.size, 34), 4), (28, 32), (15, 56)]) * mirror
            canvas.stroke(levator, between(z, (-20, 12), (4.2, 1.8)), signal["muscle"], soft=0.4)
            self.paint_layers(canvas, "pubis", tissues, side)
        if z < 6:
            canvas.fill(ellipse((0, -50), 4, 10), signal["wall"], soft=0.5)
        self.paint_layers(canvas, "sacrum", tissues)

    def _paint_rectum(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        z = canvas.plane.z
        rng = np.random.default_rng(self.seed)
        r = self.rectum * between(z, (-22, -5, 28), (0.7, 1.0, 1.15))
        y = 38 + 6 * self.size - 0.25 * z * 0.5
        outline = wobbled(ellipse((rng.uniform(-4, 4), y), 15 * r, 13 * r), rng, 1.2)
        middle = outline.mean(axis=0)
        canvas.fill(scaled(outline, 1.06, middle), signal["capsule"] * 1.3, soft=0.4)
        canvas.fill(outline, signal["wall"] * (1 + 0.1 * grain), soft=0.4)
        lining = wobbled(scaled(outline, 0.78, middle), rng, 1.0, (5, 7, 9, 11))
        canvas.fill(lining, signal["mucosa"], soft=0.3)
        lumen = scaled(lining, 0.82, middle)
        content = signal["gas"] if self.gas else signal["stool"] * (1 + 0.3 * self.noise["glands"].on(canvas.plane))
        canvas.fill(lumen, content, soft=0.5)
        for side in (-1, 1):
            bundle = np.array([side * 21 * self.size, 20 * self.size])
            for _ in range(4):
                spot = bundle + rng.normal(0, 2.4, 2)
                outline = ellipse(spot, rng.uniform(0.8, 1.7), 1.1)
                canvas.fill(outline, signal["vessel" if rng.random() < 0.6 else "flow"], soft=0.3)

    def _paint_above(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        rng = np.random.default_rng(self.seed + 1)
        r = between(z, (8, 28), (0.35, 1.0)) * self.filling
        bladder = wobbled(closed_curve(self.outline("bladder") * r) + np.array([0, -16]), rng, 1.5)
        middle = bladder.mean(axis=0)
        canvas.fill(bladder, signal["wall"], soft=0.5)
        canvas.fill(scaled(bladder, 1 - 0.11 / max(r, 0.3), middle), signal["urine"] * (1 + 0.01 * grain), soft=0.6)
        # Seminal vesicles are coiled tubes: the contour lines of a field, bright inside and dark between.
        bow = between(z, (10, 18), (0, 1))
        vesicles = closed_curve(self.outline("seminal_vesicles"))
        tubes = self.noise["tubes"].on(plane)
        coil = signal["wall"] + (signal["vessel"] - signal["wall"]) * np.clip(np.abs(tubes) * 2.2 - 0.3, 0, 1)
        canvas.paint(plane.mask(vesicles * (bow, 1), soft=0.7) * np.float32(bow), coil.astype(np.float32))

    def _paint_gland(self, canvas: Canvas, signal: dict[str, float], grain: Field, patches: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        rng = np.random.default_rng(self.seed + 2)
        r = dome(z, -3, 23) * self.size
        if r < 0.25:
            return
        outline = wobbled(closed_curve(self.outline("gland") * r), rng, 0.8)
        canvas.fill(outline * 1.06, signal["fat"], soft=0.6)
        # A ring of veins lies on the capsule.
        for turn in np.linspace(-0.4, np.pi + 0.4, 17):
            spot = np.array([25.5 * np.cos(turn), -21.5 * np.sin(turn)]) * r
            spot += rng.normal(0, 0.7, 2)
            canvas.fill(ellipse(spot, rng.uniform(0.9, 2.0), rng.uniform(0.8, 1.5)), signal["vessel"], soft=0.3)
        glands = self.noise["glands"].on(plane)
        canvas.fill(outline, signal["capsule"], PERIPHERAL_ZONE, soft=0.3)
        ducts = signal["peripheral"] * (1 + 0.09 * glands + 0.07 * patches)
        canvas.fill(outline * 0.955, ducts, soft=0.3)
        for turn in np.linspace(0.3, np.pi - 0.3, 12):
            edge = np.array([21 * np.cos(turn), 17 * np.sin(turn)]) * r
            canvas.stroke(np.array([edge * 0.7, edge]), 0.5, signal["stroma"], soft=0.25)
        grow = self.hyperplasia * between(z, (-24, -8, 10), (0.5, 0.95, 1.05))
        zone = wobbled(closed_curve(self.outline("transition_zone") * r * grow), rng, 0.9)
        zone -= (0, 1.5 * r)
        canvas.fill(zone, signal["capsule"], TRANSITION_ZONE, soft=0.3)
        canvas.fill(
            scaled(zone, 0.95, (0, -4 * r)), signal["transition"] * (1 + 0.14 * glands + 0.1 * patches), soft=0.3
        )
        for nx, ny, nz, radius, kind in self.nodules:
            if (s := dome(z, nz - 3, radius * 1.5) * r) > 0.25:
                place = np.array([nx * 12, ny * 10 - 5]) * r * grow
                nodule = wobbled(ellipse(place, radius * s, radius * s * 0.85), rng, 0.5)
                inside = signal["nodule"] * (1 + 0.2 * glands) if kind > 0.4 else signal["stroma"] * (1 + 0.1 * glands)
                canvas.fill(scaled(nodule, 1.16, place), signal["capsule"], soft=0.3)
                canvas.fill(nodule, inside, soft=0.3)
        stroma = closed_curve(self.outline("fibromuscular_stroma") * r)
        canvas.fill(stroma, signal["stroma"] * 0.8, soft=0.8)
        canvas.fill(ellipse((0, 1), 3.2 * r, 2.6 * r), signal["wall"], soft=0.4)
        canvas.fill(ellipse((0, 1), 1.8, 1.0), signal["urine"], soft=0.4)
        if self.lesion:
            x, lz, radius = self.lesion
            if (s := dome(z, lz, radius * 2)) > 0.2:
                spot = wobbled(ellipse((x * r, 11 * r), radius * s, radius * s * 0.7), rng, 0.7)
                canvas.fill(spot, signal["lesion"] * (1 + 0.06 * grain), soft=0.7)
