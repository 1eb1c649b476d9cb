"""The command `scripts/demo`."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click
import torch
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

import paramviz
from paramviz.cli.view import DEFAULT_PORT
from paramviz.errors import ParamvizError
from train_demo import runs, smoke
from train_demo.text import Corpus, TextError, read_text, standard_library_text
from train_demo.training import Trainer, TrainingSettings
from train_demo.viewer_process import ViewerError, ViewerProcess, is_free

PROJECT_ROOT = Path(__file__).resolve().parents[2]
BLOCK_SIZE = 64
SMOKE_ITERATIONS = 60
PROMPT = "def "
SAMPLE_CHARACTERS = 320

BUDGETS = paramviz.SampleBudgets(
    embeddings=16_384, outer=16_384, middle=16_384, outer_vectors=1_024, middle_vectors=1_024
)
"""A small model can afford sharp pictures: 128 × 128 of each matrix, every vector whole."""

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Demo:
    """One run of the demonstration: where it goes, how it is recorded and shown."""

    trainer: Trainer
    run: Path
    schedule: str
    port: int
    browser: bool

    def recorder(self) -> paramviz.Recorder:
        """Makes the run."""
        self.run.parent.mkdir(parents=True, exist_ok=True)
        return paramviz.Recorder(
            self.run,
            self.trainer.model,
            self.trainer.optimizer,
            schedule=self.schedule,
            config=self.trainer.config(),
            vocabulary=self.trainer.corpus.tokenizer.vocabulary,
            budgets=BUDGETS,
        )

    def viewer(self) -> ViewerProcess:
        """Starts the viewer with this run and earlier ones."""
        return ViewerProcess(runs.runs_to_compare(self.run), port=self.port, browser=self.browser)

    def train(self, recorder: paramviz.Recorder) -> None:
        """Make all steps under a progress bar."""
        columns = (
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("validation {task.fields[validation]:.3f}"),
            TextColumn("{task.fields[speed]:.1f} it/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            unknown = float("nan")
            task = progress.add_task(
                "training",
                total=self.trainer.settings.iterations,
                loss=unknown,
                validation=unknown,
                speed=unknown,
            )
            started_s = time.monotonic()
            for step in self.trainer.train(recorder, runs.checkpoints_of(self.run)):
                done = step.iteration + 1
                progress.update(
                    task, completed=done, loss=step.loss, speed=done / (time.monotonic() - started_s)
                )
                if step.validation_loss is not None:
                    progress.update(task, validation=step.validation_loss)


def watch(demo: Demo) -> None:
    """Train with the viewer at one's side, and keep serving afterwards."""
    with demo.recorder() as recorder, demo.viewer() as viewer:
        console.print(Panel(Text(viewer.url, style="bold"), title="watch it live", expand=False))
        demo.train(recorder)
        recorder.close()
        console.print(Panel(Text(demo.trainer.sample(PROMPT, SAMPLE_CHARACTERS)), title="what it writes now"))
        console.print(f"The run is in {demo.run}. The viewer stays at {viewer.url} until Ctrl-C.")
        try:
            status = viewer.wait()
        except KeyboardInterrupt:
            return
        raise ViewerError(f"The viewer ended with status {status}: {viewer.last_words()}")


def record(demo: Demo) -> None:
    """Train with nobody looking."""
    with demo.recorder() as recorder:
        demo.train(recorder)


def check(demo: Demo) -> None:
    """Train with nobody there, and check that the viewer answers. Raises CheckFailedError."""
    with demo.recorder() as recorder, demo.viewer() as viewer:
        client = smoke.ViewerClient(viewer.url)
        run_id = paramviz.open_run(demo.run).run_id
        smoke.check_page(client)
        smoke.check_run_is_listed(client, run_id)
        smoke.check_status(client, run_id, "recording")
        tail = smoke.TailListener(client, run_id)
        demo.train(recorder)
        training_ended_s = time.monotonic()
        recorder.close()
        messages = tail.check(training_ended_s=training_ended_s)
        smoke.check_frames(client, run_id)
        smoke.check_scalars(client, run_id, steps=demo.trainer.settings.iterations)
        smoke.check_status(client, run_id, "finished")
    console.print(f"smoke: the page, the frames, the scalars and the tail ({messages} live messages) answer.")


def describe(demo: Demo) -> None:
    """Say what is about to happen."""
    corpus, model = demo.trainer.corpus, demo.trainer.model
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    n_characters = len(corpus.training_N) + len(corpus.validation_N)
    console.print(
        f"A GPT of {n_parameters:,} parameters learns {n_characters:,} characters of text "
        f"({len(corpus.tokenizer.vocabulary)} different ones) "
        f"in {demo.trainer.settings.iterations:,} iterations."
    )
    console.print(f"Recorded in {demo.run}")


def choose_port(asked: int | None) -> int:
    """The port asked for; else the usual one, or 0 (any free one) if that is taken.

    Raises ViewerError now, before a run is made, if the port asked for is taken.
    """
    if asked is None:
        return DEFAULT_PORT if is_free(DEFAULT_PORT) else 0
    if asked and not is_free(asked):
        raise ViewerError(f"Port {asked} is in use. Name another one, or leave --port out to get a free one.")
    return asked


def fail(message: str, *, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)


@click.command()
@click.option("--iterations", type=click.IntRange(min=1), help="Steps of training.  [default: 1000]")
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    help="Learn from this UTF-8 text instead of Python's own sources.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which the run demo-N is made.  [default: runs/ of this project]",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the viewer, 0 for a free one.")
@click.option("--schedule", default="adaptive", show_default=True, help="adaptive, or every N-th iteration.")
@click.option("--seed", default=TrainingSettings().seed, show_default=True, help="Same seed, same run.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=TrainingSettings().learning_rate,
    show_default=True,
    help="Its peak.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--no-viewer", is_flag=True, help="Only train and record.")
@click.option(
    "--smoke", "is_smoke", is_flag=True, help="A short run, unattended, that checks the viewer and ends."
)
def main(
    iterations: int | None,
    text: Path | None,
    out: Path | None,
    port: int | None,
    schedule: str,
    seed: int,
    learning_rate: float,
    no_browser: bool,
    no_viewer: bool,
    is_smoke: bool,
) -> None:
    """Train a small GPT on text, record it, and watch it live in the browser.

    Run it twice and both runs are offered for comparison.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # One core is left to the viewer, the browser and the writer: threads that wait for each
    # other at every operation lose more to a busy core than that core would bring them.
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    settings = TrainingSettings(
        iterations=iterations or (SMOKE_ITERATIONS if is_smoke else TrainingSettings().iterations),
        learning_rate=learning_rate,
        seed=seed,
    )
    with tempfile.TemporaryDirectory(prefix="paramviz-smoke-") as scratch:
        folder = out or (Path(scratch) if is_smoke else PROJECT_ROOT / "runs")
        try:
            corpus = Corpus.of(read_text(text) if text else standard_library_text(), BLOCK_SIZE)
            demo = Demo(
                trainer=Trainer(settings, corpus, BLOCK_SIZE),
                run=runs.next_run(folder),
                schedule=schedule,
                port=choose_port(0 if is_smoke and port is None else port),
                browser=not (no_browser or is_smoke),
            )
            describe(demo)
            action = check if is_smoke else record if no_viewer else watch
            action(demo)
        except smoke.CheckFailedError as error:
            fail(f"smoke: FAILED: {error}", status=1)
        except ParamvizError as error:
            fail(f"error: {error}", status=error.exit_code)
        except (TextError, ViewerError) as error:
            fail(f"error: {error}", status=3)
        except KeyboardInterrupt:
            fail("Stopped before the end; what was recorded is kept.", status=130)


if __name__ == "__main__":
    main()
