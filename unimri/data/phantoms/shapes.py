"""Outlines and sizes that phantoms are drawn with, in mm."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def ellipse(centre: ArrayLike, rx: float, ry: float, angle: float = 0.0, power: float = 2.0) -> Points:
    """Outline of an ellipse (`power` 2) or a boxier superellipse, (64, 2) in mm; `angle` in degrees."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    a = rx * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    b = ry * np.sign(sine) * np.abs(sine) ** (2 / power)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    outline: Points = np.stack([c * a - s * b, s * a + c * b], axis=1) + np.asarray(centre, float)
    return outline


def closed_curve(corners: ArrayLike, steps: int = 8) -> Points:
    """Smooth closed outline through corners (n, 2): a Catmull-Rom spline, (n * steps, 2) in mm."""
    p = np.asarray(corners, float)
    before, after, later = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    return _catmull_rom(before, p, after, later, steps)


def open_curve(corners: ArrayLike, steps: int = 8) -> Points:
    """Smooth line through corners (n, 2) from the first to the last, in mm."""
    p = np.asarray(corners, float)
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    return np.concatenate([_catmull_rom(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], steps), p[-1:]])


def _catmull_rom(before: Points, start: Points, end: Points, after: Points, steps: int) -> Points:
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (before, start, end, after))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)


def scaled(points: Points, factor: ArrayLike, about: ArrayLike) -> Points:
    """Grow or shrink an outline about a point (x, y), by one factor or one each for x and y."""
    centre = np.asarray(about, float)
    grown: Points = (points - centre) * np.asarray(factor, float) + centre
    return grown


def wobbled(points: Points, rng: np.random.Generator, amount: float, waves: Sequence[int] = (2, 3, 5, 7)) -> Points:
    """Push a closed outline in and out around its centre by waves, `amount` mm in all."""
    centre = points.mean(axis=0)
    offset = points - centre
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    push = sum(np.sin(n * angle + rng.uniform(0, 2 * np.pi)) * rng.normal(0, 1) for n in waves)
    radius = np.linalg.norm(offset, axis=1) + 1e-6
    outline: Points = points + offset / radius[:, None] * (amount / len(waves) ** 0.5 * push)[:, None]
    return outline


def between(z: float, heights: Sequence[float], values: Sequence[float]) -> float:
    """Interpolate a value known at some heights (mm, ascending) at height `z`; constant beyond the ends."""
    return float(np.interp(z, heights, values))


def dome(z: float, centre: float, half: float) -> float:
    """Relative radius, 0 to 1, at height `z` of a round body that ends `half` mm off its `centre`."""
    return float(np.sqrt(max(0.0, 1 - ((z - centre) / half) ** 2)))
