"""`/v1/organization/costs`: what the usage of all projects has cost, by the operator's prices."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from service.api.costs import Cost, Prices, costs
from service.api.http.auth import OrganizationAdmin
from service.api.http.lists import query_list
from service.api.organization_usage import usage_query
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.schemas.organization_usage import CostAmount, CostsResult, UsagePage
from service.api.state import UsesAppState
from service.db.usage.organization_usage import OrganizationUsage
from service.db.usage.usage import OPERATIONS

router = APIRouter(prefix="/organization", tags=["Usage"])

_Names = Annotated[list[str], Query(default_factory=list, max_length=100)]


@router.get("/costs", operation_id="usage_costs", summary="Costs")
def list_costs(
    request: Request,
    caller: OrganizationAdmin,
    state: UsesAppState,
    start_time: Annotated[int, Query(description="Unix seconds."), WholeNumber],
    project_ids: _Names,
    api_key_ids: _Names,
    line_items: _Names,
    group_by: Annotated[list[str], Query(default_factory=list, max_length=100)],
    end_time: Annotated[
        int | Absent, Query(description="Unix seconds, exclusive. By default, the current time."), WholeNumber
    ] = None,
    bucket_width: Annotated[Literal["1d"], OrDefault] = "1d",
    limit: Annotated[
        int | Absent, Query(description="Maximum number of buckets per page."), WholeNumber
    ] = None,
    page: Annotated[str | Absent, OrDefault] = None,
) -> UsagePage:
    """Usage multiplied by the current prices in the server's settings. Usage that has no price is left out;
    if no prices are set at all, the request is answered with 400 `prices_not_set`. Nothing is billed."""
    prices = Prices(state.settings)
    grouped_by = query_list(request, "group_by")
    wanted = usage_query(
        start_time=start_time,
        end_time=end_time,
        bucket_width=bucket_width,
        limit=limit,
        page=page,
        group_by=grouped_by,
        dimensions=("project_id", "api_key_id"),
        also_groups=("user_id", "line_item"),
        limits={"1d": (7, 180)},
        project_ids=query_list(request, "project_ids"),
        api_key_ids=query_list(request, "api_key_ids"),
    )
    by_model = replace(wanted.filter, group_by=[*wanted.filter.group_by, "model"])
    with state.database.read() as session:
        usage = OrganizationUsage(session, caller.tenant.organization_id)
        requests = [usage.of_models(operation, by_model) for operation in OPERATIONS]
        training = usage.of_training(by_model)
    by_line_item = "line_item" in grouped_by
    found = costs(
        prices,
        requests,
        training,
        by_line_item=by_line_item,
        line_items=query_list(request, "line_items"),
    )
    currency = state.settings.price_currency.lower()

    def result(cost: Cost, group: dict[str, Any]) -> CostsResult:
        counted = {"quantity": cost.quantity, "quantity_unit": cost.unit} if by_line_item else {}
        return CostsResult(amount=CostAmount(value=cost.amount, currency=currency), **group, **counted)

    return wanted.page(found, result)
