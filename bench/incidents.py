"""How often the analysis finds what happened: ``python bench/incidents.py --each 40``.

Prints the confusion matrix over generated incidents as Markdown, and how many have the right
column first and the right beginning. The incidents are those of the tests; ``--each`` takes more
seeds of every kind than they do.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from generated_incidents import FAMILIES, KINDS, PLAIN, as_markdown, incidents, measure


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="incidents of each kind")
    parser.add_argument("--first", type=int, default=1000, help="first seed; the tests' are 0 on")
    parser.add_argument("--no-grids", action="store_true", help="without stored quantiles")
    parser.add_argument("--wrong", action="store_true", help="tell those that were not found")
    parser.add_argument("--plain", action="store_true", help="normal, lognormal, uniform columns")
    options = parser.parse_args()
    if options.plain:
        FAMILIES.update(PLAIN)
    begun = time.perf_counter()
    found = measure(incidents(KINDS, options.each, first=options.first, grids=not options.no_grids))
    seconds = time.perf_counter() - begun
    off = np.abs(np.array(found.dated))
    sys.stdout.write(
        f"{as_markdown(found.matrix)}\n\n"
        f"{found.incidents} incidents, {found.accuracy:.1%} right; the right column first in "
        f"{found.first} of {found.with_column}; beginning found to one slice of half an hour in "
        f"{np.mean(off <= 1):.1%}; {1000 * seconds / found.incidents:.0f} ms each, generated.\n"
    )
    if options.wrong:
        sys.stdout.write("\n".join(found.wrong) + "\n")


if __name__ == "__main__":
    main()
