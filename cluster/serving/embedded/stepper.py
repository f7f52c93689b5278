"""Continuous batching, one step at a time: prefill who is next, decode for everyone, hand out text."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cluster.contracts.errors import CorruptArtefact, InvalidRequest, Overloaded, TuneryError
from cluster.contracts.generation import FinishEvent, PromptEvent
from cluster.serving.embedded.request import Choice, Job, Output
from cluster.serving.embedded.runner import Prefill, Runner
from cluster.serving.embedded.sampling import Draw, pick_tokens
from cluster.serving.embedded.scheduler import Waiting, pick_group
from cluster.serving.fairness.overload import is_overloaded
from cluster.serving.fairness.reserved_slots import reserved_slots
from cluster.serving.fairness.sharing import Pace, Shares
from cluster.serving.limits import Limits
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.guidance import Masks
from cluster.serving.text.logprobs import Scored, score
from cluster.serving.text.vocabulary import Vocabulary

_SCORED_TOKENS = 256
"""Of a scored prompt in one pass: each needs a row of logits, 512 KB for a vocabulary of 128k."""


@dataclass(eq=False)
class _Group:
    """Choices whose prompts are being prefilled, and the row of each job in it."""

    choices: list[Choice]
    rows: dict[Job, int]
    prefill: Prefill
    scored: list[Scored]

    @property
    def tenants(self) -> frozenset[str]:
        return frozenset(choice.tenant for choice in self.choices)


class Stepper:
    """The state machine of one engine. Not thread-safe: one thread owns it, the model and every tensor."""

    def __init__(
        self,
        runner: Runner,
        vocabulary: Vocabulary,
        *,
        stop_tokens: frozenset[int],
        limits: Limits,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runner = runner
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._limits = limits
        self._masks = Masks(runner.num_embeddings)
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Choice] = []
        self._groups: list[_Group] = []
        """That take several steps, the oldest first."""
        self._rows: list[Choice] = []
        """In the order of the runner's rows."""
        self._pace = Pace()
        self._stepped_at = clock()
        """When the rows had their last tokens, later by what prompts have taken since."""
        self._outputs: list[Output] = []
        self.generated_tokens = 0

    @property
    def has_work(self) -> bool:
        return bool(self._jobs or self._outputs)

    @property
    def num_running(self) -> int:
        return len(self._rows) + len(self._under_way())

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Queues a job, or answers it with Overloaded."""
        queued = Counter(choice.job.request.tenant for choice in self._waiting)
        n = job.sampling.n if job.prompt.max_tokens else 1
        if is_overloaded(queued, job.request.tenant, n, max_waiting=self._limits.max_waiting):
            self._outputs.append(
                (job, Overloaded(f"{len(self._waiting)} completions wait already; try again in a moment."))
            )
            return
        self._jobs[job.request.id] = job
        job.open_choices = job.sampling.n
        if not job.must_score:
            self._announce(job, [])
            if job.prompt.max_tokens == 0:
                self._finish_empty(job)
                return
        self._waiting += [self._choice(job, index) for index in range(n)]

    @torch.inference_mode()
    def cancel(self, request_id: str) -> None:
        """Ends a job without another event. Its rows are free before the next step."""
        if job := self._jobs.get(request_id):
            self._end(job, None)
            self._sweep()

    def fail_all(self, error: TuneryError) -> None:
        """Ends every job with `error` and starts from empty memory."""
        for job in list(self._jobs.values()):
            self._end(job, error)
        self._waiting, self._rows, self._groups = [], [], []
        self._runner.clear()

    def take_outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    @torch.inference_mode()
    def read(self) -> None:
        """The first half of a step: a budget of prompts, and a first token for those that are read."""
        if not self._rows:
            self._stepped_at = self._clock()
        self._prefill()

    @torch.inference_mode()
    def decode(self) -> None:
        """The second half: one token for every running choice, but for those that sit out."""
        if self._rows:
            self._decode()

    def _choice(self, job: Job, index: int) -> Choice:
        answer = ChoiceAnswer(
            job.sampling,
            index,
            vocabulary=self._vocabulary,
            stop_tokens=self._stop_tokens,
            guide=job.guide and job.guide.fork(),
            calls=job.prompt.calls,
        )
        return Choice(job, index, answer)

    def _decode(self) -> None:
        shares = self._pace.decide(self._held())
        rows = self._rows[: self._put_first(lambda choice: choice.tenant not in shares.sit_out)]
        logits_BV = self._runner.decode([choice.last_token for choice in rows])
        self._extend(rows, logits_BV)
        now = self._clock()
        self._pace.decoded(shares, now - self._stepped_at)
        self._stepped_at = now
        self._sweep()

    def _held(self) -> Counter[str]:
        """Rows by tenant, also of those that only wait."""
        held = Counter({choice.tenant: 0 for choice in self._waiting})
        held.update(choice.tenant for choice in self._rows)
        return held

    def _put_first(self, is_first: Callable[[Choice], bool]) -> int:
        """Orders the rows; returns how many those are."""
        count = 0
        for row, choice in enumerate(self._rows):
            if is_first(choice):
                if row != count:
                    self._runner.swap(row, count)
                    self._rows[row], self._rows[count] = self._rows[count], self._rows[row]
                count += 1
        return count

    def _prefill(self) -> None:
        """A budget of prompts: those sooner done pass by; the oldest under way keeps half of it."""
        shares = self._pace.decide(self._held())
        left = self._limits.prefill_tokens
        spare = left // 2 if self._taking_part(shares) else left
        while spare > 0 and (group := self._next_group(shares, spare) or self._shortest_younger(shares)):
            used = self._prefill_group(group, shares, spare)
            spare, left = spare - used, left - used
            # Whoever has got a row by it may now have others sit out.
            shares = self._pace.decide(self._held())
        if left > 0 and (groups := self._taking_part(shares)):
            self._prefill_group(groups[0], shares, left)

    def _taking_part(self, shares: Shares) -> list[_Group]:
        return [group for group in self._groups if not group.tenants <= shares.sit_out]

    def _under_way(self) -> list[Choice]:
        return [choice for group in self._groups for choice in group.choices]

    def _shortest_younger(self, shares: Shares) -> _Group | None:
        return min(self._taking_part(shares)[1:], key=lambda group: group.prefill.num_left, default=None)

    def _next_group(self, shares: Shares, num_tokens: int) -> _Group | None:
        """Of those that wait, what is sooner done than all under way; a small rest is not worth beginning a
        prompt that it does not end. Tenants within their share never share a prefill with others, whose
        prompts would hold them up."""
        under_way = self._under_way()
        free, waiting = self._limits.slots - len(self._rows) - len(under_way), self._waiting
        held = self._held() + Counter(choice.tenant for choice in under_way)
        if free <= 0:
            kept = reserved_slots(self._limits.slots)
            free += kept
            waiting = [choice for choice in waiting if held[choice.tenant] < kept]
        waiting = [choice for choice in waiting if choice.tenant not in shares.beyond] or [
            choice for choice in waiting if choice.tenant not in shares.sit_out
        ]
        if not waiting or free <= 0:
            return None
        ends = [group.prefill.num_left for group in self._taking_part(shares)]
        if num_tokens < self._limits.prefill_tokens // 2:
            ends.append(num_tokens + 1)
        picked = pick_group(
            [_as_waiting(choice) for choice in waiting],
            held,
            free_slots=free,
            token_budget=num_tokens,
            shorter_than=min(ends, default=None),
        )
        if not picked:
            return None
        choices = [waiting[place] for place in picked]
        jobs = list(dict.fromkeys(choice.job for choice in choices))
        taken = set(choices)
        self._waiting = [choice for choice in self._waiting if choice not in taken]
        prefill = self._runner.start([job.prompt.token_ids for job in jobs], [job.adapter for job in jobs])
        group = _Group(choices, {job: row for row, job in enumerate(jobs)}, prefill, [])
        self._groups.append(group)
        return group

    def _prefill_group(self, group: _Group, shares: Shares, num_tokens: int) -> int:
        """Runs up to `num_tokens` of it, and what follows once it is done. Returns how many it ran."""
        began, done, tenants = self._clock(), group.prefill.done, group.tenants
        first, rows = next(iter(group.rows)), len(group.rows)
        is_scored = first.must_score
        if is_scored:
            num_tokens = min(num_tokens, _SCORED_TOKENS)
        logits = self._runner.prefill(group.prefill, max(1, num_tokens // rows), keeps_all=is_scored)
        if is_scored:
            logits = self._score(group, first, logits[0])
        if group.prefill.is_done and group in self._groups:
            self._admit(group, logits)
        seconds = self._clock() - began
        self._pace.prefilled(shares, tenants, seconds)
        self._stepped_at += seconds
        return (group.prefill.done - done) * rows

    def _admit(self, group: _Group, logits: Tensor) -> None:
        """Gives the choices whose prompts are read their first tokens, and rows."""
        self._groups.remove(group)
        for job in group.rows:
            if not job.is_announced:
                self._announce(job, group.scored)
                if job.prompt.max_tokens == 0:
                    self._finish_empty(job)
        choices = [choice for choice in group.choices if not choice.is_over]
        if choices:
            rows = torch.tensor([group.rows[choice.job] for choice in choices], device=logits.device)
            self._extend(choices, logits[rows])
        for choice in choices:
            if not choice.is_over:
                self._runner.add_row(group.prefill, group.rows[choice.job])
                self._rows.append(choice)
        self._sweep()

    def _score(self, group: _Group, job: Job, logits_TV: Tensor) -> Tensor:
        """Adds the log-probabilities of this chunk's next tokens; returns the last logits, [1, V]."""
        prompt, done = job.prompt.token_ids, group.prefill.done
        if not bool(logits_TV.logsumexp(-1).isfinite().all()):
            self._end(job, _not_finite(job))
            self._sweep()
            return logits_TV[-1:]
        if not group.scored:
            group.scored.append(Scored(prompt[0], None))
        following = torch.tensor(
            prompt[done - len(logits_TV) + 1 : done + 1], dtype=torch.long, device=logits_TV.device
        )
        group.scored += score(logits_TV[: len(following)], following, job.sampling.logprobs or 0)
        return logits_TV[-1:]

    def _extend(self, choices: list[Choice], logits_BV: Tensor) -> None:
        """Draws a token for each choice and hands out what text that makes."""
        is_finite = logits_BV.logsumexp(-1).isfinite().tolist()
        allowed = self._allowed(choices, logits_BV.device)
        tokens_B = pick_tokens(logits_BV, [_draw(choice) for choice in choices], allowed)
        scored = _scored(choices, logits_BV, tokens_B)
        for row, token in enumerate(tokens_B.tolist()):
            choice = choices[row]
            if choice.is_over:
                continue
            if is_finite[row]:
                self._accept(choice, token, scored.get(row))
            else:
                self._end(choice.job, _not_finite(choice.job))

    def _allowed(self, choices: list[Choice], device: torch.device) -> dict[int, Tensor]:
        """By row, what its guide allows; ends the jobs of guides that allow nothing."""
        guides = {
            row: choice.answer.guide
            for row, choice in enumerate(choices)
            if choice.answer.guide is not None and not choice.is_over
        }
        if not guides:
            return {}
        masks_GV = self._masks.allowed(list(guides.values()))
        has_any = masks_GV.any(-1).tolist()
        for row, can_go_on in zip(guides, has_any, strict=True):
            if not can_go_on:
                self._end(choices[row].job, guides[row].failure())
        masks = zip(guides, masks_GV.to(device), has_any, strict=True)
        return {row: mask_V for row, mask_V, can_go_on in masks if can_go_on}

    def _accept(self, choice: Choice, token: int, scored: Scored | None) -> None:
        choice.last_token = token
        choice.counts[token] += 1
        self.generated_tokens += 1
        job, answer = choice.job, choice.answer
        try:
            events = answer.accept(token, scored)
        except InvalidRequest as error:
            self._end(job, error)
            return
        if not answer.is_finished and answer.num_tokens == job.prompt.max_tokens:
            events += answer.end("length")
        self._outputs += [(job, event) for event in events]
        if answer.is_finished:
            job.open_choices -= 1
            if job.open_choices == 0:
                self._end(job, None)

    def _finish_empty(self, job: Job) -> None:
        """Nothing was to be generated."""
        for index in range(job.sampling.n):
            self._outputs.append((job, FinishEvent(index=index, reason="length", completion_tokens=0)))
        self._end(job, None)

    def _announce(self, job: Job, scored: Iterable[Scored]) -> None:
        job.is_announced = True
        event = PromptEvent(
            prompt_tokens=len(job.prompt.token_ids),
            text=job.prompt.text if job.sampling.echo else "",
            tokens=[self._vocabulary.logprob(token) for token in scored],
        )
        self._outputs.append((job, event))

    def _end(self, job: Job, error: TuneryError | None) -> None:
        if not job.is_over:
            job.is_over = True
            del self._jobs[job.request.id]
            self._outputs.append((job, error))

    def _sweep(self) -> None:
        """Frees whatever choices that are over still hold."""
        # From the last row down, because the last one moves into a freed place.
        for row in reversed(range(len(self._rows))):
            if self._rows[row].is_over:
                self._runner.release(row)
                self._rows[row] = self._rows[-1]
                self._rows.pop()
        self._waiting = [choice for choice in self._waiting if not choice.is_over]
        for group in self._groups:
            group.choices = [choice for choice in group.choices if not choice.is_over]
        self._groups = [group for group in self._groups if group.choices]


def _as_waiting(choice: Choice) -> Waiting:
    request = choice.job.request
    adapter = choice.job.adapter
    return Waiting(
        request.id,
        request.tenant,
        len(choice.job.prompt.token_ids),
        choice.job.must_score,
        adapter.digest if adapter is not None and adapter.prefix is not None else "",
    )


def _draw(choice: Choice) -> Draw:
    return Draw(choice.job.sampling, choice.job.seed, choice.index, choice.answer.num_tokens, choice.counts)


def _scored(choices: list[Choice], logits_BV: Tensor, tokens_B: Tensor) -> dict[int, Scored]:
    """By row, for the choices that asked for log-probabilities."""
    wanted = {
        row: choice.job.sampling.logprobs
        for row, choice in enumerate(choices)
        if choice.job.sampling.logprobs is not None
    }
    if not wanted:
        return {}
    rows = torch.tensor(list(wanted), device=logits_BV.device)
    found = score(logits_BV[rows], tokens_B[rows], max(wanted.values()))
    return {
        row: Scored(scored.token, scored.logprob, scored.top[:k])
        for (row, k), scored in zip(wanted.items(), found, strict=True)
    }


def _not_finite(job: Job) -> CorruptArtefact:
    adapter = job.request.model.adapter
    name = f"adapter {adapter.digest}" if adapter else f"base {job.request.model.base.alias}"
    return CorruptArtefact(f"The weights of {name} give numbers that are not finite for this prompt.")
