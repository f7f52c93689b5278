"""The Ray Serve applications of single models: how they are created, and what their replicas reserve."""

import platform
import shlex
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray import serve
from ray.exceptions import GetTimeoutError, RayTaskError
from ray.serve import RunTarget
from ray.serve.context import _get_global_client
from ray.serve.schema import (
    ApplicationDetails,
    ApplicationStatus,
    DeploymentDetails,
    DeploymentStatusTrigger,
    ReplicaDetails,
    ReplicaState,
    ServeInstanceDetails,
)

from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import VllmPlan
from cluster.serving.deployment.placement.per_model import ModelApp
from cluster.serving.deployment.placement.reservations import that_fit
from cluster.serving.deployment.router import OneModelRouter
from cluster.serving.deployment.scaling import options, replicas, without_gpus
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.vllm_backend.environment import Versions, check_environment

PREFIX = "model-"
_ALIVE = (ApplicationStatus.RUNNING, ApplicationStatus.DEPLOYING, ApplicationStatus.UNHEALTHY)
_RUNNING = (
    ReplicaState.RUNNING,
    ReplicaState.UPDATING,
    ReplicaState.RECOVERING,
    ReplicaState.PENDING_MIGRATION,
)
_PROBE_SECONDS = 90.0


@dataclass(frozen=True)
class Replicas:
    """Replicas of one application that Serve wants to keep."""

    running: frozenset[str] = frozenset()
    """Ids of the replicas that take requests."""
    starting: int = 0
    """Number of replicas that wait for a node with room for them, or for their process."""


class Applications(Protocol):
    """Manages the applications of models. All methods block their thread."""

    def alive(self) -> set[str]:
        """The names of the applications that are running or starting."""
        ...

    def present(self) -> set[str]:
        """Returns the names of all applications that Serve has, including those that are being removed."""
        ...

    def replicas(self) -> dict[str, Replicas]:
        """The replicas of all applications, by application."""
        ...

    def run(
        self,
        name: str,
        model: ModelRef,
        settings: EngineSettings,
        *,
        merges: bool,
        vllm: VllmPlan | None = None,
    ) -> None:
        """Creates or recreates an application, without waiting until it runs."""
        ...

    def check_environment(self, settings: EngineSettings, plan: VllmPlan) -> None:
        """Raises EngineStartFailed if vLLM cannot be started on the nodes of the plan's pool."""
        ...

    def start_failure(self, name: str) -> str:
        """Returns what Serve says of an application whose replicas end before they are ready, if none of them
        runs. Empty for any other."""
        ...

    def delete(self, name: str) -> None:
        """Removes an application, without waiting until its replicas are gone."""
        ...


class ServeApplications:
    """Applications in Ray Serve."""

    def __init__(self) -> None:
        self._placer = serve.get_replica_context().app_name
        self._lock = threading.Lock()
        """Serve's client is shared by the process and not documented to be thread-safe."""

    def alive(self) -> set[str]:
        return {name for name, one in self._found().items() if one.status in _ALIVE}

    def present(self) -> set[str]:
        return set(self._found())

    def replicas(self) -> dict[str, Replicas]:
        return {
            name: replicas_of(
                replica for deployment in one.deployments.values() for replica in deployment.replicas
            )
            for name, one in self._found().items()
        }

    def run(
        self,
        name: str,
        model: ModelRef,
        settings: EngineSettings,
        *,
        merges: bool,
        vllm: VllmPlan | None = None,
    ) -> None:
        # The weights without the adapter of the first request, because adapters come and go.
        own = model if merges else model.owner
        deployment = serve.deployment(
            ModelApp,
            name="model",
            ray_actor_options=actor_options(settings, vllm),
            **options(settings, OneModelRouter, vllm=vllm),
            **replicas(scaled(own, settings, vllm, merges=merges)),
        )
        plan = vllm.model_dump_json() if vllm else ""
        bound = deployment.bind(own.model_dump_json(), merges, plan, self._placer)
        target = RunTarget(bound, name=name, route_prefix=None)
        with self._lock:
            serve.run_many([target], wait_for_applications_running=False)

    def start_failure(self, name: str) -> str:
        found = self._found().get(name)
        return "\n".join(filter(None, map(said_of_start, found.deployments.values()))) if found else ""

    def delete(self, name: str) -> None:
        # Serve's own wait ends after 60 s, whether or not the replicas are gone.
        with self._lock:
            serve.delete(name, _blocking=False)

    def check_environment(self, settings: EngineSettings, plan: VllmPlan) -> None:
        check = ray.remote(num_cpus=0, label_selector=plan.pool.selector or None)(check_environment)
        asked = check.remote(settings.vllm_python, Versions(platform.python_version(), ray.__version__))
        try:
            ray.get(asked, timeout=_PROBE_SECONDS)
        except GetTimeoutError:
            # The pool has no node yet: creating the application makes it grow.
            ray.cancel(asked, force=True)
        except RayTaskError as error:
            raise error.cause from error

    def _found(self) -> dict[str, ApplicationDetails]:
        # Like serve.status(), which leaves out the replicas' ids. Ray's own list of actors would not do,
        # because it includes actors that wait for a node.
        with self._lock:
            found = ServeInstanceDetails(**_get_global_client().get_serve_details()).applications
        return {name: one for name, one in found.items() if name.startswith(PREFIX)}


def replicas_of(found: Iterable[ReplicaDetails]) -> Replicas:
    by_state: dict[ReplicaState, list[str]] = {}
    for replica in found:
        by_state.setdefault(replica.state, []).append(replica.replica_id)
    running = frozenset(id_ for state in _RUNNING for id_ in by_state.get(state, ()))
    return Replicas(running, starting=len(by_state.get(ReplicaState.STARTING, ())))


def said_of_start(deployment: DeploymentDetails) -> str:
    """Returns Serve's message, with the error of the replica that it tried last, if none of them starts."""
    has_failed = deployment.status_trigger == DeploymentStatusTrigger.REPLICA_STARTUP_FAILED
    is_running = bool(replicas_of(deployment.replicas).running)
    return deployment.message if has_failed and not is_running else ""


def actor_options(settings: EngineSettings, vllm: VllmPlan | None) -> dict[str, Any]:
    """Returns Ray's options of a replica. All GPUs of a replica are on one node, because it is one actor."""
    if vllm is None:
        has_gpus = bool(settings.actor_options.get("num_gpus"))
        # Nodes without GPUs would have no room for it.
        own = {"num_cpus": 0.5} if has_gpus else without_gpus(settings, 0.5)
        return {**own, **settings.actor_options}
    # No CPUs: training may have reserved all of them, and the GPUs are what is scarce.
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": vllm.tensor_parallel_size}
    if vllm.pool.selector:
        options["label_selector"] = vllm.pool.selector
    if settings.vllm_python:
        # Ray treats this as the beginning of a shell command.
        options["runtime_env"] = {"py_executable": shlex.quote(settings.vllm_python)}
    return {**options, **settings.actor_options}


def scaled(own: ModelRef, settings: EngineSettings, vllm: VllmPlan | None, *, merges: bool) -> EngineSettings:
    """Returns the settings that `replicas` reads, for this model."""
    if vllm is not None:
        # With shared placement, /engine keeps its own replica. Here, a base that is not to be warm scales to
        # zero.
        is_warm = own.full is None and own.base.alias in settings.warm_bases.split(",")
        few = max(int(is_warm), settings.min_replicas if settings.placement == "own" else 0)
        return settings.model_copy(
            update={
                "min_replicas": that_fit(vllm, few),
                "max_replicas": that_fit(vllm, settings.max_replicas),
                "slots": vllm.max_num_seqs,
            }
        )
    # A hot adapter cools down again and then needs no replica.
    return settings.model_copy(update={"min_replicas": 0}) if merges else settings
