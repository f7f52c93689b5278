"""`tunery.aliases`: names that clients use, and the models behind them."""

from __future__ import annotations

from collections.abc import Sequence

from tunery_client._async.transport import AsyncResource
from tunery_client._generated.api.aliases import (
    aliases_delete,
    aliases_history,
    aliases_list,
    aliases_retrieve,
)
from tunery_client._generated.models.model_alias import ModelAlias
from tunery_client._generated.models.model_alias_change import ModelAliasChange
from tunery_client.answers import answer
from tunery_client.paths import segment


class AsyncAliases(AsyncResource):
    async def set(self, alias: str, model: str, *, version: int | None = None) -> ModelAlias:
        """Lets the alias, such as `support@prod`, name the model from now on.

        With `version`, only if that is the alias' version now, or if the alias is new and `version` 0:
        otherwise Conflict is raised."""
        body = {"alias": alias, "version": version}
        path = f"/v1/models/{segment(model)}/aliases"
        return ModelAlias.from_dict(await self._post(path, body))

    async def roll_back(self, alias: str, *, to_version: int | None = None) -> ModelAlias:
        """Lets the alias name the model before its last change again, or that of an earlier version."""
        path = f"/v1/aliases/{segment(alias)}/rollback"
        return ModelAlias.from_dict(await self._post(path, {"to_version": to_version}))

    async def retrieve(self, alias: str) -> ModelAlias:
        return answer(await aliases_retrieve.asyncio(alias, client=self._client))

    async def history(self, alias: str, *, limit: int = 100) -> Sequence[ModelAliasChange]:
        """The last changes, the newest first."""
        return answer(await aliases_history.asyncio(alias, client=self._client, limit=limit)).data

    async def delete(self, alias: str) -> None:
        """The model stays."""
        answer(await aliases_delete.asyncio(alias, client=self._client))

    async def list(self) -> Sequence[ModelAlias]:
        return answer(await aliases_list.asyncio(client=self._client)).data
