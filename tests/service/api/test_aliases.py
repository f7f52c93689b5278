"""Aliases: names that move from model to model, with their history."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, event
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.models.aliases import MAX_ALIASES
from tests.api import Project, add_admin_key, add_encoder, add_key, add_project, add_tuned_model, jsonl
from tests.databases import on_both_databases
from tests.fakes import FakeEngine

ALIAS = "support@prod"


def tuned(http: TestClient, state: AppState) -> tuple[str, str]:
    """The names of a new model and of its checkpoint."""
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()
    return add_tuned_model(state.database, job["id"])


def point(http: TestClient, model: str, alias: str = ALIAS, **guard: int) -> None:
    answer = http.post(f"/v1/models/{model}/aliases", json={"alias": alias, **guard})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["id"], answer.json()["model"]) == (alias, model)


def code_of(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]  # type: ignore[attr-defined]


def test_every_route_that_takes_a_model_takes_its_alias(http: TestClient, state: AppState) -> None:
    model, checkpoint = tuned(http, state)
    engine = state.engine
    assert isinstance(engine, FakeEngine)
    for name in (model, checkpoint, "base-1"):
        point(http, name)
        text = http.post("/v1/completions", json={"model": ALIAS, "prompt": "x"})
        chat = http.post(
            "/v1/chat/completions", json={"model": ALIAS, "messages": [{"role": "user", "content": "x"}]}
        )
        assert (text.json()["model"], chat.json()["model"]) == (name, name)
        for path in (ALIAS, ALIAS.replace("@", "%40")):
            found = http.get(f"/v1/models/{path}").json()
            assert (found["id"], found["tunery"]["alias_of"]) == (ALIAS, name)
        listed = http.get("/v1/models").json()["data"]
        assert {one["id"]: one["tunery"]["alias_of"] for one in listed} == {
            "base-1": None, model: None, ALIAS: name,
        }  # fmt: skip
    digests = [request.model.adapter and request.model.adapter.digest[0] for request in engine.requests]
    assert digests == ["9", "9", "7", "7", None, None]


def add_aliases(state: AppState, project: Project, model: str, count: int) -> None:
    with state.database.write() as session:
        key = session.query(tables.ApiKey).first()
        assert key is not None
        session.add_all(
            tables.ModelAliasChange(
                project_id=project.tenant.project_id,
                organization_id=project.tenant.organization_id,
                alias=f"many-{number}@prod",
                version=1,
                model=model,
                api_key_id=key.id,
                created_at=1,
            )
            for number in range(count)
        )


@on_both_databases
def test_models_are_listed_with_as_many_queries_for_many_aliases_as_for_none(
    http: TestClient, state: AppState, project: Project
) -> None:
    model, checkpoint = tuned(http, state)

    def list_models() -> tuple[int, set[str]]:
        statements = []

        def note(_: object, __: object, statement: str, *___: object) -> None:
            if "FROM models" in statement or "FROM checkpoints" in statement:
                statements.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            listed = http.get("/v1/models").json()["data"]
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return len(statements), {one["id"] for one in listed if one["tunery"]["alias_of"]}

    without = list_models()
    assert without[1] == set()
    add_aliases(state, project, model, 20)
    point(http, checkpoint, "checkpoint@prod")
    point(http, "base-1", "base@prod")
    found = list_models()
    assert found[0] == without[0] > 0
    assert len(found[1]) == 22


def test_a_project_has_a_limited_number_of_aliases(
    http: TestClient, state: AppState, project: Project
) -> None:
    add_aliases(state, project, "base-1", MAX_ALIASES)
    body = {"alias": ALIAS}
    refused = http.post("/v1/models/base-1/aliases", json=body)
    assert code_of(refused) == (400, "too_many_aliases")
    point(http, add_encoder(state), "many-0@prod")
    assert http.delete("/v1/aliases/many-0@prod").status_code == 200
    assert http.post("/v1/models/base-1/aliases", json=body).status_code == 200


def test_encoders_answer_to_aliases(http: TestClient, state: AppState) -> None:
    encoder = add_encoder(state)
    point(http, encoder, "mail@prod")
    answer = http.post("/v1/embeddings", json={"model": "mail@prod", "input": "x"})
    assert answer.json()["model"] == encoder
    assert code_of(http.post("/v1/classifications", json={"model": "mail@prod", "input": "x"}))[0] == 400


def test_a_moved_alias_names_the_new_model_in_every_process_at_once(
    http: TestClient, state: AppState
) -> None:
    models = [tuned(http, state)[0] for _ in range(2)]
    other_state = AppState(state.settings, state.database, state.store, FakeEngine(), state.catalogue)
    app = create_app(state.settings, open_state=lambda _: other_state)
    with TestClient(app, headers=dict(http.headers)) as other:
        for number in range(10):
            point(http, models[number % 2])
            for process in (http, other):
                answer = process.post("/v1/completions", json={"model": ALIAS, "prompt": "x"})
                assert answer.json()["model"] == models[number % 2]
        models_now = {point_of["model"] for point_of in other.get("/v1/aliases").json()["data"]}
        assert models_now == {models[1]}


def test_history_tells_who_moved_it_from_where_and_a_rollback_is_a_change(
    http: TestClient, state: AppState, project: Project
) -> None:
    first, second = tuned(http, state)[0], tuned(http, state)[0]
    point(http, first)
    point(http, second)
    back = http.post(f"/v1/aliases/{ALIAS}/rollback").json()
    assert (back["model"], back["version"]) == (first, 3)
    assert http.post(f"/v1/aliases/{ALIAS}/rollback", json={}).json()["model"] == second
    chosen = http.post(f"/v1/aliases/{ALIAS}/rollback", json={"to_version": 1}).json()
    assert chosen["model"] == first
    assert http.delete(f"/v1/aliases/{ALIAS}").json() == {
        "id": ALIAS, "object": "model.alias", "deleted": True,
    }  # fmt: skip
    with state.database.read() as session:
        (key_id,) = [row.id for row in session.query(tables.ApiKey)]
    changes = http.get(f"/v1/aliases/{ALIAS}/history").json()["data"]
    assert {change["api_key_id"] for change in changes} == {key_id}
    assert [(change["version"], change["previous_model"], change["model"]) for change in changes] == [
        (6, first, None),
        (5, second, first),
        (4, first, second),
        (3, second, first),
        (2, first, second),
        (1, None, first),
    ]
    page = http.get(f"/v1/aliases/{ALIAS}/history?limit=2&before=5").json()
    assert ([change["version"] for change in page["data"]], page["has_more"]) == ([4, 3], True)


def test_refusals_say_in_words_what_is_missing(http: TestClient, state: AppState) -> None:
    model, _ = tuned(http, state)
    refused = http.post(f"/v1/models/{model}/aliases", json={"alias": "bad-name"})
    assert code_of(refused) == (400, "invalid_value")
    assert "such as 'support@prod'" in refused.json()["error"]["message"]
    point(http, model)
    first = http.post(f"/v1/aliases/{ALIAS}/rollback")
    assert first.json()["error"]["message"] == f"The alias '{ALIAS}' has no earlier version."


def test_an_alias_made_again_goes_on_counting(http: TestClient, state: AppState) -> None:
    model, _ = tuned(http, state)
    point(http, model, version=0)
    http.delete(f"/v1/aliases/{ALIAS}")
    point(http, model, version=0)
    assert http.get(f"/v1/aliases/{ALIAS}").json()["version"] == 3
    assert code_of(http.post(f"/v1/aliases/{ALIAS}/rollback")) == (409, "nothing_to_roll_back")


@on_both_databases
def test_a_guarded_change_is_refused_if_another_came_first(http: TestClient, state: AppState) -> None:
    first, second = tuned(http, state)[0], tuned(http, state)[0]
    point(http, first, version=0)
    for guard in (0, 2):
        body = {"alias": ALIAS, "version": guard}
        assert code_of(http.post(f"/v1/models/{second}/aliases", json=body)) == (409, "version_conflict")
    point(http, second, version=1)
    refused = http.post(f"/v1/aliases/{ALIAS}/rollback", json={"version": 1})
    assert code_of(refused) == (409, "version_conflict")
    assert code_of(http.delete(f"/v1/aliases/{ALIAS}?version=1")) == (409, "version_conflict")
    assert http.delete(f"/v1/aliases/{ALIAS}?version=2").status_code == 200


@on_both_databases
def test_of_many_writers_at_once_each_change_gets_a_version_of_its_own(
    http: TestClient, state: AppState
) -> None:
    models = [tuned(http, state)[0] for _ in range(8)]

    def move(model: str) -> int:
        return http.post(f"/v1/models/{model}/aliases", json={"alias": ALIAS}).json()["version"]

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(move, models)) == list(range(1, 9))


def test_pointing_an_alias_where_it_points_changes_nothing(http: TestClient, state: AppState) -> None:
    before, deployed = tuned(http, state)[0], tuned(http, state)[0]
    point(http, before)
    point(http, deployed)
    again = http.post(f"/v1/models/{deployed}/aliases", json={"alias": ALIAS})
    assert (again.status_code, again.json()["version"]) == (200, 2)
    rolled_back = http.post(f"/v1/aliases/{ALIAS}/rollback").json()
    assert (rolled_back["model"], rolled_back["version"]) == (before, 3)


def test_a_model_that_an_alias_names_cannot_be_deleted(http: TestClient, state: AppState) -> None:
    model, checkpoint = tuned(http, state)
    other, _ = tuned(http, state)
    for named, deleted in ((model, model), (checkpoint, checkpoint), (checkpoint, model)):
        point(http, named)
        assert code_of(http.delete(f"/v1/models/{deleted}")) == (409, "model_has_alias")
    point(http, other)
    assert http.delete(f"/v1/models/{model}").status_code == 200
    assert code_of(http.post(f"/v1/aliases/{ALIAS}/rollback")) == (404, "model_not_found")
    assert code_of(http.delete(f"/v1/models/{ALIAS}")) == (400, "invalid_value")


def test_an_alias_can_be_promoted_from_another(http: TestClient, state: AppState) -> None:
    model, _ = tuned(http, state)
    point(http, model, "support@staging")
    promoted = http.post("/v1/models/support@staging/aliases", json={"alias": ALIAS}).json()
    assert promoted["model"] == model
    named = http.get(f"/v1/models/{model}/aliases").json()["data"]
    assert [alias["id"] for alias in named] == [ALIAS, "support@staging"]


@pytest.mark.parametrize(
    "alias",
    [
        "",
        "support",
        "base-1",
        "a@b@c",
        "@prod",
        "a@",
        "a/b@c",
        "a b@c",
        "ä@b",
        "a@b\n",
        "ft:",
        "ft:gpt-4o",
        "ft:gpt-4o:a/b::c",
        "ft::a::b",
        "ft:gpt-4o:a::b\n",
        "gpt-4o",
        "gpt-4o.ft-",
        "ft:" + "a:" * 200,
    ],
)
def test_a_name_that_could_be_a_models_own_is_no_alias(http: TestClient, alias: str) -> None:
    assert http.post("/v1/models/base-1/aliases", json={"alias": alias}).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "ft:gpt-4o-mini-2024-07-18:acme:support:AbCd1234",
        "ft:gpt-4o-mini-2024-07-18:acme::AbCd1234:ckpt-step-90",
        "gpt-4o-mini-2024-07-18.ft-0e208cf33a6a466994aff31a08aba678",
    ],
)
def test_a_name_from_elsewhere_answers_lists_and_continues_like_the_model_that_replaces_it(
    http: TestClient, state: AppState, name: str
) -> None:
    model, _ = tuned(http, state)
    point(http, model, name)
    chat = {"model": name, "messages": [{"role": "user", "content": "x"}]}
    assert http.post("/v1/chat/completions", json=chat).json()["model"] == model
    assert http.get(f"/v1/models/{name}").json()["id"] == name
    listed = {one["id"]: one["tunery"]["alias_of"] for one in http.get("/v1/models").json()["data"]}
    assert listed[name] == model
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create = {"model": name, "training_file": http.post("/v1/files", **upload).json()["id"]}
    job = http.post("/v1/fine_tuning/jobs", json=create).json()
    assert job["tunery"]["training"]["from_checkpoint"] == model
    assert code_of(http.delete(f"/v1/models/{name}")) == (400, "invalid_value")
    assert code_of(http.delete(f"/v1/models/{model}")) == (409, "model_has_alias")
    assert http.delete(f"/v1/aliases/{name}").json()["deleted"] is True
    assert code_of(http.post("/v1/chat/completions", json=chat)) == (404, "model_not_found")


def test_an_alias_never_takes_the_name_of_a_model(http: TestClient, state: AppState) -> None:
    model, checkpoint = tuned(http, state)
    for own in (model, checkpoint):
        answer = http.post("/v1/models/base-1/aliases", json={"alias": own})
        assert code_of(answer) == (409, "name_of_model")


def test_a_model_that_comes_to_have_the_name_of_an_alias_is_meant_by_it(
    http: TestClient, state: AppState
) -> None:
    name = "ft:base-1:acme::AbCd1234"
    point(http, "base-1", name)
    model, _ = tuned(http, state)
    with state.database.write() as session:
        session.get_one(tables.Model, model).id = name
    answer = http.post("/v1/completions", json={"model": name, "prompt": "x"}).json()
    assert answer["model"] == name
    assert http.get(f"/v1/models/{name}").json()["tunery"]["alias_of"] is None


def test_an_alias_that_a_shared_model_shadows_is_not_listed_as_a_model(
    http: TestClient, state: AppState, project: Project
) -> None:
    model, checkpoint = tuned(http, state)
    other = add_project(state.database, organization_id=project.tenant.organization_id)
    theirs = {"authorization": f"Bearer {other.key}"}
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    for name in (model, checkpoint):
        named = http.post("/v1/models/base-1/aliases", headers=theirs, json={"alias": name})
        assert named.status_code == 200
        share = {"project_ids": [other.tenant.project_id]}
        path = f"/v1/fine_tuning/checkpoints/{name}/permissions"
        assert http.post(path, headers=admin, json=share).status_code == 200
    listed = http.get("/v1/models", headers=theirs).json()["data"]
    found = sorted((one["id"], one["tunery"]["alias_of"]) for one in listed)
    assert found == [("base-1", None), (model, None), (checkpoint, None)]


def test_an_alias_never_stands_in_for_another_projects_model_when_that_is_shared(
    http: TestClient, state: AppState, project: Project
) -> None:
    model, checkpoint = tuned(http, state)
    own, _ = tuned(http, state)
    other = add_project(state.database, organization_id=project.tenant.organization_id)
    third = add_project(state.database, organization_id=project.tenant.organization_id)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, other.tenant)}"}
    share = {"project_ids": [other.tenant.project_id]}
    path = f"/v1/fine_tuning/checkpoints/{own}/permissions"
    assert http.post(path, headers=admin, json=share).status_code == 200
    for name in (model, checkpoint):
        theirs = {"authorization": f"Bearer {other.key}"}
        named = http.post(f"/v1/models/{own}/aliases", headers=theirs, json={"alias": name})
        assert named.status_code == 200
        path = f"/v1/fine_tuning/checkpoints/{name}/permissions"
        assert http.get(path, headers=admin).json()["data"] == []
        body = {"project_ids": [third.tenant.project_id]}
        (granted,) = http.post(path, headers=admin, json=body).json()["data"]
        to_third = {"authorization": f"Bearer {third.key}"}
        ask = {"model": name, "prompt": "x"}
        assert http.post("/v1/completions", headers=to_third, json=ask).json()["model"] == name
        assert http.delete(f"{path}/{granted['id']}", headers=admin).status_code == 200
        assert http.post("/v1/completions", headers=to_third, json=ask).status_code == 404


def test_a_name_from_elsewhere_is_one_projects_own(http: TestClient, state: AppState) -> None:
    name = "ft:gpt-4o-mini-2024-07-18:acme:support:AbCd1234"
    point(http, "base-1", name)
    other = add_project(state.database)
    headers = {"authorization": f"Bearer {other.key}"}
    ask = {"model": name, "prompt": "x"}
    assert code_of(http.post("/v1/completions", json=ask, headers=headers)) == (404, "model_not_found")
    assert code_of(http.get(f"/v1/models/{name}", headers=headers)) == (404, "model_not_found")
    assert code_of(http.get(f"/v1/aliases/{name}", headers=headers)) == (404, "alias_not_found")


def test_what_does_not_exist_cannot_be_named(http: TestClient) -> None:
    for model in ("ft:base-1:none::absent00", "absent", "absent@prod"):
        answer = http.post(f"/v1/models/{model}/aliases", json={"alias": ALIAS})
        assert code_of(answer) == (404, "model_not_found")
    for answer in (
        http.get("/v1/aliases/absent@prod"),
        http.get("/v1/aliases/absent@prod/history"),
        http.post("/v1/aliases/absent@prod/rollback"),
        http.delete("/v1/aliases/absent@prod"),
    ):
        assert code_of(answer) == (404, "alias_not_found")


def test_a_job_continues_from_what_an_alias_names(http: TestClient, state: AppState) -> None:
    model, _ = tuned(http, state)
    point(http, model)
    point(http, "base-1", "base@prod")
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create = {"training_file": http.post("/v1/files", **upload).json()["id"]}
    for body in (
        {"model": ALIAS},
        {"model": "base-1", "training": {"from_checkpoint": ALIAS}},
    ):
        job = http.post("/v1/fine_tuning/jobs", json={**create, **body}).json()
        assert job["model"] == "base-1"
        assert job["tunery"]["training"]["from_checkpoint"] == model
    refused = http.post("/v1/fine_tuning/jobs", json={**create, "model": "base@prod"})
    assert (refused.status_code, "base-1" in refused.json()["error"]["message"]) == (400, True)


def test_changing_an_alias_needs_the_scope_write(http: TestClient, state: AppState, project: Project) -> None:
    point(http, "base-1")
    key = add_key(state.database, project.tenant, frozenset({"read", "infer"}))
    reader = {"authorization": f"Bearer {key}"}
    assert http.get(f"/v1/aliases/{ALIAS}", headers=reader).status_code == 200
    for answer in (
        http.post("/v1/models/base-1/aliases", headers=reader, json={"alias": ALIAS}),
        http.post(f"/v1/aliases/{ALIAS}/rollback", headers=reader),
        http.delete(f"/v1/aliases/{ALIAS}", headers=reader),
    ):
        assert answer.status_code == 403


def test_an_alias_of_a_shared_model_says_when_it_is_shared_no_longer(
    http: TestClient, state: AppState, project: Project
) -> None:
    _, checkpoint = tuned(http, state)
    other = add_project(state.database, organization_id=project.tenant.organization_id)
    theirs = {"authorization": f"Bearer {other.key}"}
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    point(http, checkpoint, "newest@prod")
    # The path takes an alias of the project that the admin key acts in.
    permissions = "/v1/fine_tuning/checkpoints/newest@prod/permissions"
    body = {"project_ids": [other.tenant.project_id]}
    (granted,) = http.post(permissions, headers=admin, json=body).json()["data"]
    named = http.post(f"/v1/models/{checkpoint}/aliases", headers=theirs, json={"alias": ALIAS})
    assert named.json()["is_available"] is True
    ask = {"model": ALIAS, "prompt": "x"}
    assert http.post("/v1/completions", headers=theirs, json=ask).status_code == 200

    assert http.delete(f"{permissions}/{granted['id']}", headers=admin).status_code == 200
    refused = http.post("/v1/completions", headers=theirs, json=ask)
    assert code_of(refused) == (404, "model_not_found")
    assert f"The alias '{ALIAS}' names the model '{checkpoint}'" in refused.json()["error"]["message"]
    for path in (f"/v1/models/{ALIAS}", f"/v1/models/{ALIAS}/weights"):
        assert "no longer shared" in http.get(path, headers=theirs).json()["error"]["message"]
    (listed,) = http.get("/v1/aliases", headers=theirs).json()["data"]
    assert (listed["model"], listed["is_available"]) == (checkpoint, False)
    assert [one["id"] for one in http.get("/v1/models", headers=theirs).json()["data"]] == ["base-1"]
    assert http.get("/v1/aliases/newest@prod").json()["is_available"] is True
