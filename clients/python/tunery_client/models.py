"""`tunery.models`."""

from tunery_client._generated.api.models import models_delete, models_list, models_retrieve
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.model_object import ModelObject
from tunery_client.transport import answer


class Models:
    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def list(self) -> list[ModelObject]:
        """Returns the server's base models and the project's tuned models."""
        return answer(lambda: models_list.sync(client=self._client)).data

    def retrieve(self, model: str) -> ModelObject:
        return answer(lambda: models_retrieve.sync(model, client=self._client))

    def delete(self, model: str) -> None:
        answer(lambda: models_delete.sync(model, client=self._client))
