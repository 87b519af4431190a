"""A beating heart in short-axis slices: ventricles, papillary muscles, lungs, liver, chest wall and spine."""

import numpy as np

from unimri.data.phantoms.phantom import Canvas, Field, Phantom, Plane, Pose
from unimri.data.phantoms.shapes import Points, between, closed_curve, dome, ellipse, open_curve, scaled, wobbled

END_SYSTOLE = 0.38
RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE = 1, 2, 3


def contraction(phase: float) -> float:
    """How far the heart has contracted at a time in its cycle: 0 at end-diastole, 1 at end-systole."""
    if phase < END_SYSTOLE:
        return float(np.sin(np.pi / 2 * phase / END_SYSTOLE) ** 2)
    # Filling is fast at first and then rests until the atria contract.
    rest = (phase - END_SYSTOLE) / (1 - END_SYSTOLE)
    return float((1 - rest) ** 2 * (1 + 0.25 * np.sin(3 * np.pi * rest)))


class Cardiac(Phantom, table="cardiac.toml"):
    """A chest, breast up, heart from the apex (z = -24 mm) to the base (z = 26 mm), bright-blood cine.

    Labels are those of ACDC: 1 right ventricle, 2 myocardium, 3 left ventricle.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.pose = Pose.draw(rng, angle=0.12, shift=8, stretch=0.05, bend=4.0, wavelength=190)
        self.centre = np.array([rng.uniform(18, 38), rng.uniform(-34, -16)])
        self.axis = rng.uniform(-25, 25)
        self.radius = rng.uniform(25, 31)
        self.wall = rng.uniform(9, 12) + rng.choice([0, 0, 0, 5])
        self.ejection = rng.uniform(0.25, 0.45)
        self.right = rng.uniform(0.85, 1.25)
        self.fat = rng.uniform(6, 26)
        self.girth = rng.uniform(0.92, 1.08)
        self.turn = rng.uniform(0, 2 * np.pi)
        self.seed = int(rng.integers(2**32))
        self.noise = self.draw_noise(rng)

    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw a short-axis slice at a time in the cycle; see `Phantom.draw`."""
        signal = self.signals(contrast)
        canvas = Canvas(plane)
        grain, patches = self.noise["grain"].on(plane), self.noise["patches"].on(plane)
        squeeze = contraction(phase)
        self._paint_chest(canvas, signal, grain, patches)
        self._paint_heart(canvas, signal, squeeze, phase, grain)
        return canvas

    def _paint_chest(self, canvas: Canvas, signal: dict[str, float], grain: Field, patches: Field) -> None:
        plane, z = canvas.plane, canvas.plane.z
        rng = np.random.default_rng(self.seed)
        g = self.girth
        fat = signal["fat"] * (1 + 0.06 * grain + 0.05 * patches)
        muscle = signal["muscle"] * (1 + 0.2 * self.noise["fibres"].on(plane))
        trunk = closed_curve(self.outline("trunk", self.fat)) * g
        canvas.fill(trunk, signal["skin"])
        canvas.fill(trunk * 0.985, fat)
        wall = closed_curve(self.outline("wall")) * g
        canvas.fill(wall, muscle, soft=0.8)
        cavity = closed_curve(self.outline("cavity")) * g
        # Ribs cross the wall obliquely: short dark ovals with marrow, further along in each slice.
        for turn in np.arange(0, 2 * np.pi, 0.42):
            angle = turn + z * 0.012
            if abs(np.cos(angle)) < 0.25:
                continue
            place = np.array([131 * np.cos(angle), 82 * np.sin(angle) + 2]) * g
            tilt = np.degrees(np.arctan2(82 * np.cos(angle), -131 * np.sin(angle)))
            canvas.fill(ellipse(place, 13, 4.6, tilt), signal["bone"], soft=0.6)
            canvas.fill(ellipse(place, 11, 2.6, tilt), signal["marrow"], soft=0.6)
        canvas.fill(cavity, signal["lung"] * (1 + 0.5 * np.abs(grain)), soft=0.8)
        # Lung vessels taper outwards from the hila.
        for side in (-1, 1):
            for _ in range(15):
                reach, spread = rng.uniform(26, 82), rng.uniform(-1.1, 1.2)
                start = np.array([side * rng.uniform(36, 50), rng.uniform(0, 24)])
                end = start + reach * np.array([side * np.cos(spread), np.sin(spread)])
                middle = (start + end) / 2 + rng.normal(0, 6, 2)
                shade = signal["vessel"] * 0.55 * dome(z, rng.uniform(-30, 35), 26)
                if shade > 0.05 and abs(end[0]) < 108 and abs(end[1]) < 56:
                    canvas.stroke(open_curve([start, middle, end]), rng.uniform(1.4, 3.0), shade, soft=0.9)
        mediastinum = closed_curve(self.outline("mediastinum"))
        canvas.fill(scaled(mediastinum, 0.86, (15, -22)), fat, soft=1.0)
        # Towards the apex the dome of the diaphragm, with the liver below it, rises into the slice.
        if (r := between(z, (-30, 12), (1.0, 0.0))) > 0.05:
            liver = closed_curve(self.outline("liver", r))
            tissue = signal["liver"] * (1 + 0.05 * grain + 0.05 * patches)
            anchor = np.array([-96, 8])
            canvas.fill(scaled(liver, r, anchor) * g, tissue, soft=1.2)
            for _ in range(7):
                a = anchor + rng.uniform(-14, 80) * np.array([r, 0]) + (0, rng.uniform(-34, 22) * r)
                b = a + rng.uniform(-18, 18, 2)
                course = open_curve([a, (a + b) / 2 + rng.normal(0, 3, 2), b]) * g
                canvas.stroke(course, rng.uniform(2, 4) * r, signal["vessel"] * 0.8, soft=0.8)
            spleen = closed_curve(self.outline("spleen"))
            if z < -8:
                canvas.fill(scaled(spleen, r, (90, 36)), signal["spleen"] * (1 + 0.04 * grain), soft=1.0)
        canvas.fill(ellipse((-4, -90 * g), 18, 6, 0, 2.6), signal["bone"], soft=0.6)
        canvas.fill(ellipse((-4, -90 * g), 15, 3.6, 0, 2.6), signal["marrow"] * 1.2, soft=0.6)
        flow = signal["blood"] * (1 + 0.04 * self.noise["flow"].on(plane))
        spongy = signal["marrow"] * (1 + 0.12 * grain)
        self.paint_layers(canvas, "vessels_and_spine", signal | {"flow": flow, "spongy": spongy})

    def _left(self, radius: float) -> Points:
        return ellipse(self.centre, radius, radius * 0.94, self.axis)

    def _paint_heart(
        self, canvas: Canvas, signal: dict[str, float], squeeze: float, phase: float, grain: Field
    ) -> None:
        plane, z = canvas.plane, canvas.plane.z
        rng = np.random.default_rng(self.seed + 1)
        # The base descends towards the apex in systole, so a fixed slice moves up the heart.
        level = z + 9 * squeeze * between(z, (-30, 34), (0, 1))
        taper = dome(min(level, 40) - 12, 0, 54) if level < 12 else 1 - 0.0022 * (level - 12)
        cavity = self.radius * taper * (1 - self.ejection * squeeze)
        # Myocardium does not compress: as the cavity shrinks its wall thickens to keep its area.
        rest = self.radius * taper
        area = (rest + self.wall * max(taper, 0.75)) ** 2 - rest**2
        outer = np.sqrt(cavity**2 + area)
        c = self.centre
        a = np.radians(self.axis)
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        canvas.fill(wobbled(self._left(outer + 7), rng, 2.0), signal["fat"] * (1 + 0.06 * grain), soft=1.2)

        wall = signal["myocardium"] * (1 + 0.1 * grain)
        flow = signal["blood"] * (
            1 + 0.07 * self.noise["flow"].on(plane) + 0.03 * np.float32(np.sin(2 * np.pi * phase))
        )
        right = between(level, (-26, -8, 20), (0.15, 0.8, 1.0)) * self.right * (1 - 0.28 * squeeze)
        reach = 44 * right
        crescent = np.array(
            [(-0.45 * outer, -0.98 * outer), (-outer - 0.3 * reach, -1.05 * outer),
             (-outer - 0.85 * reach, -0.45 * outer),
             (-outer - reach, 0.25 * outer), (-outer - 0.6 * reach, 0.9 * outer),
             (-0.55 * outer, 0.92 * outer),
             (-0.86 * outer, 0.5 * outer), (-1.02 * outer, 0), (-0.86 * outer, -0.5 * outer)]
        )  # fmt: skip
        outline = closed_curve(crescent @ turn + c)
        middle = outline.mean(axis=0)
        shell = scaled(outline, 1 + 4.0 / (reach + 20), middle)
        canvas.fill(scaled(outline, 1 + 12 / (reach + 20), middle), signal["fat"], soft=1.2)
        canvas.fill(shell, wall, soft=0.5)
        # The right ventricle is coarsely trabeculated: ridges of muscle reach into its blood.
        ridges = np.clip(np.abs(self.noise["trabeculae"].on(plane)) - 1.2, 0, 0.8) * np.float32(0.7)
        mixed = (flow + ridges * (signal["myocardium"] - flow)).astype(np.float32)
        canvas.fill(outline, mixed, RIGHT_VENTRICLE, soft=0.4)

        epicardium = wobbled(self._left(outer), np.random.default_rng(self.seed + 2), 0.7)
        canvas.fill(epicardium, wall, MYOCARDIUM, soft=0.4)
        endocardium = wobbled(
            self._left(cavity), np.random.default_rng(self.seed + 3), 0.8 + 0.8 * squeeze, (3, 5, 8, 11)
        )
        canvas.fill(endocardium, flow, LEFT_VENTRICLE, soft=0.4)
        if -24 < level < 14:
            size = dome(level, -5, 20)
            for angle in (self.turn, self.turn + 2.2):
                place = c + (cavity * 0.66) * np.array([np.cos(angle), np.sin(angle)])
                canvas.fill(ellipse(place, 4.6 * size, 3.6 * size, np.degrees(angle)), signal["myocardium"], soft=0.6)
        for angle in (self.axis + 205, self.axis + 150, self.axis + 30):
            spot = c + (outer + 3.5) * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            canvas.fill(ellipse(spot, 1.7, 1.7), signal["blood"], soft=0.5)
