"""Uploads a folder with a model to a repository of the Hugging Face Hub."""

from pathlib import Path

from service.cli.failures import AUTH, NOT_FOUND, CommandFailed

_EXIT_CODES = {401: AUTH, 403: AUTH, 404: NOT_FOUND}


def push_folder(folder: Path, repository: str, *, is_public: bool, message: str) -> str:
    """Creates the repository if it does not exist, and returns the address of the new commit. The token comes
    from `HF_TOKEN` or `hf auth login`. Raises CommandFailed, also if the repository is already public and
    `is_public` is false."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    except ImportError as error:
        raise CommandFailed("Pushing needs huggingface_hub: pip install huggingface_hub.") from error
    hub = HfApi()
    try:
        hub.create_repo(repository, private=not is_public, exist_ok=True)
        if not is_public and not hub.repo_info(repository).private:
            raise CommandFailed(
                f"The repository {repository} is public. Give --public to let everyone see the weights, or "
                "name another repository."
            )
        commit = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except LocalTokenNotFoundError as error:
        raise CommandFailed("The Hub needs a token: set HF_TOKEN, or run `hf auth login`.", AUTH) from error
    except HFValidationError as error:
        raise CommandFailed(f"'{repository}' is no repository's name: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise CommandFailed(f"The Hub refused: {error}", _EXIT_CODES.get(status, 1)) from error
    return str(commit.commit_url)
