"""A bank of periodic random fields, made once, from which patches are drawn cheaply."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["Field", "NoiseBank", "bank_of"]

Field = npt.NDArray[np.float32]

_WAVELENGTHS = (3, 5, 8, 12, 18, 27, 40, 60, 90, 130)
_SLOPES = (1.0, 1.7, 2.4, 3.2)
_PER_KIND = 10
_SIZE = 384


class NoiseBank:
    """Fields of mean 0 and standard deviation 1, periodic over ``size`` pixels.

    Gaussian noise is filtered in the frequency domain; a draw is a random patch of a random
    field, flipped and transposed at random, which costs far less than a new field.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        fy = np.fft.fftfreq(_SIZE)[:, None]
        fx = np.fft.rfftfreq(_SIZE)[None, :]
        f = np.hypot(fy, fx)
        f[0, 0] = 1.0 / _SIZE
        self._bands = [
            [self._field(rng, np.exp(-((np.log(f * w) / 0.5) ** 2))) for _ in range(_PER_KIND)]
            for w in _WAVELENGTHS
        ]
        self._slopes = [[self._field(rng, f**-s) for _ in range(_PER_KIND)] for s in _SLOPES]
        self._white = [self._field(rng, np.ones_like(f)) for _ in range(_PER_KIND)]
        self._fibres = []
        for _ in range(2 * _PER_KIND):
            angle, w = rng.uniform(0, np.pi), rng.uniform(3, 14)
            along = fx * np.cos(angle) + fy * np.sin(angle)
            across = -fx * np.sin(angle) + fy * np.cos(angle)
            shape = np.exp(-((along * w * 6) ** 2) - ((np.abs(across) * w - 1) / 0.5) ** 2)
            self._fibres.append(self._field(rng, shape))
        self._details = {
            name: [self._detail(rng, name) for _ in range(_PER_KIND)]
            for name in ("granules", "vesicles", "cristae")
        }

    def _detail(self, rng: np.random.Generator, name: str) -> Field:
        """Dots, small circles or folded lines of 1 on 0, periodic."""
        if name == "cristae":
            y, x = np.mgrid[:_SIZE, :_SIZE] / _SIZE
            turns = rng.integers(-1, 2, 2) * int(_SIZE / rng.uniform(7, 16))
            if not turns.any():
                turns[0] = int(_SIZE / 10)
            fold = rng.uniform(1, 4) * self.band(rng, 40, _SIZE) + self.band(rng, 18, _SIZE)
            lines = np.cos(2 * np.pi * (turns[0] * y + turns[1] * x) + fold)
            whole = self.band(rng, 27, _SIZE) > -0.8
            drawn: Field = (np.clip(2 * lines - 0.8, 0, 1) * whole).astype(np.float32)
            return drawn
        near = np.fft.fftfreq(_SIZE, 1 / _SIZE)
        away = np.hypot(near[:, None], near[None, :])
        if name == "vesicles":
            radius = rng.uniform(2.2, 5.0)
            stamp, pitch = np.exp(-(((away - radius) / 0.8) ** 2)), 2.4 * radius
        else:
            radius = rng.uniform(0.8, 2.0)
            stamp, pitch = np.exp(-((away / radius) ** 2)), radius * rng.uniform(3.0, 8.0)
        places = (rng.random((_SIZE, _SIZE)) < pitch**-2) * rng.uniform(0.4, 1.2, (_SIZE, _SIZE))
        stamped = np.fft.irfft2(np.fft.rfft2(places) * np.fft.rfft2(stamp), s=(_SIZE, _SIZE))
        return np.clip(stamped, 0, 1).astype(np.float32)

    @staticmethod
    def _field(rng: np.random.Generator, gain: npt.NDArray[np.float64]) -> Field:
        noise = np.fft.rfft2(rng.standard_normal((_SIZE, _SIZE))) * gain
        noise[0, 0] = 0
        field = np.fft.irfft2(noise, s=(_SIZE, _SIZE))
        return np.asarray(field / field.std(), dtype=np.float32)

    def _patch(self, rng: np.random.Generator, field: Field, size: int) -> Field:
        y, x, turn = rng.integers(0, _SIZE), rng.integers(0, _SIZE), rng.integers(0, 8)
        rows = (np.arange(size) + y) % _SIZE
        columns = (np.arange(size) + x) % _SIZE
        patch: Field = field[rows[:, None], columns[None, :]]
        if turn & 1:
            patch = patch[::-1]
        if turn & 2:
            patch = patch[:, ::-1]
        return patch.T if turn & 4 else patch

    def band(self, rng: np.random.Generator, wavelength: float, size: int) -> Field:
        """Draw a field, shape (size, size), of about one wavelength in pixels."""
        k = int(np.argmin(np.abs(np.log(np.asarray(_WAVELENGTHS) / wavelength))))
        return self._patch(rng, self._bands[k][rng.integers(_PER_KIND)], size)

    def rough(self, rng: np.random.Generator, size: int) -> Field:
        """Draw a field with detail at all scales, its amplitude falling as a power law."""
        k = rng.integers(len(_SLOPES))
        return self._patch(rng, self._slopes[k][rng.integers(_PER_KIND)], size)

    def fibres(self, rng: np.random.Generator, size: int) -> Field:
        """Draw a field that runs along one direction."""
        return self._patch(rng, self._fibres[rng.integers(len(self._fibres))], size)

    def detail(self, rng: np.random.Generator, name: str, size: int) -> Field:
        """Draw ``granules`` (dots), ``vesicles`` (circles) or ``cristae`` (lines), 1 on 0."""
        kinds = self._details[name]
        return self._patch(rng, kinds[rng.integers(len(kinds))], size)

    def speckle(self, rng: np.random.Generator, wavelength: float, size: int) -> Field:
        """Draw a factor of mean 1, the amplitude of two independent fields (Rayleigh)."""
        pair = self.band(rng, wavelength, size), self.band(rng, wavelength, size)
        return np.hypot(*pair) * np.float32(0.8)

    def white(self, rng: np.random.Generator, size: int) -> Field:
        """Draw uncorrelated noise."""
        return self._patch(rng, self._white[rng.integers(_PER_KIND)], size)


@cache
def bank_of(seed: int) -> NoiseBank:
    """Return the bank of a seed, made once in a process."""
    return NoiseBank(seed)
