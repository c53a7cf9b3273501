"""The config file: every error with its place, nothing secret in a message, paths and YAML."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drift_exporter.config import Config
from drift_exporter.config_file import config_hash, load, load_yaml, masked_yaml
from drift_exporter.errors import ConfigError

SECRET = "s3kr1t"

ENVIRON = {"SECRET": SECRET, "NAME": "churn", "ROWS": "250", "EMPTY": ""}

HEAD = """\
models:
  - name: m
    reference: r.csv
    current: c.csv
"""


def _file(folder: Path, text: str) -> Path:
    file = folder / "drift.yml"
    file.write_text(dedent(text), encoding="utf-8")
    return file


def _load(folder: Path, text: str) -> Config:
    return load(_file(folder, text), ENVIRON)


def _said(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text)
    assert caught.value.__cause__ is None, "a cause would be printed with what it quotes"
    return str(caught.value).replace(f"{folder}/", "").splitlines()


NAME = (
    "expected at most 100 letters, digits, dots, underscores and hyphens, a letter or digit first"
)
EDGES = "expected quantile, uniform or a list of inner edges, numbers that rise strictly"
FIELDS = "expected five fields (minute, hour, day, month, weekday) such as '15 2 * * mon-fri'"
KEYS_OF_STORE = "expected one of url, url_file, retention, audit_retention, max_megabytes"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "windows: [1h, 90x]",
            "windows[1]: found '90x', expected a duration such as 90s, 5m, 1h30m or 7d",
            id="a duration",
        ),
        pytest.param(
            "interval: 300",
            "interval: found 300, expected a duration such as 90s, 5m, 1h30m or 7d",
            id="a duration without unit",
        ),
        pytest.param(
            "interval: 0s", "interval: found '0s', expected a duration above zero", id="no span"
        ),
        pytest.param("windows: 1h", "windows: found '1h', expected a list", id="no list"),
        pytest.param(
            "windows: []", "windows: found [], expected a list of at least 1", id="an empty list"
        ),
        pytest.param("windows:", "windows: found nothing, expected a list", id="nothing"),
        pytest.param(
            "windows: [1h, 7m]",
            "windows[1]: found '7m', expected a multiple of slice ('5m')",
            id="a window beside the default slice",
        ),
        pytest.param(
            "slice: 7m",
            "slice: found '7m', expected whole seconds that divide a day",
            id="a slice that does not divide a day",
        ),
        pytest.param(
            "windows: [1h, 60m]",
            "windows[1]: found '60m', expected each window once",
            id="a window in other words",
        ),
        pytest.param(
            "segments: [region, region]",
            "segments[1]: found 'region', expected each name once",
            id="a name twice",
        ),
        pytest.param(
            "intervall: 5m",
            "intervall: unknown key, did you mean 'interval'?",
            id="an unknown key with a near one",
        ),
        pytest.param(
            "thresholds: {psii: {warning: 1}}",
            "thresholds.psii: unknown key, did you mean 'psi'?",
            id="an unknown statistic",
        ),
        pytest.param(
            "features: {overrides: {a b: {bin: 3}}}",
            "features.overrides['a b'].bin: unknown key, did you mean 'bins'?",
            id="a key below a column's name",
        ),
        pytest.param(
            "features: {overrides: {bins: {bins: 1}}}",
            "features.overrides.bins.bins: found 1, expected at least 2",
            id="a column that is called like a key",
        ),
        pytest.param(
            "thresholds: {psi: {warning: .5, critical: .20}}",
            "thresholds.psi.critical: found .20, expected more than warning (.5)",
            id="thresholds that fall",
        ),
        pytest.param(
            "thresholds: {missing_ratio: {warning: 5}}",
            "thresholds.missing_ratio.warning: found 5, expected a share, at most 1",
            id="a per cent",
        ),
        pytest.param(
            "thresholds: {psi: {warning: .inf}}",
            "thresholds.psi.warning: found .inf, expected a finite number",
            id="infinity",
        ),
        pytest.param(
            "thresholds: [psi]", "thresholds: found ['psi'], expected a mapping", id="a list"
        ),
        pytest.param(
            "features: {overrides: {x: {binning: [3, 1]}}}",
            f"features.overrides.x.binning: found [3, 1], {EDGES}",
            id="edges that fall",
        ),
        pytest.param(
            "features: {overrides: {x: {binning: quantiles}}}",
            f"features.overrides.x.binning: found 'quantiles', {EDGES}",
            id="an unknown binning",
        ),
        pytest.param(
            "features: {overrides: {x: {type: number}}}",
            "features.overrides.x.type: found 'number', expected 'numeric' or 'categorical'",
            id="a choice",
        ),
        pytest.param("min_rows: 1.5", "min_rows: found 1.5, expected a whole number", id="a half"),
        pytest.param(
            "min_rows: many", "min_rows: found 'many', expected a whole number", id="text"
        ),
        pytest.param("min_rows: 0", "min_rows: found 0, expected more than 0", id="a bound"),
        pytest.param("sample: 2", "sample: found 2, expected at most 1", id="an upper bound"),
        pytest.param(
            "min_rows: true", "min_rows: found true, expected no boolean here", id="a boolean"
        ),
        pytest.param(
            "expose_bins: yes",
            "expose_bins: found 'yes', expected true or false",
            id="a boolean of YAML 1.1",
        ),
        pytest.param(
            "version: 1.10",
            "version: found 1.10, expected text; put it in quotes",
            id="a number that is text",
        ),
        pytest.param("cron: '@daily'", f"cron: found '@daily', {FIELDS}", id="a cron alias"),
        pytest.param("cron: 0 2 * *", f"cron: found '0 2 * *', {FIELDS}", id="four fields"),
        pytest.param(
            "cron: 0 2 * * *\n    interval: 5m",
            "cron: found '0 2 * * *', expected cron or interval, not both",
            id="cron and interval",
        ),
        pytest.param(
            "label: p\n    prediction: p",
            "label: found 'p', expected a column that is not a prediction",
            id="a label that is a prediction",
        ),
        pytest.param(
            "retrain_every: 30d",
            "retrain_every: found '30d', expected trained beside it, "
            "the date of the deployed version",
            id="retraining of what was never trained",
        ),
        pytest.param(
            "sample: ${NOT_SET}",
            "sample: the environment has no variable NOT_SET; set it",
            id="a variable that is not set",
        ),
        pytest.param(
            "owner: a${}",
            "owner: found '${' without a name, expected ${NAME}, or $$ for a dollar",
            id="a variable without a name",
        ),
        pytest.param(
            "owner: !vault x", "owner: found a tag, expected plain YAML", id="a tag of another tool"
        ),
    ],
)
def test_a_wrong_key_of_a_model_is_shown_at_its_place(
    line: str, expected: str, tmp_path: Path
) -> None:
    """The message has file, line and key, what was found and what is allowed."""
    said = _said(tmp_path, f"{HEAD}    {line}\n")

    assert said == [f"drift.yml:5: models[0].{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "", ["drift.yml: is empty; expected a mapping, see docs/config.md"], id="empty"
        ),
        pytest.param(
            "- a", ["drift.yml:1: found ['a'], expected a mapping with the key models"], id="a list"
        ),
        pytest.param(
            "5", ["drift.yml:1: found 5, expected a mapping with the key models"], id="a number"
        ),
        pytest.param(
            "max_series: 5",
            ["drift.yml:1: models: missing, expected the models that are monitored"],
            id="no models",
        ),
        pytest.param(
            "# nothing yet\nmodels: []",
            ["drift.yml:2: models: found [], expected a list of at least 1"],
            id="an empty list",
        ),
        pytest.param(
            "models:\n  - name: m\n    reference: r",
            [
                "drift.yml:2: models[0].current: missing, "
                "expected the inference data; a plain string is its `url`"
            ],
            id="a missing key",
        ),
        pytest.param(
            "models:\n  - name: a b\n    reference: r\n    current: c",
            [f"drift.yml:2: models[0].name: found 'a b', {NAME}"],
            id="a name",
        ),
        pytest.param(
            HEAD + HEAD.removeprefix("models:\n"),
            ["drift.yml:5: models[1].name: found 'm', expected a name that no other model has"],
            id="a name twice",
        ),
        pytest.param(
            HEAD + "    slice: 2h\n",
            [
                "drift.yml:2: models[0].windows[0]: found '1h' by default, "
                "expected a multiple of slice ('2h')"
            ],
            id="a default that does not go with a key",
        ),
        pytest.param(
            HEAD + "store:\n  path: x",
            [f"drift.yml:6: store.path: unknown key, {KEYS_OF_STORE}"],
            id="an unknown key with nothing near",
        ),
        pytest.param(
            HEAD + "store:\n  url: mysql://u:pw@h/db",
            [
                "drift.yml:6: store.url: found 'mysql://u:***@h/db', "
                "expected a URL that begins with sqlite:// or postgresql://"
            ],
            id="a store that we do not have",
        ),
        pytest.param(
            HEAD + "max_series: 5\n\nmax_series: 6",
            ["drift.yml:7: max_series: given twice, first in line 5; keep one"],
            id="a key twice",
        ),
        pytest.param(
            "models:\n\t- name: m",
            [
                "drift.yml:2: not YAML: while scanning for the next token, "
                "found character '\\t' that cannot start any token; indent with spaces"
            ],
            id="a tab",
        ),
        pytest.param(
            f"data_dir: *{SECRET}",
            [
                "drift.yml:1: not YAML: an alias without its anchor; "
                "put a text that begins with * in quotes"
            ],
            id="an alias of nothing",
        ),
        pytest.param(
            HEAD + "---\na: 1",
            ["drift.yml:5: not YAML for a config: a second document; expected one"],
            id="two documents",
        ),
        pytest.param(
            "a\nb\x07",
            ["drift.yml:2: not YAML: a control character; remove it"],
            id="a control character",
        ),
        pytest.param(
            "? [a]\n: b\n" + HEAD,
            ["drift.yml:1: found a list or mapping as a key, expected text"],
            id="a key that is no text",
        ),
        pytest.param(
            "[" * 800,
            ["drift.yml: is nested too deeply; expected a config"],
            id="nested without end",
        ),
        pytest.param(
            HEAD + "store: {<<: 1}",
            ["drift.yml:5: store: found << without a mapping, expected an alias of one"],
            id="a merge of no mapping",
        ),
    ],
)
def test_a_wrong_file_is_shown_with_its_lines(
    text: str, expected: list[str], tmp_path: Path
) -> None:
    """Whatever is wrong with a file, a message says where and what to do."""
    assert _said(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            "{url: postgresql://u:pw@db/x}",
            "table: missing, expected table or query, as the URL is a database's",
            id="a database without a table",
        ),
        pytest.param(
            "{url: postgresql://db/x, table: t, query: SELECT 1}",
            "query: found 'SELECT 1', expected table or query, not both",
            id="table and query",
        ),
        pytest.param(
            "{url: mysql://u:pw@db/x, table: t}",
            "table: found 't', expected no table, as the URL is not a database's "
            "(duckdb://, postgres://, postgresql://)",
            id="a database that we do not read",
        ),
        pytest.param(
            "{url: a.csv, url_file: b}",
            "url_file: found 'b', expected url or url_file, not both",
            id="two URLs",
        ),
        pytest.param(
            "{format: csv}",
            "url: missing, expected a path, a glob or the URL of a database",
            id="no URL",
        ),
        pytest.param(
            "{url: a, start: 2026-02-01, end: 2026-01-01}",
            "end: found 2026-01-01, expected a time after start (2026-02-01)",
            id="a span that ends before it starts",
        ),
        pytest.param(
            "{url: a, start: 2026-02-30}",
            "start: found 2026-02-30, expected a date or time such as 2024-01-31 "
            "or 2024-01-31T12:00Z",
            id="a day that is not",
        ),
        pytest.param(
            "{url: [postgresql://u:pw@db/x]}",
            "url: found ['postgresql://u:***@db/x'], expected text",
            id="a URL in a list",
        ),
    ],
)
def test_a_wrong_source_is_shown_at_its_place(source: str, expected: str, tmp_path: Path) -> None:
    """What does not go together is shown at the key that is one too many, passwords masked."""
    said = _said(tmp_path, f"models:\n- name: m\n  current: c\n  reference: {source}\n")

    assert said == [f"drift.yml:4: models[0].reference.{expected}"]


def test_all_errors_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    """Who mends a file mends it once: YAML's, the environment's and the models' errors."""
    said = _said(
        tmp_path,
        """\
        max_series: none
        models:
          - name: m
            reference: {url: "${NOT_SET}", tabel: t}
            current: {url_file: nowhere}
            owner: a
            owner: b
            windows: [1h, 90x, 5]
          - interval: 5
        stor: {}
        """,
    )

    assert [line.split(": ")[:2] for line in said] == [
        ["drift.yml:1", "max_series"],
        ["drift.yml:4", "models[0].reference.tabel"],
        ["drift.yml:4", "models[0].reference.url"],
        ["drift.yml:5", "models[0].current.url_file"],
        ["drift.yml:7", "models[0].owner"],
        ["drift.yml:8", "models[0].windows[1]"],
        ["drift.yml:8", "models[0].windows[2]"],
        ["drift.yml:9", "models[1].current"],
        ["drift.yml:9", "models[1].interval"],
        ["drift.yml:9", "models[1].name"],
        ["drift.yml:9", "models[1].reference"],
        ["drift.yml:10", "stor"],
    ]


def test_an_error_in_an_anchor_is_shown_where_it_is_written(tmp_path: Path) -> None:
    """A merged key's line is that of the anchor, its path that of the model that merges it."""
    said = _said(
        tmp_path,
        """\
        models:
          - &base
            name: a
            reference: r
            current: c
            interval: 5
          - <<: *base
            name: b
        """,
    )

    expected = "found 5, expected a duration such as 90s, 5m, 1h30m or 7d"
    assert said == [
        f"drift.yml:6: models[0].interval: {expected}",
        f"drift.yml:6: models[1].interval: {expected}",
    ]


def test_variables_are_replaced_in_values(tmp_path: Path) -> None:
    """${NAME} may be part of a text or a number; $$ is a dollar, a lone $ stays; keys stay."""
    config = _load(
        tmp_path,
        """\
        models:
          - name: "${NAME}-v2"
            reference: r.csv
            current: {url: "postgresql://u:${SECRET}@db/x", query: "SELECT '$${NAME}', $1"}
            min_rows: ${ROWS}
            owner: ${EMPTY}
            features: {overrides: {"${NAME}": {bins: 4}}}
        """,
    )

    model = config.models[0]
    assert (model.name, model.min_rows, model.owner) == ("churn-v2", 250, "")
    assert model.current.url == f"postgresql://u:{SECRET}@db/x"
    assert model.current.query == "SELECT '${NAME}', $1"
    assert model.features.settings("${NAME}").bins == 4


@pytest.mark.parametrize(
    "line",
    [
        "name: ${SECRET}!",
        "interval: ${SECRET}",
        "windows: ['${SECRET}']",
        "segments: ['${SECRET}', '${SECRET}']",
        "slice: ${SECRET}",
        "min_rows: ${SECRET}",
        "cron: ${SECRET}",
        "current: postgresql://u:${SECRET}@db/x",
        "current: {url: c, table: '${SECRET}'}",
        "current: {url: c, format: '${SECRET}'}",
        "current: {url_file: '${SECRET}'}",
        "current: {url: c, url_file: '${SECRET}'}",
        "current: {url: 'postgresql://u:${SECRET}@db/x'}",
        "reference: {url: c, start: '${SECRET}'}",
        "features: {overrides: {x: {binning: ['${SECRET}']}}}",
        "thresholds: {psi: '${SECRET}'}",
        "label: ${SECRET}\n  prediction: ['${SECRET}']",
    ],
)
def test_what_the_environment_gives_is_never_shown(line: str, tmp_path: Path) -> None:
    """A message quotes the file, ${SECRET}, not the value."""
    keys = {"name": "m", "reference": "r", "current": "c"}
    keys.pop(line.partition(":")[0], None)
    rest = "".join(f"  {key}: {value}\n" for key, value in keys.items())

    said = "\n".join(_said(tmp_path, f"models:\n- version: ''\n  {line}\n{rest}"))

    assert SECRET not in said
    assert "drift.yml:3: models[0]." in said


def test_a_number_of_the_environment_is_not_shown_beside_another_key(tmp_path: Path) -> None:
    """Where a message names a second value, that too is quoted from the file."""
    said = _said(
        tmp_path,
        HEAD + "    thresholds: {psi: {warning: '${ROWS}', critical: 1}}\n",
    )

    assert said == [
        "drift.yml:5: models[0].thresholds.psi.critical: found 1, "
        "expected more than warning ('${ROWS}')"
    ]


def test_a_url_may_stand_in_a_file(tmp_path: Path) -> None:
    """url_file is read from beside the config file, without the space around it."""
    (tmp_path / "dsn").write_text(f"postgresql://u:{SECRET}@db/x\n", encoding="utf-8")
    text = "models:\n- name: m\n  reference: r\n  current: {url_file: dsn, table: t}\n"

    source = _load(tmp_path, text).models[0].current

    assert (source.url, source.url_file) == (f"postgresql://u:{SECRET}@db/x", None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "No such file or directory", id="none"),
        pytest.param(b"  \n", "has not one line", id="an empty one"),
        pytest.param(b"postgresql://a\npostgresql://b", "has not one line", id="two lines"),
        pytest.param(b"\xff", "is not UTF-8 (line 1)", id="not text"),
    ],
)
def test_a_wrong_url_file_is_shown_at_its_place(
    content: bytes | None, expected: str, tmp_path: Path
) -> None:
    """Reading a URL's file fails with the config, not with the first run."""
    if content is not None:
        (tmp_path / "dsn").write_bytes(content)

    said = _said(tmp_path, HEAD + "store: {url_file: dsn}")

    assert said == [
        f"drift.yml:5: store.url_file: found 'dsn', expected a file with a URL, but it: {expected}"
    ]


def test_what_a_url_file_holds_is_not_shown(tmp_path: Path) -> None:
    """A wrong URL out of a file is named by its file."""
    (tmp_path / "dsn").write_text(SECRET, encoding="utf-8")

    said = _said(tmp_path, HEAD + "store: {url_file: dsn}")

    assert said == [
        "drift.yml:5: store.url: found what url_file holds, "
        "expected a URL that begins with sqlite:// or postgresql://"
    ]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("a/*.csv", "{folder}/a/*.csv", id="relative"),
        pytest.param("../a.csv", "{folder}/../a.csv", id="beside the folder"),
        pytest.param("/a.csv", "/a.csv", id="absolute"),
        pytest.param("s3://bucket/a", "s3://bucket/a", id="an object store"),
    ],
)
def test_paths_of_files_start_at_the_config_file(url: str, expected: str, tmp_path: Path) -> None:
    """A path is relative to the file that names it, not to where the process started."""
    config = _load(tmp_path, f"models:\n- name: m\n  reference: {url}\n  current: c.csv\n")

    assert config.models[0].reference.url == expected.format(folder=tmp_path)


def test_all_other_paths_start_there_too(tmp_path: Path) -> None:
    """Profile, data_dir, password_file and a database's file; a store's SQLite by its slashes."""
    config = _load(
        tmp_path,
        """\
        models:
          - name: m
            reference: {url: "duckdb://a.db", table: t}
            current: {url: "postgresql://u@db/x", table: t, password_file: secrets/pw}
            profile: p.json
        store: {url: "sqlite:///drift.db?timeout=5"}
        """,
    )

    model = config.models[0]
    assert model.reference.url == f"duckdb://{tmp_path}/a.db"
    assert model.current.url == "postgresql://u@db/x"
    assert model.current.password_file == f"{tmp_path}/secrets/pw"
    assert model.profile == f"{tmp_path}/p.json"
    assert config.data_dir == f"{tmp_path}/drift-data"
    assert config.store.url == f"sqlite:///{tmp_path}/drift.db?timeout=5"


@pytest.mark.parametrize("url", ["sqlite:////a.db", "sqlite:///:memory:", "sqlite://"])
def test_an_absolute_sqlite_url_stays(url: str, tmp_path: Path) -> None:
    """Four slashes are absolute; a database in memory has no path."""
    assert _load(tmp_path, HEAD + f"store: {{url: '{url}'}}").store.url == url


def test_a_folder_with_glob_characters_is_no_pattern(tmp_path: Path) -> None:
    """Only what the config says is a glob, not the name of the folder it lies in."""
    folder = tmp_path / "[prod]"
    folder.mkdir()

    config = _load(folder, HEAD)

    assert config.models[0].reference.url == f"{tmp_path}/[[]prod]/r.csv"
    assert config.data_dir == f"{folder}/drift-data"


def test_yaml_is_1_2(tmp_path: Path) -> None:
    """yes is text, a date is text, 0o17 is a number; merge keys and anchors work."""
    found = load_yaml(
        _file(
            tmp_path,
            """\
            base: &base {a: yes, b: 2024-01-31}
            merged: {<<: *base, b: 0o17, 5: 0x1F, null: ~}
            numbers: [1_000, 1e3, -.inf, 012, true]
            hash: "$2b$10$${x}"
            """,
        )
    )

    assert found == {
        "base": {"a": "yes", "b": "2024-01-31"},
        "merged": {"a": "yes", "b": 15, "5": 31, "null": None},
        "numbers": [1000, 1000.0, float("-inf"), 12, True],
        "hash": "$2b$10$${x}",
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n"
                for below, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            id="aliases of aliases",
        ),
        pytest.param("a: &a [*a, *a]", id="an alias of itself"),
        pytest.param(
            "a: &a {k: v}\n"
            + "".join(
                f"{name}: &{name} {{<<: [{','.join([f'*{below}'] * 9)}]}}\n"
                for below, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            id="merges of merges",
        ),
    ],
)
def test_aliases_do_not_grow_without_end(text: str, tmp_path: Path) -> None:
    """A small file that stands for a huge one is refused before it is built."""
    with pytest.raises(ConfigError, match="too many values once its aliases are followed"):
        load_yaml(_file(tmp_path, text))


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    """A megabyte is the most; more is somebody's data, not a config."""
    file = _file(tmp_path, "#" * (1024 * 1024) + "\n")

    with pytest.raises(ConfigError, match=r"drift.yml: has more than 1048576 bytes; save it"):
        load(file, {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not there, a folder, or not UTF-8: the path and the reason."""
    (tmp_path / "latin.yml").write_bytes(b"a: 1\nb: \xe9\n")

    with pytest.raises(ConfigError, match=r"no\.yml: cannot be read: No such file or directory"):
        load(tmp_path / "no.yml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_yaml(tmp_path)
    with pytest.raises(ConfigError, match=r"latin\.yml: is not UTF-8 \(line 2\)"):
        load_yaml(tmp_path / "latin.yml")


def test_other_yaml_names_its_errors_too(tmp_path: Path) -> None:
    """load_yaml has the same places and limits."""
    with pytest.raises(ConfigError, match=r"drift.yml:2: users.bob: given twice, first in line 1"):
        load_yaml(_file(tmp_path, "users: {bob: a,\n        bob: b}\n"))


def test_the_masked_config_has_defaults_and_no_secret(tmp_path: Path) -> None:
    """What /config shows: durations as text, thresholds that hold, URLs without passwords."""
    config = _load(
        tmp_path,
        """\
        models:
          - name: m
            reference: r.csv
            current: {url: "postgresql://u:${SECRET}@db/x?password=${SECRET}", table: t}
            thresholds: {missing_ratio: null}
        store: {url: "postgresql://u:${SECRET}@db/drift"}
        response:
          actions: [{name: tell, kind: http, url: "https://h/x?who=${SECRET}"}]
        """,
    )

    shown = masked_yaml(config)

    assert SECRET not in shown
    found = load_yaml(_file(tmp_path, shown))
    assert isinstance(found, dict)
    model = found["models"][0]
    assert model["current"]["url"] == "postgresql://u:***@db/x?***"
    assert model["windows"] == ["1h", "24h"]
    assert model["thresholds"]["psi"] == {"warning": 0.1, "critical": 0.25}
    assert model["thresholds"]["missing_ratio"] is None
    assert found["store"]["retention"] == "90d"


@settings(max_examples=25, deadline=None)
@given(owner=st.text(st.characters(codec="utf-8"), max_size=20))
@example(owner="\x85")
@example(owner=" \u2028a")
def test_what_is_shown_is_a_config_again(
    owner: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without secrets the text of /config loads as the config that it shows, whatever it holds."""
    config = Config.model_validate(
        {
            "models": [{"name": "m", "reference": "/r.csv", "current": "/c.csv", "owner": owner}],
            "data_dir": "/data",
        }
    )

    again = _load(tmp_path_factory.getbasetemp(), masked_yaml(config))

    assert masked_yaml(again) == masked_yaml(config)
    assert again.models[0].owner == owner
    assert config_hash(again) == config_hash(config)


def test_the_hash_tells_configs_apart_but_no_secrets(tmp_path: Path) -> None:
    """Other settings, another hash; another password, the same: it cannot be guessed by it."""
    text = HEAD + "store: {{url: 'postgresql://u:{}@db/x', max_megabytes: {}}}\n"

    one, same, other = (
        config_hash(_load(tmp_path, text.format(*parts)))
        for parts in (("a", 1), ("b", 1), ("a", 2))
    )

    assert one == same != other
    assert len(one) == 12
    assert int(one, 16) < 2**53, "a gauge holds it exactly"


# fmt: off
TOKENS = st.sampled_from([
    "models: ", " name: ", " url: ", " url_file: ", " thresholds: ", " psi: ", " windows: ",
    " : ", " - ", " ? ", " , ", "{", " } ", "[", " ] ", " a ", " 5m ", " 1 ", " 0x ", " .inf ",
    " 1:30 ", " - ", " ~ ", " true ", " 2024-01-31 ", " &a ", " *a ", " <<: ", " ! ", " !!int ",
    " !f", " !!binary ", " %YAML 1.1 ", " %TAG ! x ", " --- ", " # ", " > ", " ' ", " \" ",
    " \\U99999999 ", " \\ud800 ", " ${SECRET} ", "${", " $$ ", " = ", " @ ", " `", "\n", "\n  ",
    "\n- ", "\t", "|", "\\", "\u0000", "\u2028", "\ufeff", "\u00e9", "\r",
])
# fmt: on


def _message(read: Callable[[Path], object], file: Path) -> str:
    try:
        read(file)
    except ConfigError as error:
        return str(error)
    return f"{file}: is fine"


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(TOKENS, max_size=25).map(lambda tokens: "".join(tokens).encode()),
        st.lists(TOKENS, max_size=12).map(lambda tokens: (HEAD + "".join(tokens)).encode()),
    )
)
def test_whatever_a_file_holds_only_a_config_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """No text makes the loader fail in another way, nor say a value of the environment."""
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_bytes(content)

    for said in (_message(partial(load, environ=ENVIRON), file), _message(load_yaml, file)):
        assert said.startswith(str(file))
        assert SECRET not in said
