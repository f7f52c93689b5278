"""The Ray Serve applications: engines and the dataset compiler, over HTTP with a bearer token.

`engine_app`, at /engine:

    POST /engine/generate   GenerationRequest -> a stream of WireEvents, one JSON object per line;
                            a disconnect cancels
    POST /engine/classify   ClassificationRequest -> ClassificationAnswer
    POST /engine/embed      EmbeddingRequest -> EmbeddingAnswer
    POST /engine/ensure     ModelRef -> {} once the model is loaded
    POST /engine/devices    TrainingClaim -> ClaimAnswer
    POST /engine/cluster    ClusterRequest -> ClusterReport
    GET  /engine/stats      -> a list of EngineStats of one replica

`datasets_app`, at /datasets:

    POST /datasets/check    DatasetCheckRequest -> DatasetCheck
    POST /datasets/bases    BasesRequest -> BasesAnswer
    GET  /datasets/ready    -> {} if the engines run or are scaled to zero

An error before a stream starts is a status with an ErrorEvent. The request header `MODEL_HEADER` routes to a
replica that has the model, and `LOAD_TIMEOUT_HEADER` bounds the wait for a load or a check. The response
header `Replica` names the replica, and `REPLICA_HEADER` gives the URL at which it listens itself, if it does.

The settings come from the replica's environment: TUNERY_CLUSTER_TOKEN (required), TUNERY_STORAGE_URL,
TUNERY_STORAGE_ENDPOINT, TUNERY_CATALOGUE, and the variables in `settings`. The embedded engine uses a GPU if
Serve's configuration gives it one, with `ray_actor_options: {num_gpus: 1}` for `engine`.
"""

import importlib
from typing import Any

_MODULES = {"engine_app": "engines", "datasets_app": "datasets"}


def __getattr__(name: str) -> Any:
    """Imports an application when Serve needs it. Serve's proxies import the router from this package and
    must not import torch."""
    if name not in _MODULES:
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{_MODULES[name]}").app
