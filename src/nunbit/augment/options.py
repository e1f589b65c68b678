"""``Augment``: what happens to training pictures, under the names of ``ImageDataGenerator``.

What is drawn for a picture is a function of (seed, epoch, picture id) alone. All
movements of one picture become one matrix and one warp; changes of single pixels
follow, then patches, then mixing with another picture.

Source: Keras' ``ImageDataGenerator``, as its documentation describes it, and the
papers named at the options that came after it.
Departs: from Keras' code where that departs from its documentation: since 2.9
``height_shift_range`` moves pictures sideways there, pictures that are no square
turn about a wrong centre, and ``wrap`` and ``constant`` have other edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nunbit.errors import OptionError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from nunbit.augment.mix import MixPlan

__all__ = ["Augment"]

MOVING = (
    "rotation_range",
    "width_shift_range",
    "height_shift_range",
    "shear_range",
    "zoom_range",
    "horizontal_flip",
    "vertical_flip",
)
CHANGING = (
    *MOVING,
    "brightness_range",
    "channel_shift_range",
    "random_resized_crop",
    "crop_padding",
    "colour_jitter",
    "trivial_augment",
    "rand_augment",
    "random_erasing",
    "cutout",
)
"""Options of which any one makes a picture another one."""
STANDARDIZING = (
    "rescale",
    "featurewise_center",
    "featurewise_std_normalization",
    "samplewise_center",
    "samplewise_std_normalization",
    "zca_whitening",
    "preprocessing_function",
)
"""Options that change every picture in the same way, in validation and prediction, too."""


@dataclass(frozen=True)
class Augment(Options):
    """How far training pictures are changed; every default means "not at all".

    Example:
        >>> import numpy as np
        >>> picture = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
        >>> flips = Augment(horizontal_flip=True)
        >>> out = flips.apply(picture, ids=[7], seed=0, epoch=0)
        >>> out.shape, out.dtype
        ((1, 3, 3, 1), dtype('uint8'))
    """

    rotation_range: Annotated[
        float, Option("Turned by up to this, either way.", unit="degrees", low=0.0, high=360.0)
    ] = 0.0
    width_shift_range: Annotated[
        float | int | tuple[float, ...],
        Option(
            "Moved sideways: a float is the largest step (below 1 a share of the width, else "
            "pixels), an int n means whole pixels below n, a list holds the steps to choose from.",
            low=0.0,
        ),
    ] = 0.0
    height_shift_range: Annotated[
        float | int | tuple[float, ...],
        Option("Moved up or down; likewise, with the height.", low=0.0),
    ] = 0.0
    shear_range: Annotated[
        float, Option("Sheared by up to this, either way.", unit="degrees", low=0.0, high=89.0)
    ] = 0.0
    zoom_range: Annotated[
        float | tuple[float, float],
        Option(
            "Factors lie in 1-z..1+z, or in the pair given, rows and columns apart; "
            "below 1 magnifies."
        ),
    ] = 0.0
    horizontal_flip: Annotated[bool, Option("Mirrored left to right, half of them.")] = False
    vertical_flip: Annotated[bool, Option("Mirrored top to bottom, half of them.")] = False
    fill_mode: Annotated[
        Literal["nearest", "constant", "reflect", "wrap"],
        Option("What lies beyond the border."),
    ] = "nearest"
    cval: Annotated[
        float, Option("Value beyond the border for fill_mode constant.", low=0.0, high=255.0)
    ] = 0.0
    interpolation_order: Annotated[
        int,
        Option("Spline between pixels: 0 nearest, 1 linear, 2 to 5 smoother, slow.", low=0, high=5),
    ] = 1
    brightness_range: Annotated[
        tuple[float, float] | None, Option("Multiplied by a factor from this pair; 1 = unchanged.")
    ] = None
    channel_shift_range: Annotated[
        float,
        Option(
            "One number of up to this, either way, is added to all channels, within the values "
            "that the picture has.",
            unit="levels of 0..255",
            low=0.0,
        ),
    ] = 0.0

    random_resized_crop: Annotated[
        tuple[float, float] | None,
        Option("A part of the picture, its share of the area from this pair, fills the frame."),
    ] = None
    crop_aspect: Annotated[
        tuple[float, float], Option("Width by height of that part, from this pair.")
    ] = (0.75, 1.333)
    crop_padding: Annotated[
        int,
        Option(
            "Padded by this on all sides (fill_mode) and cut back at a random place.",
            unit="pixels",
            low=0,
        ),
    ] = 0
    colour_jitter: Annotated[
        tuple[float, float, float, float] | None,
        Option(
            "Brightness, contrast, saturation: factors lie in 1-a..1+a; hue: turned by up to "
            "this share of the circle, at most 0.5."
        ),
    ] = None
    trivial_augment: Annotated[
        bool, Option("TrivialAugment: one of 14 operations, at any strength.")
    ] = False
    rand_augment: Annotated[
        tuple[int, int] | None,
        Option("RandAugment: how many of 14 operations (1 to 8), at which strength (0 to 30)."),
    ] = None
    random_erasing: Annotated[
        float, Option("Share of pictures of which a box is filled with noise.", low=0.0, high=1.0)
    ] = 0.0
    erasing_area: Annotated[
        tuple[float, float], Option("Share of the area that the box takes, from this pair.")
    ] = (0.02, 0.4)
    erasing_aspect: Annotated[
        tuple[float, float], Option("Height by width of the box, from this pair.")
    ] = (0.3, 3.3)
    cutout: Annotated[
        int, Option("Side of a square painted in the picture's mean colour.", unit="pixels", low=0)
    ] = 0
    mixup: Annotated[
        float,
        Option("MixUp with another training picture: alpha of the beta distribution.", low=0.0),
    ] = 0.0
    cutmix: Annotated[
        float,
        Option(
            "CutMix: a box from another training picture: alpha of the beta distribution. "
            "With mixup, each picture gets one of the two.",
            low=0.0,
        ),
    ] = 0.0

    rescale: Annotated[
        float | None, Option("Every value is multiplied by this; 0 = not.", low=0.0)
    ] = None
    featurewise_center: Annotated[
        bool, Option("Subtract the mean of each channel over the training pictures.")
    ] = False
    featurewise_std_normalization: Annotated[
        bool, Option("Divide by the standard deviation of each channel; centres, too.")
    ] = False
    samplewise_center: Annotated[bool, Option("Subtract each picture's own mean.")] = False
    samplewise_std_normalization: Annotated[
        bool, Option("Divide by each picture's own standard deviation; centres, too.")
    ] = False
    zca_whitening: Annotated[
        bool, Option("Make pixels uncorrelated over the training pictures; centres, too.")
    ] = False
    zca_epsilon: Annotated[
        float, Option("Added to the singular values in ZCA.", low=0.0, open_low=True)
    ] = 1e-6
    preprocessing_function: Annotated[
        Callable | None,  # type: ignore[type-arg]  # options are checked by isinstance
        Option("Called with each picture after all movements and before rescale; Python only."),
    ] = None
    data_format: Annotated[
        Literal["channels_last", "channels_first"], Option("Order of the axes.")
    ] = "channels_last"
    dtype: Annotated[
        Literal["float16", "float32", "float64"], Option("Kind of number of standardized pictures.")
    ] = "float32"
    validation_split: Annotated[
        float, Option("Share of the pictures kept for validation, below 1.", low=0.0, high=1.0)
    ] = 0.0

    def __post_init__(self) -> None:
        """Take lists and NumPy's numbers, gather every wrong value, then raise once."""
        infos = self.fields()
        for info in infos:
            object.__setattr__(self, info.name, _plain(getattr(self, info.name)))
        wrong = {info.name: info.check(getattr(self, info.name)) for info in infos}
        if wrong["preprocessing_function"]:
            wrong["preprocessing_function"] = (
                f"`preprocessing_function` is {self.preprocessing_function!r}, expected a "
                "function; it can be given in Python only"
            )
        told = [text for text in wrong.values() if text]
        told += self._problems({name for name, text in wrong.items() if text})
        if told:
            raise OptionError("; ".join(told) + ".")

    def _problems(self, wrong: set[str]) -> list[str]:
        """Tell what is wrong within values of the right kind; ``wrong`` are of another."""
        found = []
        low, high = (1.0, 1.0) if "zoom_range" in wrong else self.zoom
        if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high):
            found.append(
                f"`zoom_range` is {self.zoom_range!r}, expected 0 <= z < 1 or a pair "
                "0 < low <= high of factors"
            )
        pairs = {
            "brightness_range": (0.0, math.inf, "0 <= low <= high"),
            "random_resized_crop": (1e-9, 1.0, "0 < low <= high <= 1"),
            "crop_aspect": (1e-9, math.inf, "0 < low <= high"),
            "erasing_area": (0.0, 1.0, "0 <= low <= high <= 1"),
            "erasing_aspect": (1e-9, math.inf, "0 < low <= high"),
        }
        for name, (least, most, expected) in pairs.items():
            pair = None if name in wrong else getattr(self, name)
            if pair is not None and not (
                all(map(math.isfinite, pair)) and least <= pair[0] <= pair[1] <= most
            ):
                found.append(f"`{name}` is {pair!r}, expected a pair {expected}")
        for name in ("width_shift_range", "height_shift_range"):
            steps = 0 if name in wrong else getattr(self, name)
            if isinstance(steps, tuple) and not (steps and all(map(math.isfinite, steps))):
                found.append(f"`{name}` is {steps!r}, expected at least one finite number")
        jitter = (0.0,) * 4
        if self.colour_jitter is not None and "colour_jitter" not in wrong:
            jitter = self.colour_jitter
        if not all(0 <= a < math.inf for a in jitter) or jitter[3] > 0.5:
            found.append(
                f"`colour_jitter` is {jitter!r}, expected four numbers of at least 0 (brightness, "
                "contrast, saturation, hue), the hue at most 0.5"
            )
        count, strength = 1, 0
        if self.rand_augment is not None and "rand_augment" not in wrong:
            count, strength = self.rand_augment
        if not (1 <= count <= 8 and 0 <= strength <= 30):
            found.append(
                f"`rand_augment` is {self.rand_augment!r}, expected 1 to 8 operations and a "
                "strength of 0 to 30"
            )
        if self.trivial_augment is True and self.rand_augment is not None:
            found.append("`trivial_augment` and `rand_augment` are both on, expected one of them")
        if "validation_split" not in wrong and self.validation_split >= 1:
            found.append(f"`validation_split` is {self.validation_split!r}, expected below 1")
        return found

    @property
    def zoom(self) -> tuple[float, float]:
        """The range of zoom factors."""
        if isinstance(self.zoom_range, tuple):
            return self.zoom_range
        return 1 - self.zoom_range, 1 + self.zoom_range

    def _is_on(self, names: Sequence[str]) -> bool:
        defaults = {field.name: field.default for field in fields(self)}
        return any(getattr(self, name) != defaults[name] for name in names)

    @property
    def moves(self) -> bool:
        """Whether any movement of ``ImageDataGenerator`` is on."""
        return self._is_on(MOVING)

    @property
    def changes(self) -> bool:
        """Whether any option is on that changes a picture by itself."""
        return self._is_on(CHANGING)

    @property
    def mixes(self) -> bool:
        """Whether pictures are mixed with others."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def is_identity(self) -> bool:
        """Whether no option is on that makes a picture another one; mixing counts."""
        return not self.changes and not self.mixes

    @property
    def standardizes(self) -> tuple[str, ...]:
        """The options that are on and change every picture in the same way."""
        return tuple(name for name in STANDARDIZING if getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; of a function, its name."""
        function = self.preprocessing_function
        name = getattr(function, "__qualname__", repr(function))
        return {**super().to_dict(), "preprocessing_function": name if function else None}

    def apply(
        self,
        pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        *,
        ids: Sequence[int] | NDArray[np.int64],
        seed: int,
        epoch: int,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Change each picture of a batch in its own way, on the processor.

        Normalising and mixing are not done here.

        Shape:
            pictures: uint8 (B, H, W, C), or B pictures (H, W, C); not changed.
            returns: uint8 (B, H, W, C).
        Args:
            ids: The picture ids; with seed and epoch they decide what is drawn.
            out: Where the result is put: uint8 (B, H, W, C), contiguous.
        """
        from nunbit.augment.apply import apply

        return apply(self, pictures, ids=ids, seed=seed, epoch=epoch, out=out)

    def apply_torch(
        self,
        images: Tensor,
        *,
        ids: Sequence[int] | NDArray[np.int64],
        seed: int,
        epoch: int,
    ) -> Tensor:
        """Do the same with the same numbers on the device where the batch is.

        Shape:
            images: uint8 (B, C, H, W); not changed.
            returns: uint8 (B, C, H, W); within a level or two of :meth:`apply`, but for
                the few pixels (below 0.1 %) that such a difference brings to the other
                side of a threshold, such as that of the policies' solarize.
        """
        from nunbit.augment.apply import apply_torch

        return apply_torch(self, images, ids=ids, seed=seed, epoch=epoch)

    def plan_mixing(
        self,
        ids: Sequence[int] | NDArray[np.int64],
        *,
        seed: int,
        epoch: int,
        shape: tuple[int, int, int],
    ) -> MixPlan:
        """Draw with which picture each one is mixed, and how.

        Args:
            shape: Pictures to choose from, their height and width.
        """
        from nunbit.augment.mix import plan_mixing

        return plan_mixing(self, ids, seed=seed, epoch=epoch, shape=shape)


def _plain(value: Any) -> Any:
    """Turn lists and arrays into tuples, NumPy's numbers into Python's."""
    found = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(_plain, found)) if isinstance(found, list) else found
