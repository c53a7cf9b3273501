"""demo: a model that drifts before your eyes."""

import os
import signal
from pathlib import Path

import click

from drift_exporter.cli.options import errors_end_here, option
from drift_exporter.cli.serve import main
from drift_exporter.config import parse_duration


@main.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("drift-demo"),
    show_default=True,
    help="Folder for the demo's files; an earlier demo's are replaced.",
)
@option(
    "--web.listen-address",
    default=":10033",
    help="Address that the exporter listens on.",
)
@click.option("--drift-after", default="1m", show_default=True, help="When the drift begins.")
@click.option("--drift-for", default="6m", show_default=True, help="How long it lasts.")
@click.option("--for", "lasting", default="1h", show_default=True, help="When the demo ends.")
def demo(
    folder: Path, web_listen_address: str, drift_after: str, drift_for: str, lasting: str
) -> None:
    """Write a believable inference log, serve it, and let it drift after a minute.

    Where prometheus and prometheus-alertmanager are installed, they are started beside it.
    """
    from rich.console import Console
    from rich.progress import Progress

    from drift_exporter.app import App, Options
    from drift_exporter.config_file import dump_yaml, load, load_yaml
    from drift_exporter.demo.receiver import receiving
    from drift_exporter.demo.stage import reachable, stage
    from drift_exporter.rules import Options as RuleOptions
    from drift_exporter.rules import Trial, generate, write_trial

    console = Console()

    def rules(path: Path) -> str:
        config = load(path, os.environ)
        return generate(config, dump_yaml, RuleOptions(exporter_url=config.response.public_url))

    def tell(message: str) -> None:
        console.print(f"\n{message}\n", markup=False, highlight=False, soft_wrap=True)

    with (
        errors_end_here(),
        receiving(tell) as receiver,
        Progress(console=console, transient=True) as bar,
    ):
        # Long enough to gather the features that drift one after the other into one message, and
        # those that recover into another.
        incidents = f"http://{reachable(web_listen_address)}/alerts"
        trial = Trial(
            receiver.slack_url, receiver.pagerduty_url, "90s", "165s", "1h", webhook_url=incidents
        )
        task = bar.add_task("seven days of history", total=1.0)
        with stage(
            folder,
            web_listen_address,
            drift_after_seconds=parse_duration(drift_after).seconds,
            drift_seconds=parse_duration(drift_for).seconds,
            rules=rules,
            alerting=lambda beside: write_trial(beside, trial, load_yaml, dump_yaml),
            progress=lambda share: bar.update(task, completed=share),
        ) as found:
            bar.stop()
            app = App(Options(found.config, (web_listen_address,)), os.environ)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
                signal.signal(number, lambda *_: app.stop_soon())
            signal.setitimer(signal.ITIMER_REAL, parse_duration(lasting).seconds)
            try:
                app.start()
                console.print(found.story, markup=False, highlight=False, soft_wrap=True)
                app.wait()
            finally:
                app.stop()
