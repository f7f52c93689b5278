"""`tunery vllm`: creates the environment in which vLLM serves models on this machine's GPUs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Manage the environment of vLLM, which serves models on GPUs.", no_args_is_help=True)


@app.command()
def install(
    data: Annotated[Path, typer.Option(help="Data folder of `tunery up`.")] = Path(".tunery"),
    package: Annotated[
        str,
        typer.Option(
            help="Requirement for pip to install, for example vllm==0.29.0.",
            show_default="a version that Tunery works with",
        ),
    ] = "",
) -> None:
    """Create an environment with vLLM in the data folder, with the same versions of Ray and torch as this
    one."""
    from service.vllm_environment import InstallationFailed, install_vllm

    try:
        python = install_vllm(data, package=package)
    except InstallationFailed as error:
        typer.echo(f"tunery vllm: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"vLLM is in {python.parent.parent}. `tunery up` finds it there.")
