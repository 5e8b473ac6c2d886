"""Lookups over many cgroups, as they were measured natively: `cgsim validate scale`."""

from cgsim.validation.scale.accuracy import accuracy, order_pairs
from cgsim.validation.scale.predict import KEY_COLUMNS, measured_scale, validate_scale
from cgsim.validation.scale.setups import scale_ids

__all__ = [
    "KEY_COLUMNS",
    "accuracy",
    "measured_scale",
    "order_pairs",
    "scale_ids",
    "validate_scale",
]
