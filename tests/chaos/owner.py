"""The owner of the jobs, who keeps creating them and interfering with them."""

import random
import uuid
from collections import Counter
from contextlib import suppress
from typing import Any

import openai

from tests.chaos.installation import Installation
from tests.e2e.server import BASE, jsonl

EXAMPLES, BATCH, EPOCHS = 12, 4, 3
STEPS_OF_AN_EPOCH = EXAMPLES // BATCH
_ENDED = ("succeeded", "failed", "cancelled")
_ERRORS = (openai.APIConnectionError, openai.InternalServerError)


class Owner:
    """Every method makes one or two requests, which may fail; the next round repeats them."""

    def __init__(self, installation: Installation, rng: random.Random, most_jobs: int) -> None:
        self._client = installation.client(timeout=20)
        self._rng = rng
        self._most_jobs = most_jobs
        self._file: str | None = None
        self._key = ""
        """Idempotency key of the create request that has not been answered yet."""
        self._priority = ""
        self.accepted: list[str] = []
        self.unfinished: dict[str, str] = {}
        """Last known status of each job."""
        self.requests: Counter[str] = Counter()

    @property
    def is_done(self) -> bool:
        return len(self.accepted) == self._most_jobs and not self.unfinished

    def act(self, most_unfinished: int) -> None:
        """Creates a job if there are fewer than this many in progress, looks at the jobs, and sometimes
        interferes."""
        with suppress(*_ERRORS):
            if len(self.unfinished) < most_unfinished and len(self.accepted) < self._most_jobs:
                self._create()
            self._look()
            if self.unfinished and self._rng.random() < 0.1:
                self._interfere()

    def finish(self) -> None:
        """Resumes paused jobs."""
        with suppress(*_ERRORS):
            self._look()
            for job_id in [id for id, status in self.unfinished.items() if status == "paused"]:
                with suppress(openai.ConflictError):
                    self._client.fine_tuning.jobs.resume(job_id)

    def _create(self) -> None:
        """Repeats the same request until it is answered: it creates only one job, however often it
        arrives."""
        if self._file is None:
            content = jsonl(EXAMPLES)
            file = self._client.files.create(file=("train.jsonl", content), purpose="fine-tune")
            self._file = file.id
        if not self._key:
            self._key = uuid.uuid4().hex
            self._priority = self._rng.choice(("low", "low", "normal"))
        hyperparameters: Any = {"n_epochs": EPOCHS, "batch_size": BATCH}
        # The built-in general set takes longer than these steps.
        training = {"general_file": self._file}
        job = self._client.fine_tuning.jobs.create(
            model=BASE,
            training_file=self._file,
            seed=7,
            method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
            extra_body={"training": training, "tunery": {"priority": self._priority}},
            extra_headers={"Idempotency-Key": self._key},
        )
        self._key = ""
        self.accepted.append(job.id)
        self.unfinished[job.id] = job.status

    def _look(self) -> None:
        for job_id in list(self.unfinished):
            self.unfinished[job_id] = self._client.fine_tuning.jobs.retrieve(job_id).status
            if self.unfinished[job_id] in _ENDED:
                del self.unfinished[job_id]

    def _interfere(self) -> None:
        job_id = self._rng.choice(list(self.unfinished))
        jobs = self._client.fine_tuning.jobs
        what = self._rng.choice(("pause", "pause", "resume", "resume", "resume", "cancel"))
        with suppress(openai.ConflictError):
            {"pause": jobs.pause, "resume": jobs.resume, "cancel": jobs.cancel}[what](job_id)
            self.requests[what] += 1
