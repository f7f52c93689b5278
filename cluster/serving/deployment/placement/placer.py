"""Places each model in its own deployment: a Serve application for each base, each full fine-tune and each
hot adapter, which scales to zero. The placer is the small actor that creates and removes these applications.
Those of vLLM reserve their GPUs."""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.errors import EngineStartFailed, Unavailable
from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import VllmPlan
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.placement.plans import ServingPlans, takes_embedded
from cluster.serving.deployment.placement.reservations import IN_USE_SECONDS, Reservation, superfluous
from cluster.serving.deployment.placement.serve_applications import (
    PREFIX,
    Applications,
    Replicas,
    ServeApplications,
)
from cluster.serving.deployment.placement.training_claims import TrainingClaims, has_pool
from cluster.serving.deployment.placement.usage_rates import UsageRates, models_to_merge
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.vllm_backend.start_failure import replica_failure

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 120.0
"""Time after a failed start until vLLM is tried again, because a start takes a minute and holds the GPUs."""
_REPORTED_SECONDS = 600.0
_LEAVE_SECONDS = 60.0
"""Time that replicas may take to be gone after `drain_seconds`, when Serve kills those that have not
ended."""
_POLL_SECONDS = 1.0
_ROUND_SECONDS = 60.0
"""Interval between two searches for unused applications."""
_WINDOW_SECONDS = 300.0
"""Time over which adapters' usage is averaged."""


class Placer:
    """Creates each application once for all concurrent callers, and again if Serve has given up on it.
    Removes applications that have not been used for `forget_seconds`, and those that make room for others on
    the GPUs. There is one replica; a new one learns the applications from Serve."""

    async def __init__(  # type: ignore[misc]
        self, applications: Applications | None = None, plans: ServingPlans | None = None
    ) -> None:
        """`applications` defaults to Serve's. Serve awaits this constructor."""
        hide_unreserved_gpus()
        listen_where_the_node_is()
        self._settings = EngineSettings.read()
        self._plans = plans or ServingPlans(self._settings)
        self._devices = asyncio.Lock()
        """Held while GPUs are given to an application."""
        self._claims = TrainingClaims(self._settings.serving_pools)
        self._leaving: dict[str, asyncio.Task[None]] = {}
        """Applications that are being removed, by name."""
        self._failures: dict[str, _Failure] = {}
        """Failed starts, by `ModelRef.weights`: the failure of a fine-tune does not affect its base."""
        self._environments: dict[str, _Environment] = {}
        """Failures of vLLM's environment, by the weights of the base, because its fine-tunes share the
        environment."""
        self._applications = applications or ServeApplications()
        self._locks: dict[str, asyncio.Lock] = {}
        alive = await asyncio.to_thread(self._applications.alive)
        self._used = dict.fromkeys(alive, time.monotonic())
        replicas = await asyncio.to_thread(self._applications.replicas)
        self._loaded = {name: set(one.running) for name, one in replicas.items()}
        """The replicas that have loaded their model, by application. Replicas that are older than this placer
        are assumed to have done so."""
        self._contexts: dict[str, int] = {}
        """Tokens of the context with which vLLM last started, by `ModelRef.weights`."""
        self._planned: dict[str, tuple[ModelRef, VllmPlan]] = {}
        """What applications on GPUs serve, as far as this placer was asked for them."""
        self._pending: dict[str, float] = {}
        """Times since which applications on GPUs have only replicas that do not run yet."""
        self._warm: set[str] = set()
        """Applications of `warm_bases`, which make room for training only."""
        self._rates = UsageRates(_WINDOW_SECONDS)
        self._hot: frozenset[str] = frozenset()
        self._refused: set[str] = set()
        self._forgetting = asyncio.create_task(self._forget())

    async def place(self, model: str) -> str:
        """Returns the name of the application of the model's weights, after creating it if necessary."""
        return await self._placed(ModelRef.model_validate_json(model), merges=False)

    async def touch(self, name: str) -> bool:
        """Marks an application as used. False if it has been removed."""
        if name not in self._used:
            return False
        self._used[name] = time.monotonic()
        return True

    async def started(
        self,
        model: str,
        failure: EngineStartFailed | None,
        *,
        name: str,
        replica: str,
        context_length: int = 0,
    ) -> None:
        """Called by a replica of the application `name` when vLLM has started, with a context of
        `context_length` tokens, or has failed to start. If no other replica runs, a failed one gives its GPUs
        back, and the model is not tried again for a while. If another one runs, Serve replaces the failed
        one."""
        weights = ModelRef.model_validate_json(model).weights
        found = (await asyncio.to_thread(self._applications.replicas)).get(name, Replicas())
        others = self._loaded.get(name, set()) & found.running - {replica}
        if failure is None:
            self._loaded[name] = others | {replica}
            self._failures.pop(weights, None)
            self._contexts[weights] = context_length
        elif others:
            _log.error("A replica of %s failed to start beside another: %s", name, failure.message)
        else:
            self._failures[weights] = _failed_now(failure)
            # Not awaited, because the replica that calls this would wait for its own end.
            self._remove(name)

    async def claim(self, claim: str) -> ClaimAnswer:
        """Takes GPUs from models for training, and keeps models off them until the next claim, for at most a
        minute. The claim is granted if no replica has any of the GPUs. Otherwise the applications on them are
        asked to leave, and the same claim is granted later, once they are gone. `claim` is a TrainingClaim as
        JSON."""
        asked, now = TrainingClaim.model_validate_json(claim), time.monotonic()
        pool = self._claims.pool_of(asked)
        if pool is None:
            return ClaimAnswer(is_granted=True)
        removed: list[str] | None = None
        needed = self._claims.needed(self._used, pool, now)
        if self._claims.claim(pool, asked.devices, now):
            wanted = Reservation(pool.name, asked.devices)
            removed = superfluous(
                self._used, wanted, devices=pool.all_devices, now=now, idle_seconds=asked.idle_seconds
            )
        for name in removed or ():
            _log.info("%s makes room for training.", name)
            self._remove(name)
        is_leaving = any(has_pool(name, pool.name) for name in self._leaving)
        is_granted = removed is not None and not removed and not is_leaving
        return ClaimAnswer(is_granted=is_granted, floor=pool.floor, needed=needed)

    async def failures(self) -> dict[str, str]:
        """Returns why vLLM does not start, by `ModelRef.weights`. Failures that nobody has tried to repeat
        for a while are left out, because it is not known whether they would be repeated."""
        environments = {weights: one.failure for weights, one in self._environments.items()}
        known = {**self._failures, **environments}
        return {weights: one.error.message for weights, one in known.items() if one.is_recent}

    async def contexts(self) -> dict[str, int]:
        """Returns the tokens of the context with which vLLM last started, by `ModelRef.weights`."""
        return self._contexts

    async def report(self, tokens: dict[str, int], refused: list[str]) -> dict[str, str]:
        """Adds the tokens by adapter since the last report. Returns the names of the applications that serve
        hot adapters merged into their bases, after creating them; adapters in `refused` cannot be merged.
        Models are JSON."""
        self._rates.add(tokens)
        self._refused.update(refused)
        self._hot = models_to_merge(
            self._rates.rates(),
            self._hot,
            refused=self._refused,
            threshold=self._settings.hot_tokens_per_second,
            most=self._settings.hot_adapters,
        )
        hot = sorted(self._hot)
        names = await asyncio.gather(
            *(self._placed(ModelRef.model_validate_json(model), merges=True) for model in hot)
        )
        return dict(zip(hot, names, strict=True))

    async def _placed(self, model: ModelRef, *, merges: bool) -> str:
        plan = None if merges or takes_embedded(model) else await self._vllm_plan(model)
        name = application_name(model, self._settings, merges=merges, vllm=plan)
        if plan is not None:
            self._planned[name] = model, plan
        async with self._locks.setdefault(name, asyncio.Lock()):
            if plan is not None:
                await self._give_up_broken(name, model)
            # If an application's first replicas fail, Serve starts no others until the application is
            # recreated.
            if name not in await asyncio.to_thread(self._applications.alive):
                run = partial(self._applications.run, name, model, self._settings, merges=merges, vllm=plan)
                if plan is None:
                    await asyncio.to_thread(run)
                else:
                    await self._reserve(name, model, plan, run)
            self._used[name] = time.monotonic()
        return name

    async def _give_up_broken(self, name: str, model: ModelRef) -> None:
        """Removes an application whose replicas end before they can report why, for example because vLLM's
        environment lacks a module. Raises EngineStartFailed with the reason."""
        said = await asyncio.to_thread(self._applications.start_failure, name)
        if said and name not in self._leaving:
            _log.error("The replicas of %s do not start: %s", name, said)
            error = replica_failure(model.base.alias, said)
            self._failures[model.weights] = _failed_now(error)
            self._remove(name)
            raise error

    async def _vllm_plan(self, model: ModelRef) -> VllmPlan | None:
        """Returns the model's vLLM plan; None if the embedded engine serves it."""
        if model.base.architecture == "encoder":
            return None
        return (await self._plans.plan(model.base)).vllm

    async def _reserve(self, name: str, model: ModelRef, plan: VllmPlan, run: Callable[[], None]) -> None:
        """Runs the application once its GPUs are free. Raises EngineStartFailed if vLLM cannot start there,
        or could not a moment ago, and Unavailable if other models are using the GPUs."""
        base = ModelRef(base=model.base).weights
        environment = self._environments.get(base)
        for failure in (self._failures.get(model.weights), environment.failure if environment else None):
            if failure is not None and (left := failure.retry_at - time.monotonic()) > 0:
                raise failure.again(left)
        try:
            await asyncio.to_thread(self._applications.check_environment, self._settings, plan)
        except EngineStartFailed as error:
            self._environments[base] = _Environment(plan, _failed_now(error))
            raise
        self._environments.pop(base, None)
        if (leaving := self._leaving.get(name)) is not None:
            # Otherwise the end of the old application could not be told from that of the new one.
            await asyncio.wait([leaving])
        async with self._devices:
            try:
                await self._make_room(name, plan)
            except Unavailable:
                self._claims.refuse(name, time.monotonic())
                raise
            self._claims.admit(name)
            await asyncio.to_thread(run)
            self._used[name] = time.monotonic()

    async def _make_room(self, name: str, plan: VllmPlan) -> None:
        wanted, now = Reservation.of(plan, replicas=self._settings.max_replicas), time.monotonic()
        others = {
            other: now if other in self._warm else used for other, used in self._used.items() if other != name
        }
        claimed = self._claims.claimed(plan.pool.name, now)
        if wanted.devices > plan.pool.all_devices - claimed:
            raise Unavailable(
                f"Training has {claimed} of the {plan.pool.all_devices} GPUs that it shares with models. "
                "This model answers again when they are free. Try again later.",
                code="gpu_in_use",
                retry_after_seconds=60.0,
            )
        devices = plan.pool.all_devices - claimed
        removed = superfluous(others, wanted, devices=devices, now=now, idle_seconds=IN_USE_SECONDS)
        if removed is None:
            raise Unavailable(
                f"This model needs {wanted.devices} of the {devices} GPUs for serving, and other models are "
                "using them. Try again later.",
                code="model_not_ready",
                retry_after_seconds=30.0,
            )
        for other in removed:
            _log.info("%s makes room for %s.", other, name)
            try:
                # Shielded, because the removal continues if this caller gives up.
                await asyncio.shield(self._remove(other))
            except Exception as error:
                raise Unavailable(
                    "Another model has not yet left the GPUs that this one needs. Try again later.",
                    code="model_not_ready",
                    retry_after_seconds=30.0,
                ) from error

    def _remove(self, name: str) -> asyncio.Task[None]:
        """Removes an application. The task ends when its replicas are gone. Their streams may end first."""
        self._used.pop(name, None)
        self._loaded.pop(name, None)
        self._planned.pop(name, None)
        self._pending.pop(name, None)
        if (removing := self._leaving.get(name)) is None:
            self._leaving[name] = removing = asyncio.create_task(self._leave(name))
            removing.add_done_callback(partial(self._has_left, name))
        return removing

    async def _leave(self, name: str) -> None:
        """Waits until the application is gone. Raises TimeoutError if Serve does not remove it."""
        await asyncio.to_thread(self._applications.delete, name)
        async with asyncio.timeout(self._settings.drain_seconds + _LEAVE_SECONDS):
            while name in await asyncio.to_thread(self._applications.present):
                await asyncio.sleep(_POLL_SECONDS)

    def _has_left(self, name: str, removing: asyncio.Task[None]) -> None:
        self._leaving.pop(name, None)
        if not removing.cancelled() and (error := removing.exception()) is not None:
            _log.error("The application %s could not be removed.", name, exc_info=error)
            # It may still hold its GPUs. Whoever needs them removes it again.
            self._used.setdefault(name, -math.inf)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(min(_ROUND_SECONDS, self._settings.forget_seconds))
            await forget(
                self._used, self._locks, self._settings.forget_seconds, self._remove, kept=self._warm
            )
            try:
                await self._give_up_pending()
            except Exception:
                _log.exception("Serve did not say which replicas run.")
            await self._look_again()
            await self._place_warm()

    async def _give_up_pending(self) -> None:
        """Removes applications on GPUs if none of their replicas has come up in `pending_seconds`. Ray would
        keep looking for a node with room, and waiting requests would keep them in use."""
        now, found = time.monotonic(), await asyncio.to_thread(self._applications.replicas)
        self._pending = {
            name: self._pending.get(name, now)
            for name, one in found.items()
            if name in self._used and Reservation.read(name) and one.starting and not one.running
        }
        for name, since in list(self._pending.items()):
            if now - since < self._settings.pending_seconds:
                continue
            if (planned := self._planned.get(name)) is None:
                _log.error("%s is removed: no node has had room for it in %.0f s.", name, now - since)
            else:
                model, plan = planned
                self._failures[model.weights] = _failed_now(_no_node(model, plan, now - since))
            self._remove(name)

    async def _place_warm(self) -> None:
        """Places warm bases of vLLM that training, or a failure, has removed."""
        catalogue, named = load_catalogue(), self._settings.warm_bases.split(",")
        for model in (ModelRef(base=catalogue[alias]) for alias in named if alias in catalogue):
            try:
                await self._keep_warm(model)
            except Exception as error:
                _log.warning("%s cannot be kept warm now: %s", model.base.alias, error)

    async def _keep_warm(self, model: ModelRef) -> None:
        if (plan := await self._vllm_plan(model)) is None:
            return
        name = application_name(model, self._settings, merges=False, vllm=plan)
        self._warm.add(name)
        if name in self._used or name in self._leaving:
            return
        try:
            await self._placed(model, merges=False)
        except Unavailable:
            # Nobody has asked for it, so no job may be paused for it.
            self._claims.admit(name)
            raise

    async def _look_again(self) -> None:
        """Forgets old failures, and those of an environment that has been repaired."""
        self._failures = {weights: one for weights, one in self._failures.items() if one.is_recent}
        for base, found in list(self._environments.items()):
            try:
                await asyncio.to_thread(self._applications.check_environment, self._settings, found.plan)
            except EngineStartFailed as error:
                self._environments[base] = replace(found, failure=replace(found.failure, error=error))
            except Exception:
                _log.exception("The environment of vLLM could not be checked.")
            else:
                self._environments.pop(base, None)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: EngineStartFailed
    retry_at: float
    """Monotonic time of the next try."""

    @property
    def is_recent(self) -> bool:
        return self.retry_at > time.monotonic() - _REPORTED_SECONDS

    def again(self, seconds: float) -> EngineStartFailed:
        return EngineStartFailed(self.error.message, cause=self.error.cause, retry_after_seconds=seconds)


@dataclass(frozen=True, slots=True)
class _Environment:
    """vLLM's environment on the nodes of a plan, which is checked without starting vLLM."""

    plan: VllmPlan
    failure: _Failure


def _failed_now(error: EngineStartFailed) -> _Failure:
    _log.error("%s (%s)", error.message, error.cause)
    return _Failure(error, time.monotonic() + _RETRY_SECONDS)


def _no_node(model: ModelRef, plan: VllmPlan, seconds: float) -> EngineStartFailed:
    labels = ", ".join(f"{key}={value}" for key, value in plan.pool.selector.items())
    return EngineStartFailed(
        f"{model.base.alias} has not started within {seconds:.0f} s (TUNERY_ENGINE_PENDING_SECONDS): no node"
        f"{labels and f' with the labels {labels}'} had {plan.tensor_parallel_size} free GPUs for it. "
        "`ray status` tells what holds them.",
        cause="no_node",
    )


def application_name(
    model: ModelRef, settings: EngineSettings, *, merges: bool, vllm: VllmPlan | None = None
) -> str:
    """Returns the name of the application of these weights with these settings: other settings give another
    name. The name encodes what the application reserves."""
    weights = f"{model.name} merged" if merges else model.weights
    # What the plan expects of the memory is not passed to vLLM.
    plan = vllm.model_dump_json(exclude={"memory"}) if vllm else ""
    named = f"{weights} {settings.model_dump_json()} {plan}"
    suffix = Reservation.of(vllm, replicas=settings.max_replicas).suffix if vllm else ""
    return PREFIX + hashlib.sha256(named.encode()).hexdigest()[:16] + suffix


def unused(used: dict[str, float], now: float, forget_seconds: float) -> list[str]:
    return [name for name, at in used.items() if now - at > forget_seconds]


async def forget(
    used: dict[str, float],
    locks: dict[str, asyncio.Lock],
    forget_seconds: float,
    remove: Callable[[str], Awaitable[None]],
    *,
    kept: Set[str] = frozenset(),
) -> None:
    """Removes unused applications except those in `kept`, one after another. `remove` takes them out of
    `used` at once, and logs why one could not be removed."""
    for name in unused(used, time.monotonic(), forget_seconds):
        if name in kept:
            continue
        async with locks.setdefault(name, asyncio.Lock()):
            # It may have been used or removed while others were being removed.
            if name not in used or time.monotonic() - used[name] <= forget_seconds:
                continue
            with suppress(Exception):
                await remove(name)
