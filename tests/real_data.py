"""Where the real data sets are, which are no part of the project."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("DRIFT_DATASETS", Path(__file__).parents[2] / "shared" / "datasets"))
"""By default ``shared/datasets`` beside the project."""


def dataset(name: str) -> str:
    """The path of a data set; where it is missing the test fails and says what to do."""
    path = FOLDER / name
    if not path.is_file():
        pytest.fail(
            f"the data set {name} is not in {FOLDER}; set DRIFT_DATASETS to the folder that has it",
            pytrace=False,
        )
    return str(path)
