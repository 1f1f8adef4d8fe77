"""Compare strategies of refinement on given truth.

Writes table.md, table.csv (a row for each strategy and label) and plot.png to the folder DIR, with
--points also points.png, scores over the number of points; plots need matplotlib (the extra
benchmark).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from . import shared
from .refine import RefineInputs, add_inputs, read_inputs
from .reporting import ProgressBars

if TYPE_CHECKING:
    from ..config import RefinementConfig
    from ..io.outputs import Outputs
    from ..predict.refiners import Refiner

NAME = "compare-refinement"
HELP = "compare strategies of refinement on given truth"
EXAMPLE = (
    "napari-fewshot compare-refinement image.nii.gz labels.nii.gz --truth truth.nii.gz -o compared"
)

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_inputs(parser)
    add = parser.add_argument
    add("--truth", type=Path, required=True, metavar="T", help="true label map")
    add(
        "--strategies",
        default="all",
        metavar="NAME,NAME",
        help="random-walker; a SAM for all its strategies; sam-vit-b:box and the like; all: what "
        "works here without a download (default: all)",
    )
    add(
        "--points",
        metavar="N,N",
        help="numbers of points to compare, such as 1,2,3,5,10,15,20, of strategies that draw some "
        "(default: prompts.points)",
    )
    add(
        "--repeats",
        type=int,
        default=1,
        metavar="R",
        help="draw random prompts so many times, with the seeds S, S + 1 ... (default: 1)",
    )
    add(
        "--exclude-slices-of",
        type=Path,
        metavar="L",
        help="leave the slices that are painted in this label map out of the scores",
    )
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the results")
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Print the table, and write it and the plot."""
    from ..bench.refinement_strategies import compare_refinements, is_random, named_strategies
    from ..io import read_labels_on
    from ..metrics.files import excluded_slices

    outputs = _outputs(options)
    words = [word.strip() for word in options.strategies.split(",")]
    points = shared.parse_numbers("--points", options.points) or ()
    if options.repeats < 1:
        raise InputError("--repeats", "be at least 1", options.repeats)
    named = named_strategies(words, None, "--strategies", points=points)
    if points and not any(is_random(config) for config in named.values()):
        limit = "stand beside a strategy of --strategies that draws points"
        raise InputError("--points", limit, options.strategies)
    shared.existing_image("--truth", options.truth)
    given = read_inputs(options)
    strategies = named_strategies(words, given.config, "--strategies", points=points)
    _check_sam_weights(options, strategies)
    truth = read_labels_on(given.labels, options.truth, options.frame)
    exclude = None
    if options.exclude_slices_of is not None:
        painted = shared.existing_image("--exclude-slices-of", options.exclude_slices_of)
        exclude = excluded_slices(painted, truth, options.axis)
    refiners = _refiners(options, given, strategies)
    with ProgressBars() as bars:
        found = compare_refinements(
            given.image,
            given.labels,
            truth,
            refiners,
            confidence=given.confidence,
            exclude=exclude,
            progress=bars,
            axis=options.axis,
            intensity=given.intensity,
        )
    with outputs.writing():
        files = found.write(options.output)
    if given.store is not None:
        given.store.prune()
    print(found.format_table())
    for path in files:
        print(path)
    return 0


def _check_sam_weights(
    options: argparse.Namespace, strategies: Mapping[str, RefinementConfig]
) -> None:
    """Raise where one checkpoint is given for no SAM, or for several."""
    networks = _networks(strategies)
    if options.sam_weights is not None and len(networks) != 1:
        shown = ", ".join(sorted(networks)) or "no SAM"
        raise InputError("--sam-weights", "stand beside one SAM in --strategies", shown)


def _networks(strategies: Mapping[str, RefinementConfig]) -> set[str]:
    """Names of the SAMs that strategies ask."""
    from ..predict.refiners import WALKER

    return {str(config.method) for config in strategies.values()} - {WALKER}


def _refiners(
    options: argparse.Namespace, given: RefineInputs, strategies: Mapping[str, RefinementConfig]
) -> dict[str, list[Refiner]]:
    """Refiners of each strategy: one, or as many repeats where points are drawn.

    Weights that cannot be had are seen here, before the work.
    """
    from ..bench.refinement_strategies import is_random
    from ..features.cache import FeatureCache
    from ..predict.refiners import WALKER, get_refiner

    cache = FeatureCache()  # all strategies of a network share its embeddings
    refiners = {
        name: [
            get_refiner(
                config=config,
                sam_weights=None if config.method == WALKER else options.sam_weights,
                device=given.device,
                seed=options.seed + number,
                store=given.store,
                cache=cache,
            )
            for number in range(options.repeats if is_random(config) else 1)
        ]
        for name, config in strategies.items()
    }
    for network in _networks(strategies):
        one = next(some[0] for some in refiners.values() if some[0].name == network)
        one.load().unload()
    return refiners


def _outputs(options: argparse.Namespace) -> Outputs:
    from ..bench.refinement_strategies import FILES_WRITTEN, POINTS_PLOT, check_matplotlib

    check_matplotlib()
    shared.check_folder("--output", options.output)
    inputs = (options.image, options.labels, options.confidence, options.truth)
    names = (*FILES_WRITTEN, POINTS_PLOT) if options.points else FILES_WRITTEN
    return shared.check_outputs(
        "--output",
        [options.output / name for name in names],
        [*inputs, options.exclude_slices_of, options.sam_weights],
        overwrite=options.overwrite,
    )
