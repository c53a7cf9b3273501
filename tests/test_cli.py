"""The command line: its paper, its exit codes, its messages."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from drift_exporter.cli import main
from drift_exporter.papers import cli_docs

MINIMAL = """\
models:
  - name: credit
    reference: reference.parquet
    current: current/*.parquet
"""


def test_the_paper_of_the_commands_is_current() -> None:
    """``docs/cli.md`` is what ``--help`` says."""
    paper = Path(__file__).parents[1] / "docs" / "cli.md"

    assert paper.read_text(encoding="utf-8") == cli_docs.markdown(), "run 'make docs'"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        pytest.param(["check-config"], 0, "1 model(s): credit", id="four lines are a config"),
        pytest.param(["--config.check"], 0, "1 model(s): credit", id="the toolkit's flag"),
        pytest.param(["--version"], 0, "drift-exporter, version", id="version"),
        pytest.param(["--shard=2/2"], 2, "I below N", id="a shard that is none"),
        pytest.param(["run-once", "--model=x"], 1, "the config has: credit", id="unknown model"),
        pytest.param(["run-once", "--at=noon"], 2, "2024-01-31T12:00Z", id="no time"),
        pytest.param(["profile", "show", "gone.json"], 1, "profile build", id="no such profile"),
        pytest.param(["profile", "build"], 1, "reference.parquet", id="reference not there"),
        pytest.param(["--config.file=no.yml"], 1, "no.yml", id="no config"),
        pytest.param(["frobnicate"], 2, "No such command", id="unknown command"),
        pytest.param(
            ["healthcheck", "--url=http://127.0.0.1:9"], 1, "does not answer", id="no exporter"
        ),
    ],
)
def test_commands_end_with_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, text: str
) -> None:
    """Each outcome has its exit code and a message that says what to do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drift.yml").write_text(MINIMAL)

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == code, done.output
    assert text in done.output
    assert "Traceback" not in done.output


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    """Every option has an environment variable."""
    config = tmp_path / "other.yml"
    config.write_text(MINIMAL)

    done = CliRunner().invoke(
        main, ["--config.check"], env={"DRIFT_EXPORTER_CONFIG_FILE": str(config)}
    )

    assert (done.exit_code, "other.yml: fine" in done.output) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--config.file=other.yml", "check-config"], id="before the command"),
        pytest.param(["check-config", "--config.file=other.yml"], id="after it"),
        pytest.param(
            ["--config.file=none.yml", "check-config", "--config.file=other.yml"],
            id="after it is stronger",
        ),
    ],
)
def test_the_config_file_may_stand_on_either_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """An option given before a command is not lost, also where commands are nested."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yml").write_text(MINIMAL)

    done = CliRunner().invoke(main, arguments)
    nested = CliRunner().invoke(main, ["--config.file=other.yml", "profile", "show"])

    assert (done.exit_code, "other.yml: fine" in done.output) == (0, True)
    assert "no such file; make it with" in nested.output


def test_the_storage_may_be_elsewhere_for_commands_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder given before a command is where it looks, and nothing of it stays behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRIFT_EXPORTER_STORAGE_PATH", "env")
    (tmp_path / "drift.yml").write_text(MINIMAL)

    for given, place in ((["--storage.path=state"], "state"), ([], "env")):
        shown = CliRunner().invoke(main, [*given, "profile", "show"])
        verified = CliRunner().invoke(main, [*given, "audit", "verify"])
        assert str(tmp_path / place / "profiles") in shown.output
        assert f"{tmp_path / place / 'drift.db'}: there is no store" in verified.output
