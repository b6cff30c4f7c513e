"""The clusters that the bench of groups plays."""

from __future__ import annotations

from typing import Final

from warmpool.clusters import M5_2XLARGE, M5_LARGE, M5_XLARGE, R5_XLARGE, T3_LARGE, Mix, NodePool

BY_WORKLOAD: Final = Mix(
    "a pool a workload",
    (
        NodePool("services", M5_LARGE, {"steady": 0.4}),
        NodePool("web", M5_XLARGE, {"diurnal": 0.8}),
        NodePool("batch", R5_XLARGE, {"hourly-batch": 1.0}),
        NodePool("ci", T3_LARGE, {"bursty-rollout": 0.5}),
        NodePool("general", M5_2XLARGE, {"steady": 0.4, "diurnal": 0.5}),
    ),
)
_ALL = ("steady", "diurnal", "hourly-batch", "bursty-rollout")
EVERYWHERE: Final = Mix(
    "everything everywhere",
    tuple(
        NodePool(shape.instance_type, shape, dict.fromkeys(_ALL, size / len(_ALL)))
        for shape, size in (
            (T3_LARGE, 0.5),
            (M5_LARGE, 0.5),
            (M5_XLARGE, 1.0),
            (R5_XLARGE, 1.0),
            (M5_2XLARGE, 1.0),
        )
    ),
)
MIXES: Final = (BY_WORKLOAD, EVERYWHERE)
