from http import HTTPStatus
from typing import Any

import httpx
from tunery_client.paths import segment

from ...client import AuthenticatedClient, Client
from ...models.error_answer import ErrorAnswer
from ...models.model_alias import ModelAlias
from ...models.set_alias_body import SetAliasBody
from ...types import Response


def _get_kwargs(
    model: str,
    *,
    body: SetAliasBody,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/models/{model}/aliases".format(
            model=segment(str(model)),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorAnswer | ModelAlias:
    if response.status_code == 200:
        response_200 = ModelAlias.from_dict(response.json())

        return response_200

    response_default = ErrorAnswer.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorAnswer | ModelAlias]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: SetAliasBody,
) -> Response[ErrorAnswer | ModelAlias]:
    """Let an alias name a model

     Makes the alias, or moves it from the model that it named. Every request that begins after the
    answer
    gets the new model. If `model` is itself an alias, its model is named.

    Args:
        model (str):
        body (SetAliasBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelAlias]
    """

    kwargs = _get_kwargs(
        model=model,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: SetAliasBody,
) -> ErrorAnswer | ModelAlias | None:
    """Let an alias name a model

     Makes the alias, or moves it from the model that it named. Every request that begins after the
    answer
    gets the new model. If `model` is itself an alias, its model is named.

    Args:
        model (str):
        body (SetAliasBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelAlias
    """

    return sync_detailed(
        model=model,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: SetAliasBody,
) -> Response[ErrorAnswer | ModelAlias]:
    """Let an alias name a model

     Makes the alias, or moves it from the model that it named. Every request that begins after the
    answer
    gets the new model. If `model` is itself an alias, its model is named.

    Args:
        model (str):
        body (SetAliasBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorAnswer | ModelAlias]
    """

    kwargs = _get_kwargs(
        model=model,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    model: str,
    *,
    client: AuthenticatedClient | Client,
    body: SetAliasBody,
) -> ErrorAnswer | ModelAlias | None:
    """Let an alias name a model

     Makes the alias, or moves it from the model that it named. Every request that begins after the
    answer
    gets the new model. If `model` is itself an alias, its model is named.

    Args:
        model (str):
        body (SetAliasBody):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorAnswer | ModelAlias
    """

    return (
        await asyncio_detailed(
            model=model,
            client=client,
            body=body,
        )
    ).parsed
