"""Summarizes a job in a few figures for comparison with others."""

from typing import Any

from service.cli.output import Item


def compared(job: Item, checkpoint: Item | None) -> dict[str, Any]:
    """Values by name, ordered from settings to results. `checkpoint` is the job's last checkpoint."""
    extension = job["tunery"]
    metrics = checkpoint["metrics"] if checkpoint else {}
    evaluation = extension["evaluation"] or {}
    held_out, general = evaluation.get("held_out") or {}, evaluation.get("general") or {}
    cost = extension["cost"] or {}
    return {
        "job": job["id"],
        "status": job["status"],
        "model": job["model"],
        "method": job["method"]["type"],
        "type": extension["training"]["type"],
        "rank": extension["training"]["r"],
        **job["hyperparameters"],
        "seed": job["seed"],
        "training_file": job["training_file"],
        "trained_tokens": job["trained_tokens"],
        "train_loss": _rounded(metrics.get("train_loss")),
        "valid_loss": _rounded(metrics.get("full_valid_loss") or metrics.get("valid_loss")),
        "held_out_loss_before": _rounded(held_out.get("base_loss")),
        "held_out_loss_after": _rounded(held_out.get("tuned_loss")),
        "held_out_accuracy_after": _rounded(held_out.get("tuned_accuracy")),
        "general_loss_after": _rounded(general.get("tuned_loss")),
        "regression": _rounded(evaluation.get("regression")),
        "seconds": _rounded(cost.get("seconds")),
        "device": cost.get("device"),
        "tuned_model": job["fine_tuned_model"],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
