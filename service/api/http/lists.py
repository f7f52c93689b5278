"""Lists in query parameters."""

from fastapi import Request

from cluster.contracts.errors import InvalidRequest

MAX_VALUES = 100


def query_list(request: Request, name: str) -> list[str]:
    """Reads `name=value`, and `name[]=value`, which is how the openai SDKs send lists. Raises InvalidRequest
    if there are too many values, because each is compared with every row."""
    query = request.query_params
    values = [*query.getlist(name), *query.getlist(f"{name}[]")]
    if len(values) > MAX_VALUES:
        raise InvalidRequest(
            f"{name} has {len(values)} values; there may be at most {MAX_VALUES}.", param=name
        )
    return values
