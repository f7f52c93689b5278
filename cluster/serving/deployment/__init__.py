"""The Ray Serve applications: engines and the dataset compiler behind bearer-checked HTTP.

`engine_app`, at /engine:
    POST /engine/generate   GenerationRequest -> a stream of WireEvents, one JSON a line; a disconnect cancels
    POST /engine/classify   ClassificationRequest -> ClassificationAnswer
    POST /engine/embed      EmbeddingRequest -> EmbeddingAnswer
    POST /engine/ensure     ModelRef -> {} once it is loaded
    GET  /engine/stats      -> a list of EngineStats, of one replica
`datasets_app`, at /datasets:
    POST /datasets/check    DatasetCheckRequest -> DatasetCheck
    POST /datasets/bases    BasesRequest -> BasesAnswer
    GET  /datasets/ready    -> {} if the engines run or rest at zero replicas

An error before a stream starts is a status and an ErrorEvent. `MODEL_HEADER` leads a request to a replica
that has its model, `LOAD_TIMEOUT_HEADER` bounds its wait for a load or a check, and the header `Replica` of
an answer names who gave it, and `REPLICA_HEADER` where it listens itself, if it does.

The settings are the replica's environment: TUNERY_CLUSTER_TOKEN (required), TUNERY_STORAGE_URL and
TUNERY_STORAGE_ENDPOINT, TUNERY_CATALOGUE, and those of `settings`. A replica uses a GPU if Serve's
configuration gives it one: `ray_actor_options: {num_gpus: 1}` of `engine`.
"""

import importlib
from typing import Any

_MODULES = {"engine_app": "engines", "datasets_app": "datasets"}


def __getattr__(name: str) -> Any:
    """The two applications, each imported when Serve asks for it: Serve's proxies import the router beside
    them, and have no use for torch."""
    if name not in _MODULES:
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{_MODULES[name]}").app
