"""The board of the exporter itself: do its runs succeed, in time, and is anything withheld."""

from grafana.panels import (
    CRITICAL,
    OK,
    THRESHOLD,
    WARNING,
    column,
    graph,
    placed,
    row,
    stat,
    table,
    tables,
    target,
    timeline,
    words,
)
from grafana.parts import (
    FEATURE,
    FLEET,
    HEALTH,
    INCIDENTS_BOARD,
    MODEL,
    Json,
    common_annotations,
    common_variables,
    dashboard,
    link,
    row_link,
)
from grafana.promql import MODELS, series, worst

RATE = "[$__rate_interval]"
GOOD_IF_ONE = ((0, "no", CRITICAL), (1, "yes", OK))
RUNS = ((0, "failed", CRITICAL), (1, "succeeded", OK))
MANY_STEPS = ((None, OK), (3, WARNING), (6, CRITICAL))
"""Lines at 3 and 6: from 3 intervals on scores are stale by default."""


def _stats() -> list[tuple[int, Json]]:
    up = series("up")
    # Other targets of the same job would be no exporters.
    ours = f"{up} and on (job, instance) {series('modeldrift_exporter_build_info')} or {up} == 0"
    return [
        (
            4,
            stat(
                "Up",
                "Whether the last scrape succeeded, of each exporter.",
                f"min by (instance) ({ours})",
                named=((0, "down", CRITICAL), (1, "up", OK)),
                legend="{{instance}}",
            ),
        ),
        (
            4,
            stat(
                "Config loaded",
                "Whether the last load of the config file succeeded.",
                f"min({series('modeldrift_exporter_config_last_reload_successful')})",
                named=GOOD_IF_ONE,
            ),
        ),
        (
            4,
            stat(
                "Store writable",
                "Whether the last write to the store succeeded.",
                f"min({series('modeldrift_exporter_store_writable')})",
                named=GOOD_IF_ONE,
            ),
        ),
        (
            4,
            stat(
                "Store made anew",
                "Whether the store was found corrupt at start and moved aside.",
                f"max({series('modeldrift_exporter_store_recreated')})",
                named=((0, "no", OK), (1, "yes", WARNING)),
            ),
        ),
        (
            4,
            stat(
                "Series withheld",
                "Series over max_series; the least important families go first.",
                f"sum({series('modeldrift_exporter_series_dropped')})",
                colours=((None, OK), (1, WARNING)),
            ),
        ),
        (
            4,
            stat(
                "Scrapes from old scores",
                "Scrapes in the range that were answered with the last good scores, because "
                "rendering failed.",
                f"sum(increase({series('modeldrift_exporter_render_errors_total')}[$__range]))",
                colours=((None, OK), (1, CRITICAL)),
                decimals=0,
            ),
        ),
    ]


def _models() -> Json:
    def of_model(name: str) -> str:
        return worst("model", series(f"modeldrift_{name}", MODELS))

    to_model = row_link(MODEL, "Look into this model", model="${__value.raw}")
    times = ("Last success", "Last attempt", "Next run")
    return table(
        "Models",
        "When each model ran and will run.",
        tables(
            A=f"min by (model) ({series('modeldrift_run_success', MODELS)})",
            B=f"{of_model('run_last_success_timestamp_seconds')} * 1000",
            C=f"{of_model('run_last_attempt_timestamp_seconds')} * 1000",
            D=f"{of_model('run_next_timestamp_seconds')} * 1000",
            E=of_model("run_interval_seconds"),
            F=of_model("run_duration_seconds"),
            G=of_model("run_rows_read"),
        ),
        {
            "model": "Model",
            "Value #A": "Last run",
            "Value #B": "Last success",
            "Value #C": "Last attempt",
            "Value #D": "Next run",
            "Value #E": "Interval",
            "Value #F": "Duration",
            "Value #G": "Rows read",
        },
        [
            column("Model", links=[to_model]),
            column("Last run", mappings=words(RUNS), custom__cellOptions={"type": "color-text"}),
            *(column(name, unit="dateTimeFromNow") for name in times),
            column("Interval", unit="s"),
            column("Duration", unit="s"),
            column("Rows read", unit="short"),
        ],
        "Last success",
        descending=False,
    )


def _runs() -> list[Json]:
    last = series("modeldrift_run_last_success_timestamp_seconds", MODELS)
    interval = series("modeldrift_run_interval_seconds", MODELS)
    duration = series("modeldrift_run_duration_seconds", MODELS)
    phases = series("modeldrift_run_phase_duration_seconds", MODELS)
    failures = series("modeldrift_run_failures_total", MODELS)
    skipped = series("modeldrift_runs_skipped_total", MODELS)
    return [
        graph(
            "Time since the last success, in intervals",
            "Below 2 all is well. Dashed: 3, from where scores are stale by default, and 6.",
            [target(worst("model", f"(time() - {last}) / {interval}"), "{{model}}")],
            "none",
            lines_at=MANY_STEPS,
            decimals=1,
        ),
        graph(
            "Duration of runs, in intervals",
            "From 1 on a run is not done when the next is due.",
            [target(worst("model", f"{duration} / {interval}"), "{{model}}")],
            "percentunit",
            lines_at=((None, OK), (1, CRITICAL)),
        ),
        graph(
            "Where the time of runs goes",
            "Duration of each phase of the last run, the slowest model of each.",
            [target(worst("phase", phases), "{{phase}}")],
            "s",
            stacked=True,
        ),
        graph(
            "Failed runs",
            "By reason. No bar: no run failed.",
            [
                target(
                    f"sum by (model, reason) (increase({failures}{RATE})) > 0",
                    "{{model}}: {{reason}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
        graph(
            "Runs that did not start",
            "Overlap: the run before was still at it. Misfire: the exporter slept. No bar: all "
            "that were due have started.",
            [
                target(
                    f"sum by (model, reason) (increase({skipped}{RATE})) > 0",
                    "{{model}}: {{reason}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
    ]


def _rows() -> list[Json]:
    read = series("modeldrift_run_rows_read", MODELS)
    rejected = series("modeldrift_rows_rejected_total", MODELS)
    return [
        graph(
            "Rows per run",
            "Rows that the last run read from its source: what is new, and the last lateness "
            "again.",
            [target(worst("model", read), "{{model}}")],
        ),
        graph(
            "Rows refused",
            "Rows that could not be counted: no event time, not readable, or of the future. No "
            "bar: none.",
            [
                target(
                    f"sum by (model, reason) (increase({rejected}{RATE})) > 0",
                    "{{model}}: {{reason}}",
                )
            ],
            bars=True,
            decimals=0,
        ),
    ]


def _process() -> list[Json]:
    # Only of exporters: another target of the same job has these metrics too.
    ours = f"and on (job, instance) {series('modeldrift_exporter_build_info')}"
    memory = series("process_resident_memory_bytes")
    cpu = series("process_cpu_seconds_total")
    files = series("process_open_fds")
    return [
        graph(
            "Series",
            "Series of scores that are exposed; dashed: max_series, over which they are withheld.",
            [
                target(worst("instance", series("modeldrift_exporter_series")), "{{instance}}"),
                target(
                    f"min({series('modeldrift_exporter_series_limit')})",
                    "max_series",
                    THRESHOLD,
                ),
            ],
        ),
        graph(
            "Samples per scrape",
            "As Prometheus counts them: scores and our own health.",
            [target(f"{series('scrape_samples_scraped')} {ours}", "{{instance}}")],
        ),
        graph(
            "Scrape duration",
            "A scrape joins bytes that are there; it never computes.",
            [target(f"{series('scrape_duration_seconds')} {ours}", "{{instance}}")],
            "s",
        ),
        graph(
            "Memory",
            "Resident memory of the process.",
            [target(f"{memory} {ours}", "{{instance}}")],
            "bytes",
        ),
        graph(
            "CPU",
            "Cores that the process uses.",
            [target(f"rate({cpu}{RATE}) {ours}", "{{instance}}")],
            "none",
            decimals=3,
        ),
        graph(
            "Open files",
            "File descriptors of the process.",
            [target(f"{files} {ours}", "{{instance}}")],
        ),
    ]


def _builds() -> Json:
    return table(
        "Builds",
        "Version of each exporter.",
        tables(
            A=worst(
                "instance, version, revision, pythonversion",
                series("modeldrift_exporter_build_info"),
            )
        ),
        {
            "instance": "Instance",
            "version": "Version",
            "revision": "Revision",
            "pythonversion": "Python",
        },
        [],
        "Instance",
        descending=False,
        unit="none",
    )


def health() -> Json:
    """The dashboard."""
    age, duration, phases, failures, skipped = _runs()
    read, rejected = _rows()
    held, samples, scrape, memory, cpu, files = _process()
    outcomes = timeline(
        "Outcome of runs",
        "Of each model. A failure keeps the last scores until they are stale.",
        [
            target(
                f"min by (model) ({series('modeldrift_run_success', MODELS)})",
                "{{model}}",
            )
        ],
        RUNS,
    )
    return dashboard(
        HEALTH,
        "The exporter itself: runs, failures, the series budget and its process.",
        common_variables(many_models=True),
        [
            link(FLEET, "job", "instance", "model"),
            link(MODEL, "job", "instance"),
            link(FEATURE, "job", "instance"),
            link(INCIDENTS_BOARD, "job", "instance", "model"),
        ],
        common_annotations(),
        placed(
            (4, _stats()),
            (7, [(14, _models()), (10, outcomes)]),
            row("Runs"),
            (9, [(8, age), (8, duration), (8, phases)]),
            (8, [(6, failures), (6, skipped), (6, read), (6, rejected)]),
            row("Exporter"),
            (8, [(8, held), (8, samples), (8, scrape)]),
            (8, [(8, memory), (8, cpu), (8, files)]),
            (4, [(24, _builds())]),
        ),
    )
