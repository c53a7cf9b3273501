"""The papers name only what there is, and the example configs run."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from drift_exporter.cli import main
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml, load
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.metrics.families import FAMILIES
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import INCIDENT_FAMILIES
from drift_exporter.rules import Options, generate
from yaml_text import parsed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yml"))
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
PAPERS = [
    ROOT / "README.md",
    *(DOCS / f"{name}.md" for name in ("alerting", "cli", "compliance", "design")),
    *RUNBOOKS,
    *sorted((DOCS / "examples").glob("*.md")),
]

SECTIONS = [
    "## Meaning",
    "## Is it real?",
    "## Impact",
    "## Diagnosis",
    "## What to do",
    "## Escalate",
]


def _name(path: Path) -> str:
    return path.name


@cache
def _rules() -> list[dict[str, Any]]:
    """All rules that are shipped, with the alert that is off by default."""
    document = parsed(generate(None, dump_yaml, Options(watchdog=True)))
    return [rule for group in document["groups"] for rule in group["rules"]]


def _recorded() -> set[str]:
    return {rule["record"] for rule in _rules() if "record" in rule}


def _alerts() -> list[str]:
    return sorted({rule["alert"] for rule in _rules() if "alert" in rule})


@cache
def _exported() -> Mapping[str, set[str]]:
    """Labels of every series that the exporter itself names."""
    labels = {family.name: set(family.labels) for family in FAMILIES}
    labels |= {family.name: set(family.labels) for family in INCIDENT_FAMILIES}
    health = Health("1", "r")
    health.add_model("m")
    for metric in health.registry.collect():
        for sample in metric.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def _queries(text: str) -> list[str]:
    """Each line of a block of PromQL is a query."""
    blocks = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def _commands(text: str) -> Iterator[list[str]]:
    """What stands behind ``drift-exporter`` in blocks of shell or of no language, and in inline
    code."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in found if language in ("", "sh")]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^ *```.*?```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in [*lines, *re.findall(r"`([^`]+)`", prose)]:
        words = re.sub(r"(^|\s)#.*", "", code).split()
        if len(words) > 1 and words[0] == "drift-exporter":
            yield words[1:]


def _unknown(words: list[str]) -> str | None:
    """The first word of a command line that is no command or option, or None."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[0]
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    given = (word.partition("=")[0] for word in words if word.startswith("--"))
    return next((option for option in given if option not in options), None)


def _checked(rules: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "rules.yml"
    file.write_text(rules, encoding="utf-8")
    return subprocess.run(
        ["promtool", "check", "rules", str(file)], check=False, capture_output=True, text=True
    )


def _example(path: Path) -> Config:
    return load(path, {})


def test_there_are_examples_runbooks_and_their_papers() -> None:
    """Three cases, each a config and a paper; nothing of this module runs over an empty list."""
    assert len(EXAMPLES) == 3
    assert {path.with_suffix(".md") for path in EXAMPLES} <= set(PAPERS)
    assert {_example(path).models[0].tier for path in EXAMPLES} == {
        "low",
        "medium",
        "high",
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_an_example_loads_and_prometheus_takes_its_rules(path: Path, tmp_path: Path) -> None:
    """What a reader copies is a config, and the rules made of it are rules."""
    rules = generate(
        _example(path),
        dump_yaml,
        interval_of=lambda model: longest_gap_seconds(model.cron or model.interval.seconds),
    )

    found = _checked(rules, tmp_path)

    assert found.returncode == 0, found.stderr


def test_the_examples_are_the_cases_of_the_handbook() -> None:
    """A monthly recommender, imaging by demographic group above PSI 0.05, and a lenient pilot."""
    shop, imaging, pilot = (
        _example(DOCS / "examples" / f"{name}.yml").models[0]
        for name in ("recommender", "imaging", "maintenance")
    )

    assert shop.retrain_every is not None
    assert shop.retrain_every.text == "30d"
    assert imaging.threshold("contrast", "psi", "warning") == 0.05
    assert {"sex", "age_band"} <= set(imaging.segments)
    # Tier low has no critical alerts: a threshold that is critical only would alert nobody.
    assert pilot.tier == "low"
    assert pilot.threshold("rpm", "psi", "warning") is not None


def test_every_alert_has_its_runbook_and_no_other_is_there() -> None:
    """The link of each alert leads to a page, and no page outlives its alert."""
    assert [path.stem for path in RUNBOOKS] == _alerts()


@pytest.mark.parametrize("path", RUNBOOKS, ids=_name)
def test_a_runbook_has_its_sections(path: Path) -> None:
    """Who is woken at night finds everything where it always is, each with something in it."""
    text = path.read_text(encoding="utf-8")
    # A block's comments begin with a hash too.
    prose = re.sub(r"```.*?```", "code", text, flags=re.DOTALL)

    headings = re.findall(r"^#+ .*$", prose, re.MULTILINE)
    assert headings == [f"# {path.stem}", *SECTIONS]
    assert all(part.strip() for part in re.split(r"^## .*$", prose, flags=re.MULTILINE)[1:])
    assert _queries(text)
    assert 30 <= len(text.splitlines()) <= 70


def test_the_paper_tells_of_every_alert() -> None:
    """Its table has a row for each, with the link to the runbook."""
    text = (DOCS / "alerting.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\)", text, re.MULTILINE)

    assert sorted(rows) == [(name, name) for name in _alerts()]


@pytest.mark.parametrize("path", PAPERS, ids=_name)
def test_a_paper_names_only_metrics_that_exist(path: Path) -> None:
    """Each metric is exported or recorded, and a selector uses labels that it has."""
    text = path.read_text(encoding="utf-8")
    exported, recorded = _exported(), _recorded()

    names = set(re.findall(r"(?<![\w:])(?:[a-z_]+:)?modeldrift[_:][a-z_]+(?::[a-z_]+)?", text))
    assert names <= {*exported, *recorded}

    for name, selector in re.findall(r"(?<![\w:])(modeldrift_[a-z_]+)\{([^}]*)\}", text):
        used = set(re.findall(r"(\w+)=", selector))
        assert used <= exported[name] | {"job", "instance"}, name


@pytest.mark.parametrize("path", PAPERS, ids=_name)
def test_a_paper_names_only_alerts_that_exist(path: Path) -> None:
    """Each is shipped; a name that is cut short by an ellipsis begins one that is."""
    text = path.read_text(encoding="utf-8")
    for name, cut in re.findall(r"\b(ModelDrift[A-Z]\w+)(…?)", text):
        assert any(alert.startswith(name) if cut else alert == name for alert in _alerts()), name


def test_prometheus_takes_every_query_of_the_papers(tmp_path: Path) -> None:
    """A query is pasted as it stands: it must be one."""
    queries = [q for path in PAPERS for q in _queries(path.read_text(encoding="utf-8"))]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]

    found = _checked(dump_yaml({"groups": [{"name": "queries", "rules": rules}]}), tmp_path)

    assert found.returncode == 0, found.stderr
    assert f"{len(queries)} rules found" in found.stdout


@pytest.mark.parametrize("path", PAPERS, ids=_name)
def test_a_paper_names_only_commands_that_exist(path: Path) -> None:
    """Commands, subcommands and options of drift-exporter, as the command line knows them."""
    text = path.read_text(encoding="utf-8")

    assert [_unknown(words) for words in _commands(text) if _unknown(words)] == []


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        pytest.param("`drift-exporter profile\n  build --model=m`", None, id="over two lines"),
        pytest.param("`drift-exporter profil build`", "profil", id="a command"),
        pytest.param("`drift-exporter profile built`", "built", id="a subcommand"),
        pytest.param("```sh\ndrift-exporter rules --jobs=x\n```", "--jobs", id="an option"),
        pytest.param("`drift-exporter --shard=0/2`", None, id="the command itself"),
        pytest.param("```\ndrift-exporter rule\n```", "rule", id="no language"),
        pytest.param("```\ndrift-exporter rules  # to --be loaded\n```", None, id="a comment"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, unknown: str | None) -> None:
    """The check above can fail."""
    assert [_unknown(words) for words in _commands(command)] == [unknown]


@pytest.mark.parametrize("path", PAPERS, ids=_name)
def test_links_between_papers_lead_somewhere(path: Path) -> None:
    """Files are there, and so are the headings within them."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"\W+", "-", heading.lower()) for heading in headings}


def test_every_picture_is_shown() -> None:
    """No picture outlives the paper that showed it."""
    shown = {
        name
        for path in PAPERS
        for name in re.findall(r"!\[[^]]+\]\([\w/]*images/([^)]+)\)", path.read_text("utf-8"))
    }

    assert shown == {path.name for path in (DOCS / "images").iterdir()}


def test_the_routing_test_of_the_paper_passes() -> None:
    """The command that the paper gives for routes holds for the config that is shipped."""
    config = ROOT / "alert_rules" / "alertmanager" / "alertmanager.yml"
    text = (DOCS / "alerting.md").read_text(encoding="utf-8").replace("\\\n", " ")
    command = re.search(r"^amtool config routes test .*--verify.*$", text, re.MULTILINE)
    assert command is not None

    words = command[0].replace("--config.file=alertmanager.yml", f"--config.file={config}").split()

    found = subprocess.run(words, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
