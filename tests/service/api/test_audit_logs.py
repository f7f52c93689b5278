"""`GET /v1/organization/audit_logs`: every route that changes something writes an entry."""

from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from cluster.contracts.jobs import JobStatus
from service.api.state import AppState
from service.db import tables
from tests.api import LiveApi, Project, add_admin_key, add_tuned_model, import_files, jsonl
from tests.databases import on_both_databases
from tests.service.cli.running import run_tunery
from tests.service.db.rows import move, refuse, train

CHANGES_NOTHING = {
    # It is the first entry of the new organization's own log.
    "organizations_create",
    # The operator's; its own test looks at the log.
    "maintenance_begin",
    "maintenance_end",
    "organizations_admin_api_keys_create",
    "organizations_archive",
    "organizations_delete",
    "organization_limits_update",
    "organization_pools_update",
    "organization_limits_reset",
    # The operator's, with entries in the project's log; tests/service/api/test_encryption.py looks at them.
    "organization_project_encryption_update",
    "organization_project_encryption_reset",
    # They use models.
    "completions_create",
    "chat_completions_create",
    "responses_create",
    "responses_delete",
    "classifications_create",
    "embeddings_create",
    "fine_tuning_alpha_graders_run",
    "fine_tuning_alpha_graders_validate",
    "fine_tuning_jobs_estimate",
    "fine_tuning_jobs_preview",
    # Only with the upload's completion is there a file.
    "uploads_create",
    "upload_parts_create",
    "uploads_cancel",
    # They send what was to be sent anyway.
    "webhooks_test",
    "webhooks_deliveries_redeliver",
}

ENDPOINT = {
    "name": "x",
    "url": "https://hooks.example.com/whisper?token=whisper",
    "event_types": ["fine_tuning.job.failed"],
}
UPLOAD = {"bytes": len(jsonl()), "filename": "b.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}


class Scenario:
    """Calls every route that changes something, and notes what the audit log must then have."""

    def __init__(self, http: TestClient, state: AppState, project: Project) -> None:
        assert isinstance(http.app, FastAPI)
        self._http = http
        self._state = state
        self._paths = {
            route.operation_id: (next(iter(route.methods)), route.path.replace(":path}", "}"))
            for route in iter_route_contexts(http.app.routes)
            if getattr(route, "operation_id", None)
        }
        self._ids = {"project_id": project.tenant.project_id, "rate_limit_id": "rl-base-1"}
        self._admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
        self.called: set[str] = set()
        self.expected: list[tuple[str, str]] = []

    @property
    def changing(self) -> set[str]:
        return {
            operation
            for operation, (method, path) in self._paths.items()
            if method != "GET" and path.startswith("/v1/") and operation not in CHANGES_NOTHING
        }

    def call(self, operation: str, event: str, id: str | None = None, **request: Any) -> dict[str, Any]:
        """`id` is the name of the id of what changes; by default it is the answer's."""
        method, path = self._paths[operation]
        is_of_admins = path.startswith(("/v1/organization", "/v1/fine_tuning/checkpoints"))
        headers = self._admin if is_of_admins else None
        answer = self._http.request(method, path.format(**self._ids), headers=headers, **request)
        assert answer.status_code == 200, (operation, answer.text)
        body: dict[str, Any] = answer.json()
        self.called.add(operation)
        self.expected.append((event, self._ids[id] if id else body["id"]))
        return body

    def run(self) -> None:
        self._files_and_jobs()
        self._models()
        self._webhooks()
        self._organization()

    def _files_and_jobs(self) -> None:
        upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
        self._ids["file_id"] = self.call("files_create", "file.created", **upload)["id"]
        job = {"model": "base-1", "training_file": self._ids["file_id"]}

        def create() -> str:
            id = self.call("fine_tuning_jobs_create", "fine_tuning.job.created", json=job)["id"]
            self._ids["job_id"] = id
            return str(id)

        move(self._state.database, create(), JobStatus.QUEUED)
        self.call("fine_tuning_jobs_pause", "fine_tuning.job.paused")
        self.call("fine_tuning_jobs_resume", "fine_tuning.job.resumed")
        low = {"priority": "low"}
        self.call("fine_tuning_jobs_set_priority", "fine_tuning.job.reprioritized", json=low)
        self.call("fine_tuning_jobs_cancel", "fine_tuning.job.cancelled")
        trained = create()
        train(self._state.database, trained)
        refuse(self._state.database, trained)
        self.call("fine_tuning_jobs_republish", "fine_tuning.job.republished")
        self._http.post(f"/v1/fine_tuning/jobs/{trained}/cancel")
        self.expected.append(("fine_tuning.job.cancelled", trained))
        self._ids["fine_tuned_model_checkpoint"] = self._ids["model"] = add_tuned_model(
            self._state.database, create()
        )[0]
        begun = self._http.post("/v1/uploads", json=UPLOAD).json()["id"]
        part = self._http.post(f"/v1/uploads/{begun}/parts", files={"data": jsonl()}).json()["id"]
        self._ids["upload_id"] = begun
        completed = self.call("uploads_complete", "file.created", json={"part_ids": [part]})
        self.expected[-1] = ("file.created", completed["file"]["id"])
        self._ids["file_id"] = completed["file"]["id"]
        self.call("files_delete", "file.deleted")

    def _models(self) -> None:
        alias = {"alias": "mine@prod"}
        self._ids["alias"] = "mine@prod"
        self.call("aliases_set", "alias.updated", "alias", json=alias)
        first, second = self._ids["model"], self._other_model()
        self._ids["model"] = second
        self.call("aliases_set", "alias.updated", "alias", json=alias)
        self.call("aliases_roll_back", "alias.updated", "alias")
        self.call("aliases_delete", "alias.deleted", "alias")
        self._ids["model"] = first
        export = self.call("exports_create", "export.created", json={"format": "gguf"})
        self._ids["export_id"] = export["id"]
        self.call("exports_delete", "export.deleted")
        granted = self.call(
            "checkpoint_permissions_create",
            "checkpoint.permission.created",
            "model",
            json={"project_ids": [self._ids["project_id"]]},
        )
        self._ids["permission_id"] = granted["data"][0]["id"]
        self.expected[-1] = ("checkpoint.permission.created", self._ids["permission_id"])
        self.call("checkpoint_permissions_delete", "checkpoint.permission.deleted")
        self._ids["model"] = second
        self.call("models_delete", "model.deleted")
        files = import_files(self._http)
        self.expected += [("file.created", id) for id in files]
        self.call("models_import", "import.created", json={"base": "base-1", "files": files})

    def _other_model(self) -> str:
        job = {"model": "base-1", "training_file": self._first_file()}
        id = self._http.post("/v1/fine_tuning/jobs", json=job).json()["id"]
        self.expected.append(("fine_tuning.job.created", id))
        return add_tuned_model(self._state.database, id)[0]

    def _first_file(self) -> str:
        return next(id for event, id in self.expected if event == "file.created")

    def _webhooks(self) -> None:
        made = self.call("webhooks_create", "webhook_endpoint.created", json=ENDPOINT)
        self._ids["webhook_endpoint_id"] = made["id"]
        self.call("webhooks_update", "webhook_endpoint.updated", json={"url": f"{ENDPOINT['url']}2"})
        self.call("webhooks_rotate_secret", "webhook_endpoint.updated")
        self.call("webhooks_disable", "webhook_endpoint.updated")
        self.call("webhooks_enable", "webhook_endpoint.updated")
        self.call("webhooks_delete", "webhook_endpoint.deleted")

    def _organization(self) -> None:
        made = self.call("projects_create", "project.created", json={"name": "x"})
        self._ids["project_id"] = made["id"]
        self.call("projects_update", "project.updated", json={"name": "y"})
        limit = {"max_jobs_per_1_day": 1}
        self.call("project_limits_update", "project.limits.updated", json=limit)
        self.call("project_limits_reset", "project.limits.deleted")
        rights = {"methods": ["dpo"]}
        self.call("project_rights_update", "project.rights.updated", json=rights)
        self.call("project_rights_reset", "project.rights.deleted")
        terms = {"files": 90}
        self.call("project_retention_update", "project.retention.updated", json=terms)
        self.call("project_retention_reset", "project.retention.deleted")
        self.call("organization_retention_update", "organization.retention.updated", json=terms)
        self.call("organization_retention_reset", "organization.retention.deleted")
        hold = self.call("legal_holds_create", "legal_hold.created", json={"reason": "x"})
        self._ids["hold_id"] = hold["id"]
        self.call("legal_holds_release", "legal_hold.deleted")
        rate = {"max_requests_per_1_minute": 1}
        self.call("project_rate_limits_update", "rate_limit.updated", json=rate)
        self.call("project_rate_limits_reset", "rate_limit.deleted")
        key = self.call("project_api_keys_create", "api_key.created", json={"name": "k"})
        self._ids["api_key_id"] = key["id"]
        scopes = {"scopes": ["read"]}
        self.call("project_api_keys_update", "api_key.updated", json=scopes)
        self.call("api_key_limits_update", "api_key.limits.updated", "api_key_id", json=limit)
        self.call("api_key_limits_reset", "api_key.limits.deleted", "api_key_id")
        self.call("project_api_keys_delete", "api_key.deleted")
        account = self.call("service_accounts_create", "service_account.created", json={"name": "a"})
        self._ids["service_account_id"] = account["id"]
        self.expected.append(("api_key.created", account["api_key"]["id"]))
        self.call("service_accounts_update", "service_account.updated", json={"name": "b"})
        self.call("service_account_api_keys_create", "api_key.created", json={"name": "k"})
        self.call("service_accounts_delete", "service_account.deleted")
        self.call("projects_archive", "project.archived")
        with self._state.database.write() as session:
            session.get_one(tables.Project, self._ids["project_id"]).archived_at = 1
        self.call("projects_delete", "project.deleted")
        admin = self.call("admin_api_keys_create", "api_key.created", json={"name": "k"})
        self._ids["key_id"] = admin["id"]
        self.call("admin_api_keys_delete", "api_key.deleted")


def test_every_route_that_changes_something_is_in_the_log(
    live: LiveApi, http: TestClient, state: AppState, project: Project
) -> None:
    scenario = Scenario(http, state, project)
    assert "projects_create" in scenario.changing
    scenario.run()
    assert scenario.called == scenario.changing, (
        "call what is new in the scenario, or say why it changes nothing"
    )
    admin = add_admin_key(state.database, project.tenant)
    with live.openai(api_key=admin, admin_api_key=admin) as client:
        logs = client.admin.organization.audit_logs
        entries = [entry.to_dict() for entry in logs.list(limit=7)]
        (made,) = logs.list(event_types=["project.created"], limit=1, effective_at={"gt": 1})
        assert made.project_created is not None
        assert made.actor is not None
        assert made.actor.api_key is not None
        with pytest.raises(openai.BadRequestError, match="Unix seconds"):
            logs.list(effective_at={"gt": -1})
        with pytest.raises(openai.BadRequestError, match="at most 100"):
            logs.list(event_types=["project.created"] * 101)
    found = [(entry["type"], entry[entry["type"]]["id"]) for entry in reversed(entries)]
    assert [one for one in found if one in scenario.expected] == scenario.expected
    unknown = {type for type, _ in found} - {type for type, _ in scenario.expected}
    assert unknown == set()
    assert "hooks.example.com" in str(entries)
    assert "whisper" not in str(entries)
    by = {entry["actor"]["api_key"]["id"] for entry in entries if entry["actor"]}
    assert len(by) == 2


@on_both_databases
def test_the_command_lists_exports_and_verifies(live: LiveApi, project: Project) -> None:
    admin = add_admin_key(live.state.database, project.tenant)

    def run(*arguments: str, exit_code: int = 0) -> str:
        done = run_tunery(live, "audit", *arguments, key=admin)
        assert done.exit_code == exit_code, done.stderr
        return done.stdout if exit_code == 0 else done.stderr

    live.upload()
    assert "\tfile.created\tfile-" in run("ls", "--type", "file.created", "--limit", "1")
    assert "Did you mean file.created" in run("ls", "--type", "file.create", exit_code=2)
    assert run("export").count('"previous_sha256"') == 3
    newest = run("verify").split()[-1]
    assert "3 entries, none changed" in run("verify", "--includes", newest)
    assert "No entry has the hash" in run("verify", "--includes", "0" * 64, exit_code=1)
    assert run_tunery(live, "audit", "ls").exit_code == 3
