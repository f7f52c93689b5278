"""Lists in queries."""

from fastapi import Request


def query_list(request: Request, name: str) -> list[str]:
    """`name=value`, and `name[]=value` as the openai SDKs send lists."""
    query = request.query_params
    return [*query.getlist(name), *query.getlist(f"{name}[]")]
