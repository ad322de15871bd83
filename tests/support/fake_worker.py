"""A worker process whose stages only take time: :func:`forked`, or ``python -m support.fake_worker QUEUE,...``.

The process is the real one in everything but its pipeline.  Its files depend on the song alone, so that runs can be
compared; what it did, and how often, is told by an append-only file.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from pipeline.audio.wav import WavFile
from pipeline.song import Report
from pipeline.song_notes import SongNotes
from pipeline.transcription.choices import AUTO
from service.logs import configure_logging
from service.settings import load_settings
from service.storage import file_sha256
from service.worker.process import run_worker
from support.pipeline import RATE_HZ, FakePipeline, FakeStem
from support.s3 import set_in_environment

SECONDS = "FAKE_SECONDS"  # that a stage takes
RUNS = "FAKE_RUNS"  # the append-only file
_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """A stage that was begun, or done to its end.

    Attributes:
        event: ``begin`` or ``end``.
        stage: ``separate``, ``transcribe`` or ``to_wav``.
        source: SHA-256 of what it worked on; of all stems together, where it worked on stems.
    """

    event: str
    stage: str
    source: str
    pid: int


@dataclass
class SlowPipeline(FakePipeline):
    """Takes its time in small steps, each of which is reported, then writes short files made from the song's bytes.

    Attributes:
        seconds: that a stage takes.
        runs: where each is noted.
    """

    seconds: float = 0.0
    runs: Path = field(default_factory=lambda: Path(os.devnull))

    def separate(
        self,
        source: Path,
        out_dir: Path,
        *,
        only: str | None = None,
        residual: bool = False,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> tuple[FakeStem, ...]:
        digest = file_sha256(source)
        with self._noted("separate", digest):
            self._take_time("separating", on_progress)
            stems = super().separate(source, out_dir, only=only, on_progress=_silent)
            for position, stem in enumerate(stems):
                noise = np.random.default_rng([int(digest[:12], 16), position]).uniform(-0.5, 0.5, RATE_HZ)
                sf.write(stem.path, noise.astype(np.float32), RATE_HZ)
        return stems

    def transcribe(
        self,
        stems: Mapping[str, Path],
        out_dir: Path,
        *,
        wanted: Collection[str] | None = None,
        transcriber: str = AUTO,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> SongNotes:
        digests = "".join(file_sha256(path) for _, path in sorted(stems.items()))
        with self._noted("transcribe", hashlib.sha256(digests.encode()).hexdigest()):
            self._take_time("transcribing", on_progress)
            return super().transcribe(stems, out_dir, wanted=wanted, transcriber=transcriber, on_progress=_silent)

    def to_wav(
        self, source: Path, out: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> WavFile:
        with self._noted("to_wav", file_sha256(source)):
            self._take_time("writing", on_progress)
            return super().to_wav(source, out, on_progress=_silent)

    @contextlib.contextmanager
    def _noted(self, stage: str, source: str) -> Iterator[None]:
        self._note(event="begin", stage=stage, source=source)
        yield
        self._note(event="end", stage=stage, source=source)

    def _note(self, **what: Any) -> None:
        with self.runs.open("ab", buffering=0) as file:  # one write, which others' cannot come into
            file.write(json.dumps({**what, "pid": os.getpid()}).encode() + b"\n")

    def _take_time(self, stage: str, report: Report | None) -> None:
        assert report is not None
        steps = max(1, round(self.seconds / _STEP_S))
        for step in range(steps):
            report(stage, step / steps)
            time.sleep(self.seconds / steps)
        report(stage, 1.0)


def read_runs(path: Path) -> list[Run]:
    """What was noted so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Run(**json.loads(line)) for line in lines]


def _silent(_stage: str, _fraction: float) -> None:
    """The time is taken, and told of, before."""


def forked(queues: str, env: Mapping[str, str], log: Path) -> BaseProcess:
    """A worker that starts at once: forked from a process that has imported everything, which takes seconds.

    It is no child of this process, and shares nothing with it or with other workers.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_in_its_own_place, args=(queues, dict(env), log), daemon=True)
    with set_in_environment({"PYTHONPATH": env["PYTHONPATH"]}):  # of the process that is forked from
        process.start()
    return process


def _in_its_own_place(queues: str, env: dict[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ.update(env)
    with log.open("ab") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    work(queues)


def work(queues: str) -> None:
    """Be such a worker, by the settings in the environment."""
    settings = load_settings()
    configure_logging(settings.log_format)
    logging.getLogger("arq.worker").setLevel(logging.INFO)  # tells who makes the rounds
    pipeline = SlowPipeline(seconds=float(os.environ[SECONDS]), runs=Path(os.environ[RUNS]))
    asyncio.run(run_worker(settings, queues.split(","), pipeline=pipeline))  # type: ignore[arg-type]


if __name__ == "__main__":
    work(sys.argv[1])
