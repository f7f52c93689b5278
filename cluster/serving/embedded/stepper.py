"""Continuous batching, one step at a time: prefills prompts, decodes all running sequences, and emits
events."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import CorruptArtefact, InvalidRequest, Overloaded, TuneryError
from cluster.contracts.generation import FinishEvent, PromptEvent
from cluster.serving.embedded.draw import Draw, SeenTokens
from cluster.serving.embedded.request import Output, Request, Sequence
from cluster.serving.embedded.runner import ModelRunner, Prefill
from cluster.serving.embedded.sampling import pick_tokens
from cluster.serving.embedded.scheduler import QueuedSequence, pick_group
from cluster.serving.fairness.overload import is_overloaded
from cluster.serving.fairness.reserved_slots import reserved_slots
from cluster.serving.fairness.sharing import StepShares, StepSharing
from cluster.serving.limits import EngineLimits
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.guidance import Masks
from cluster.serving.text.logprobs import Scored, score

_SCORED_TOKENS = 256
"""Tokens of a scored prompt per pass: each needs a row of logits, 512 KB for a vocabulary of 128k."""


@dataclass(eq=False)
class _Group:
    """Sequences whose prompts are being prefilled together, and the row of each request in the prefill."""

    sequences: list[Sequence]
    rows: dict[Request, int]
    prefill: Prefill
    scored: list[Scored]

    @property
    def tenants(self) -> frozenset[str]:
        return frozenset(sequence.tenant for sequence in self.sequences)


class Stepper:
    """The state machine of one engine. Not thread-safe: one thread owns it, the model and all tensors."""

    def __init__(
        self,
        runner: ModelRunner,
        vocabulary: Vocabulary,
        *,
        stop_tokens: frozenset[int],
        limits: EngineLimits,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runner = runner
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._limits = limits
        self._masks = Masks(runner.num_embeddings)
        self._clock = clock
        self._requests: dict[str, Request] = {}
        self._waiting: list[Sequence] = []
        self._groups: list[_Group] = []
        """Running prefills that take several steps, oldest first."""
        self._rows: list[Sequence] = []
        """Sequences in the order of the runner's rows."""
        self._sharing = StepSharing()
        self._stepped_at = clock()
        """When the last decode step ended, plus the time of prefills since."""
        self._outputs: list[Output] = []
        self.generated_tokens = 0

    @property
    def has_work(self) -> bool:
        return bool(self._requests or self._outputs)

    @property
    def num_running(self) -> int:
        return len(self._rows) + len(self._prefilling())

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """Queues a request, or ends it with Overloaded."""
        queued = Counter(sequence.request.tenant for sequence in self._waiting)
        n = request.sampling.n if request.prompt.max_tokens else 1
        if is_overloaded(queued, request.tenant, n, max_waiting=self._limits.max_waiting):
            self._outputs.append(
                (
                    request,
                    Overloaded(
                        f"{len(self._waiting)} completions are already waiting; try again in a moment."
                    ),
                )
            )
            return
        self._requests[request.id] = request
        request.open_sequences = request.sampling.n
        if not request.must_score:
            self._announce(request, [])
            if request.prompt.max_tokens == 0:
                self._finish_empty(request)
                return
        self._waiting += [self._new_sequence(request, index) for index in range(n)]

    @torch.inference_mode()
    def cancel(self, request_id: str) -> None:
        """Ends a request without further events. Its rows are free before the next step."""
        if request := self._requests.get(request_id):
            self._end(request, None)
            self._free_finished()

    def fail_all(self, error: TuneryError) -> None:
        """Ends every request with `error` and clears the caches."""
        for request in list(self._requests.values()):
            self._end(request, error)
        self._waiting, self._rows, self._groups = [], [], []
        self._runner.clear()

    def take_outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    @torch.inference_mode()
    def prefill(self) -> None:
        """The first half of a step: prefills a budget of prompt tokens, and samples first tokens of finished
        prompts."""
        if not self._rows:
            self._stepped_at = self._clock()
        self._run_prefills()

    @torch.inference_mode()
    def decode(self) -> None:
        """The second half: decodes one token for every running sequence that does not skip this step."""
        if self._rows:
            self._decode()

    def _new_sequence(self, request: Request, index: int) -> Sequence:
        answer = ChoiceAnswer(
            request.sampling,
            index,
            vocabulary=self._vocabulary,
            stop_tokens=self._stop_tokens,
            guide=request.guide and request.guide.fork(),
            calls=request.prompt.calls,
            reasoning=request.prompt.reasoning,
        )
        seen = None
        if request.sampling.repetition_penalty != 1:
            seen = SeenTokens(request.prompt_tokens, max_tokens=request.prompt.max_tokens)
        return Sequence(request, index, answer, seen=seen)

    def _decode(self) -> None:
        shares = self._sharing.decide(self._held())
        rows = self._rows[: self._put_first(lambda sequence: sequence.tenant not in shares.skipping)]
        logits_BV = self._runner.decode([sequence.last_token for sequence in rows])
        self._extend(rows, logits_BV)
        now = self._clock()
        self._sharing.record_decode(shares, now - self._stepped_at)
        self._stepped_at = now
        self._free_finished()

    def _held(self) -> Counter[str]:
        """Rows by tenant; 0 for tenants with only waiting sequences."""
        held = Counter({sequence.tenant: 0 for sequence in self._waiting})
        held.update(sequence.tenant for sequence in self._rows)
        return held

    def _put_first(self, is_first: Callable[[Sequence], bool]) -> int:
        """Moves the rows that satisfy `is_first` to the front. Returns their number."""
        count = 0
        for row, sequence in enumerate(self._rows):
            if is_first(sequence):
                if row != count:
                    self._runner.swap(row, count)
                    self._rows[row], self._rows[count] = self._rows[count], self._rows[row]
                count += 1
        return count

    def _run_prefills(self) -> None:
        """Spends the budget of prompt tokens. Shorter prompts overtake longer ones, but the oldest running
        prefill keeps half of the budget."""
        shares = self._sharing.decide(self._held())
        left = self._limits.prefill_tokens
        spare = left // 2 if self._active_groups(shares) else left
        while spare > 0 and (group := self._next_group(shares, spare) or self._shortest_younger(shares)):
            used = self._prefill_group(group, shares, spare)
            spare, left = spare - used, left - used
            # This may have given a tenant a row, so that others may now have to skip steps.
            shares = self._sharing.decide(self._held())
        if left > 0 and (groups := self._active_groups(shares)):
            self._prefill_group(groups[0], shares, left)

    def _active_groups(self, shares: StepShares) -> list[_Group]:
        return [group for group in self._groups if not group.tenants <= shares.skipping]

    def _prefilling(self) -> list[Sequence]:
        return [sequence for group in self._groups for sequence in group.sequences]

    def _shortest_younger(self, shares: StepShares) -> _Group | None:
        return min(self._active_groups(shares)[1:], key=lambda group: group.prefill.num_left, default=None)

    def _next_group(self, shares: StepShares, num_tokens: int) -> _Group | None:
        """Starts prefilling a group of waiting sequences that will be done before all running prefills, if
        there is such a group. With a small remaining budget, only prompts that it completes are started.
        Tenants within their share do not share a prefill with tenants over it, whose prompts would delay
        them."""
        prefilling = self._prefilling()
        free, waiting = self._limits.slots - len(self._rows) - len(prefilling), self._waiting
        held = self._held() + Counter(sequence.tenant for sequence in prefilling)
        if free <= 0:
            kept = reserved_slots(self._limits.slots)
            free += kept
            waiting = [sequence for sequence in waiting if held[sequence.tenant] < kept]
        waiting = [sequence for sequence in waiting if sequence.tenant not in shares.over_share] or [
            sequence for sequence in waiting if sequence.tenant not in shares.skipping
        ]
        if not waiting or free <= 0:
            return None
        ends = [group.prefill.num_left for group in self._active_groups(shares)]
        if num_tokens < self._limits.prefill_tokens // 2:
            ends.append(num_tokens + 1)
        picked = pick_group(
            [_as_queued(sequence) for sequence in waiting],
            held,
            free_slots=free,
            token_budget=num_tokens,
            shorter_than=min(ends, default=None),
        )
        if not picked:
            return None
        sequences = [waiting[place] for place in picked]
        requests = list(dict.fromkeys(sequence.request for sequence in sequences))
        taken = set(sequences)
        self._waiting = [sequence for sequence in self._waiting if sequence not in taken]
        prefill = self._runner.start(
            [request.prompt.token_ids for request in requests], [request.adapter for request in requests]
        )
        group = _Group(sequences, {request: row for row, request in enumerate(requests)}, prefill, [])
        self._groups.append(group)
        return group

    def _prefill_group(self, group: _Group, shares: StepShares, num_tokens: int) -> int:
        """Runs up to `num_tokens` of the group, and admits it once its prefill is done. Returns the number of
        tokens run."""
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
        self._sharing.record_prefill(shares, tenants, seconds)
        self._stepped_at += seconds
        return (group.prefill.done - done) * rows

    def _admit(self, group: _Group, logits: Tensor) -> None:
        """Samples the first tokens of a finished prefill and assigns rows to the sequences."""
        self._groups.remove(group)
        for request in group.rows:
            if not request.is_announced:
                self._announce(request, group.scored)
                if request.prompt.max_tokens == 0:
                    self._finish_empty(request)
        sequences = [sequence for sequence in group.sequences if not sequence.is_over]
        if sequences:
            rows = torch.tensor(
                [group.rows[sequence.request] for sequence in sequences], device=logits.device
            )
            self._extend(sequences, logits[rows])
        for sequence in sequences:
            if not sequence.is_over:
                self._runner.add_row(group.prefill, group.rows[sequence.request])
                self._rows.append(sequence)
        self._free_finished()

    def _score(self, group: _Group, request: Request, logits_TV: Tensor) -> Tensor:
        """Adds the log-probabilities of the prompt tokens that follow this chunk's positions. Returns the
        last logits, [1, V]."""
        prompt, done = request.prompt.token_ids, group.prefill.done
        if not bool(logits_TV.logsumexp(-1).isfinite().all()):
            self._end(request, _not_finite(request))
            self._free_finished()
            return logits_TV[-1:]
        if not group.scored:
            group.scored.append(Scored(prompt[0], None))
        following = torch.tensor(
            prompt[done - len(logits_TV) + 1 : done + 1], dtype=torch.long, device=logits_TV.device
        )
        group.scored += score(logits_TV[: len(following)], following, request.sampling.logprobs or 0)
        return logits_TV[-1:]

    def _extend(self, sequences: list[Sequence], logits_BV: Tensor) -> None:
        """Samples a token for each sequence and emits its events."""
        is_finite = logits_BV.logsumexp(-1).isfinite().tolist()
        allowed = self._allowed(sequences, logits_BV.device)
        tokens_B = pick_tokens(logits_BV, [_draw(sequence) for sequence in sequences], allowed)
        scored = _scored(sequences, logits_BV, tokens_B)
        for row, token in enumerate(tokens_B.tolist()):
            sequence = sequences[row]
            if sequence.is_over:
                continue
            if is_finite[row]:
                self._accept(sequence, token, scored.get(row))
            else:
                self._end(sequence.request, _not_finite(sequence.request))

    def _allowed(self, sequences: list[Sequence], device: torch.device) -> dict[int, Tensor]:
        """Returns the tokens that each row's guide allows. Ends requests whose guide allows none."""
        guides = {
            row: sequence.answer.guide
            for row, sequence in enumerate(sequences)
            if sequence.answer.guide is not None and not sequence.is_over
        }
        if not guides:
            return {}
        masks_GV = self._masks.allowed(list(guides.values()))
        has_any = masks_GV.any(-1).tolist()
        for row, can_go_on in zip(guides, has_any, strict=True):
            if not can_go_on:
                self._end(sequences[row].request, guides[row].failure())
        masks = zip(guides, masks_GV.to(device), has_any, strict=True)
        return {row: mask_V for row, mask_V, can_go_on in masks if can_go_on}

    def _accept(self, sequence: Sequence, token: int, scored: Scored | None) -> None:
        sequence.last_token = token
        sequence.counts[token] += 1
        if sequence.seen is not None:
            sequence.seen.add(token)
        self.generated_tokens += 1
        request, answer = sequence.request, sequence.answer
        try:
            events = answer.accept(token, scored)
        except InvalidRequest as error:
            self._end(request, error)
            return
        if not answer.is_finished and answer.num_tokens == request.prompt.max_tokens:
            events += answer.end("length")
        self._outputs += [(request, event) for event in events]
        if answer.is_finished:
            request.open_sequences -= 1
            if request.open_sequences == 0:
                self._end(request, None)

    def _finish_empty(self, request: Request) -> None:
        """Ends a request with max_tokens = 0."""
        for index in range(request.sampling.n):
            self._outputs.append((request, FinishEvent(index=index, reason="length", completion_tokens=0)))
        self._end(request, None)

    def _announce(self, request: Request, scored: Iterable[Scored]) -> None:
        request.is_announced = True
        event = PromptEvent(
            prompt_tokens=len(request.prompt.token_ids),
            text=request.prompt.text if request.sampling.echo else "",
            tokens=[self._vocabulary.logprob(*token) for token in scored],
        )
        self._outputs.append((request, event))

    def _end(self, request: Request, error: TuneryError | None) -> None:
        if not request.is_over:
            request.is_over = True
            del self._requests[request.id]
            self._outputs.append((request, error))

    def _free_finished(self) -> None:
        """Frees the rows and queue entries of finished sequences."""
        # From the last row down, because the last row moves into a freed one.
        for row in reversed(range(len(self._rows))):
            if self._rows[row].is_over:
                self._runner.release(row)
                self._rows[row] = self._rows[-1]
                self._rows.pop()
        self._waiting = [sequence for sequence in self._waiting if not sequence.is_over]
        for group in self._groups:
            group.sequences = [sequence for sequence in group.sequences if not sequence.is_over]
        self._groups = [group for group in self._groups if group.sequences]


def _as_queued(sequence: Sequence) -> QueuedSequence:
    request = sequence.request.body
    adapter = sequence.request.adapter
    return QueuedSequence(
        request.id,
        request.tenant,
        len(sequence.request.prompt.token_ids),
        sequence.request.must_score,
        adapter.digest if adapter is not None and adapter.prefix is not None else "",
    )


def _draw(sequence: Sequence) -> Draw:
    return Draw(
        sequence.request.sampling,
        sequence.request.seed,
        sequence.index,
        sequence.answer.num_tokens,
        sequence.counts,
        sequence.seen,
        sequence.answer.forbidden,
    )


def _scored(sequences: list[Sequence], logits_BV: Tensor, tokens_B: Tensor) -> dict[int, Scored]:
    """Returns scored tokens by row, for the sequences with log-probabilities."""
    wanted = {
        row: sequence.request.sampling.logprobs
        for row, sequence in enumerate(sequences)
        if sequence.request.sampling.logprobs is not None
    }
    if not wanted:
        return {}
    rows = torch.tensor(list(wanted), device=logits_BV.device)
    found = score(logits_BV[rows], tokens_B[rows], max(wanted.values()))
    return {
        row: Scored(scored.token, scored.logprob, scored.top[:k])
        for (row, k), scored in zip(wanted.items(), found, strict=True)
    }


def _not_finite(request: Request) -> CorruptArtefact:
    adapter = request.body.model.adapter
    name = f"adapter {adapter.digest}" if adapter else f"base {request.body.model.base.alias}"
    return CorruptArtefact(f"The weights of {name} give numbers that are not finite for this prompt.")
