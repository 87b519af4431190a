"""An upper abdomen in axial slices: liver, spleen, kidneys, gut, great vessels, spine and fat."""

import numpy as np

from unimri.data.phantoms.phantom import Canvas, Field, Phantom, Plane, Pose
from unimri.data.phantoms.shapes import Points, between, closed_curve, dome, ellipse, open_curve, scaled, wobbled

LIVER, RIGHT_KIDNEY, LEFT_KIDNEY, SPLEEN = 63, 126, 189, 252


class Abdomen(Phantom, table="abdomen.toml"):
    """A trunk, belly up and liver to the left, from the kidneys (z = -42 mm) to the liver's dome (42 mm).

    Labels are the grey values of CHAOS: 63 liver, 126 right kidney, 189 left kidney, 252 spleen. Fat is
    negative out of phase: where it shares a pixel with water the two cancel, which draws the dark line around
    every organ.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.04, shift=6, stretch=0.04, bend=4.0, wavelength=200)
        self.fat = rng.uniform(4, 26)
        self.depth = rng.uniform(0.9, 1.08)
        self.liver = rng.normal(1, 0.07)
        self.kidneys = rng.normal(1, 0.08, 2)
        self.kidney_heights = rng.normal((-14, -6), 5)
        self.spleen = rng.normal(1, 0.14)
        self.steatosis = rng.choice([0.0, 0.0, 0.5, 0.8]) * rng.random()
        self.cysts = [(rng.uniform(-115, -20), rng.uniform(-60, 30), rng.uniform(-35, 40), rng.uniform(3, 9))
                      for _ in range(rng.integers(0, 5))]  # fmt: skip
        self.noise = self.draw_noise(rng)
        self.seed = int(rng.integers(2**32))

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw an axial slice; see `Phantom.draw`."""
        signal = self.signals(contrast)
        # A fatty liver is brighter in phase and loses signal out of phase.
        signal["liver"] *= {"InPhase": 1 + 0.2 * self.steatosis, "OutPhase": 1 - 0.7 * self.steatosis}.get(
            contrast, 1.0
        )
        canvas = Canvas(plane)
        grain, patches = self.noise["grain"].on(plane), self.noise["patches"].on(plane)
        muscle = signal["muscle"] * (1 + 0.14 * self.noise["fibres"].on(plane))
        self._paint_wall(canvas, signal, grain, patches, muscle)
        self._paint_gut(canvas, signal, grain)
        self._paint_back(canvas, signal, grain, muscle)
        self._paint_kidneys(canvas, signal, grain)
        self._paint_left_organs(canvas, signal, grain)
        self._paint_liver(canvas, signal, grain, patches)
        self._paint_vessels(canvas, signal)
        return canvas

    def _ring(self, inset: float) -> Points:
        d = self.depth
        f = self.fat - inset
        return closed_curve(
            [(0, -96 * d - f), (60, -91 * d - f), (112, -62 * d - 0.9 * f), (138 + 0.75 * f, -8),
             (128 + 0.8 * f, 44),
             (92 + 0.6 * f, 82 + 0.6 * f), (36, 96 + 0.6 * f), (0, 91 + 0.5 * f), (-36, 96 + 0.6 * f),
             (-92 - 0.6 * f, 82 + 0.6 * f), (-128 - 0.8 * f, 44), (-138 - 0.75 * f, -8),
             (-112, -62 * d - 0.9 * f),
             (-60, -91 * d - f)]
        )  # fmt: skip

    def _paint_wall(
        self, canvas: Canvas, signal: dict[str, float], grain: Field, patches: Field, muscle: Field
    ) -> None:
        plane = canvas.plane
        strands = self.noise["strands"].on(plane)
        fat = signal["fat"] * (1 + 0.05 * grain + 0.05 * patches)
        canvas.fill(self._ring(0), signal["skin"])
        # Fine strands of connective tissue run through the fat.
        web = np.clip(1 - np.abs(strands) * 7, 0, 1) * np.float32(0.3)
        canvas.fill(self._ring(2.0), fat + web * (abs(signal["skin"]) * np.sign(signal["fat"]) - fat))
        canvas.fill(self._ring(self.fat), muscle, soft=0.6)
        sheet = 0.45 * signal["muscle"] + 0.35 * signal["fat"]
        # The flank's muscle layers are parted by a thin sheet with fat in it.
        canvas.stroke(self._ring(self.fat + 6.0), 1.1, sheet, closed=True, soft=0.4)
        canvas.fill(self._ring(self.fat + 12.0), fat, soft=0.8)
        for turn in np.arange(0.3, 2 * np.pi, 0.5):
            angle = turn + plane.z * 0.011
            if abs(np.cos(angle)) > 0.45:
                place = np.array([130 * np.cos(angle), 86 * self.depth * np.sin(angle)])
                tilt = np.degrees(np.arctan2(86 * np.cos(angle), -130 * np.sin(angle)))
                canvas.fill(ellipse(place, 11, 4.4, tilt), signal["bone"], soft=0.6)
                canvas.fill(ellipse(place, 9, 2.4, tilt), signal["marrow"], soft=0.6)

    def _paint_gut(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        # Loops are the islands of a smooth field: its contour is their wall, mesentery lies between them.
        loops = self.noise["loops"].on(plane)
        dy, dx = np.gradient(loops, np.float32(plane.spacing))
        depth = (loops + np.float32(0.25)) / (np.hypot(dx, dy) + np.float32(0.03))
        content = self.noise["content"].on(plane)
        inside = signal["gut"] * (1 + 0.25 * content)
        inside = np.where(content > 1.7, np.float32(signal["gas"]), inside.astype(np.float32))
        cavity = closed_curve(self.outline("gut")) * (1, self.depth)
        area = plane.mask(cavity, soft=1.5)
        canvas.paint(area * plane.inside(depth), signal["wall"] * (1 + 0.1 * grain))
        canvas.paint(area * plane.inside(depth - np.float32(2.6)), inside)
        # Mesenteric vessels show as dots and short lines in the fat between the loops.
        canvas.paint(area * plane.inside(-depth - 3) * np.clip(content - 1.2, 0, 0.5) * 2, signal["vessel"])
        rng = np.random.default_rng(self.seed)
        for side in (-1, 1):
            x, y = side * rng.uniform(92, 104), rng.uniform(8, 26)
            outline = wobbled(ellipse((x, y), 17, 20), rng, 2.0)
            if z < 12:
                canvas.fill(outline, signal["wall"], soft=0.6)
                canvas.fill(scaled(outline, 0.84, (x, y)), signal["gut"] * (0.8 + 0.2 * content), soft=0.6)
                canvas.fill(ellipse((x, y - 8), 10, 6), signal["gas"], soft=0.8)

    def _paint_back(self, canvas: Canvas, signal: dict[str, float], grain: Field, muscle: Field) -> None:
        z = canvas.plane.z
        for side in (-1, 1):
            self.paint_layers(canvas, "erectors", signal | {"fibrous": muscle}, side)
            grow = between(z, (-45, 30), (1.15, 0.5))
            canvas.fill(ellipse((side * 31, 36), 11 * grow, 14 * grow, side * 20), muscle, soft=0.6)
            crus = open_curve([(side * 4, 12), (side * 14, 20), (side * 20, 36)])
            canvas.stroke(crus, 4.5, signal["muscle"], soft=0.6)
        canvas.fill(ellipse((0, 33), 22, 17, 0, 2.5), signal["bone"], soft=0.6)
        # Discs lie between the vertebrae, so marrow turns to disc and back along the spine.
        disc = np.clip(4 * np.cos(2 * np.pi * z / 34) - 3, 0, 1)
        body = signal["marrow"] * (1 - disc) + signal["wall"] * disc
        canvas.fill(ellipse((0, 33), 20.4, 15.4, 0, 2.5), body * (1 + 0.12 * grain), soft=0.6)
        arch = closed_curve(self.outline("vertebral_arch"))
        canvas.fill(arch, signal["bone"], soft=0.8)
        canvas.fill(scaled(arch, 0.75, (0, 60)), signal["marrow"] * 0.9, soft=0.8)
        self.paint_layers(canvas, "canal", signal)

    def _paint_kidneys(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        z = canvas.plane.z
        for index, (side, label) in enumerate(((-1, RIGHT_KIDNEY), (1, LEFT_KIDNEY))):
            height = float(self.kidney_heights[index])
            r = dome(z, height, 46) * float(self.kidneys[index])
            if r < 0.25:
                continue
            rng = np.random.default_rng(self.seed + 10 + index)
            centre = np.array([side * 64.0, 36.0 - 0.12 * z])
            hilum = between(abs(z - height), (4, 20), (1, 0))
            outline = wobbled(closed_curve(self.outline("kidney", hilum) * (side * r, r)) + centre, rng, 1.0)
            canvas.fill(outline, signal["cortex"] * (1 + 0.06 * grain), label, soft=0.5)
            for turn in np.linspace(-2.2, 2.2, 7):
                # Pyramids point from the cortex to the sinus.
                tip = np.array([side * np.cos(turn), np.sin(turn)]) * (15.5 * r)
                place = centre + tip * (1, 1.2)
                angle = np.degrees(np.arctan2(tip[1], tip[0]))
                canvas.fill(ellipse(place, 6.5 * r, 4.6 * r, angle), signal["medulla"], label, soft=0.7)
            if hilum > 0.1:
                sinus = closed_curve(self.outline("sinus") * (side * r * hilum, r * hilum))
                canvas.fill(sinus + centre, signal["fat"], soft=0.8)
                canvas.fill(ellipse(centre, 6 * r * hilum, 3 * r * hilum), signal["fluid"], soft=0.6)
                renal = open_curve([(centre[0], centre[1]), (side * 40, 22), (side * 18, 14)])
                canvas.stroke(renal, 5.0, signal["vessel"], soft=0.5)

    def _paint_left_organs(self, canvas: Canvas, signal: dict[str, float], grain: Field) -> None:
        z = canvas.plane.z
        rng = np.random.default_rng(self.seed + 20)
        if (r := dome(z, 24, 40) * self.spleen) > 0.2:
            outline = wobbled(closed_curve(scaled(self.outline("spleen"), r, (100, 30))), rng, 1.2)
            canvas.fill(outline, signal["spleen"] * (1 + 0.04 * grain), SPLEEN, soft=0.6)
        if (r := dome(z, 20, 44)) > 0.25:
            outline = wobbled(closed_curve(scaled(self.outline("stomach"), r, (60, -30))), rng, 3.0)
            middle = outline.mean(axis=0)
            canvas.fill(outline, signal["wall"], soft=0.6)
            # Folds of the stomach's lining make its inner wall uneven.
            lining = wobbled(scaled(outline, 0.88, middle), rng, 2.0, (9, 13, 17))
            canvas.fill(lining, signal["fluid"] * (0.9 + 0.15 * self.noise["content"].on(canvas.plane)), soft=0.6)
            canvas.fill(ellipse((middle[0] - 4, middle[1] - 18 * r), 24 * r, 9 * r, 0, 2.6), signal["gas"], soft=1.0)
        if (r := dome(z, 2, 20)) > 0.3:
            pancreas = open_curve([(-22, -8), (-6, -16), (14, -14), (38, -8), (64, 4)])
            canvas.stroke(pancreas, 15 * r, signal["pancreas"] * (1 + 0.16 * grain), soft=1.0)
            canvas.stroke(pancreas, 1.5, signal["fluid"], soft=0.4)
            canvas.stroke(pancreas + np.array([4, 9]), 5.0, signal["vessel"], soft=0.5)

    def _paint_liver(self, canvas: Canvas, signal: dict[str, float], grain: Field, patches: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        rng = np.random.default_rng(self.seed + 30)
        left = between(z, (-20, 20), (0, 1)) * self.liver
        right = between(z, (-48, -10, 45), (0.35, 1, 1.05)) * self.liver
        anchor = np.array([-112, 6])
        lobes = closed_curve(scaled(self.outline("liver", left), min(right, 1.1), anchor)) * (1, self.depth)
        outline = wobbled(lobes, rng, 1.6)
        tissue = signal["liver"] * (1 + 0.045 * grain + 0.03 * patches)
        # Hepatic and portal veins branch in three dimensions; the zero lines of a smooth field do alike.
        veins = self.noise["branches"].on(plane)
        dy, dx = np.gradient(veins, np.float32(plane.spacing))
        calibre = 1.2 + 1.5 * np.clip(patches, -0.6, 1)
        vein = plane.inside(calibre - np.abs(veins) / (np.hypot(dx, dy) + np.float32(0.04))) * plane.inside(
            patches - np.float32(0.25), 0.6
        )
        canvas.fill(outline, (tissue + vein * (signal["vessel"] - tissue)).astype(np.float32), LIVER, soft=0.6)
        if z > 8:
            for end in ((-60, -50), (-84, -4), (-30, -66)):
                middle = ((end[0] - 16) / 2 + 3, (end[1] + 8) / 2 - 4)
                width = between(z, (8, 30), (2.5, 6))
                canvas.stroke(open_curve([(-20, 4), middle, end]), width, signal["vessel"], soft=0.8)
        canvas.stroke(open_curve([(-10, -80), (-14, -58), (-26, -36)]), 2.6 * left + 0.5, signal["fat"], soft=0.6)
        for x, y, height, radius in self.cysts:
            if (r := dome(z, height, radius * 1.5)) > 0.2:
                spot = ellipse((x, y), radius * r, radius * r)
                covered = canvas.labels[plane.mask(spot) > 0.5]
                if covered.size and (covered == LIVER).all():
                    canvas.fill(spot, signal["lesion"], LIVER, soft=0.5)
        if (r := dome(z, -16, 20)) > 0.25:
            bladder = wobbled(ellipse((-38, -42), 12 * r, 20 * r, 25), rng, 1.0)
            canvas.fill(scaled(bladder, 1.14, (-38, -42)), signal["wall"], 0, soft=0.5)
            canvas.fill(bladder, signal["fluid"], soft=0.5)

    def _paint_vessels(self, canvas: Canvas, signal: dict[str, float]) -> None:
        z = canvas.plane.z
        shift = 0.06 * z
        for x, y, rx, ry in ((7, 9, 9, 9), (-20 + shift, 8, 11, 8), (-8, -16, 6, 5), (6, -10, 3.4, 3.4)):
            canvas.fill(ellipse((x, y), rx + 2.2, ry + 2.2), signal["fat"], soft=0.8)
            canvas.fill(ellipse((x, y), rx + 0.9, ry + 0.9), signal["wall"], 0, soft=0.4)
            canvas.fill(ellipse((x, y), rx, ry), signal["vessel"], 0, soft=0.5)
