"""Logs of Serve's replicas."""

import sys

from ray import serve

from cluster.logs import configure_logs


def log_as_json() -> None:
    """Writes log lines as JSON. Call this in a replica's constructor. Each line names the replica. Serve's
    own lines go where its configuration directs them."""
    context = serve.get_replica_context()
    replica = context.replica_id.unique_id
    configure_logs(sys.stderr, process="replica", application=context.app_name, replica=replica)
