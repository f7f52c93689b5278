"""Old checkpoints are matched with those of a new job by how far training was."""

from service.cli.import_openai.plan.checkpoints import matching_checkpoints


def listed(model: str, *steps: int) -> list[dict[str, object]]:
    return [
        {"fine_tuned_model_checkpoint": f"{model}:ckpt-step-{step}", "step_number": step} for step in steps
    ]


def test_the_checkpoint_nearest_in_training_takes_the_name() -> None:
    old, new = listed("ft:old", 300, 200, 100), listed("ft:new", 60, 40, 20)
    assert matching_checkpoints(old, new) == {
        "ft:old:ckpt-step-300": "ft:new:ckpt-step-60",
        "ft:old:ckpt-step-200": "ft:new:ckpt-step-40",
        "ft:old:ckpt-step-100": "ft:new:ckpt-step-20",
    }
    assert set(matching_checkpoints(old, listed("ft:new", 60)).values()) == {"ft:new:ckpt-step-60"}


def test_a_model_is_no_checkpoint_but_says_how_long_training_was() -> None:
    whole = {"fine_tuned_model_checkpoint": "ft:old", "step_number": 200}
    assert matching_checkpoints([whole, *listed("ft:old", 100)], listed("ft:new", 10, 5)) == {
        "ft:old:ckpt-step-100": "ft:new:ckpt-step-5"
    }


def test_what_is_no_checkpoint_is_left_out() -> None:
    broken = [{}, {"fine_tuned_model_checkpoint": 7, "step_number": 1}, *listed("ft:old", 0)]
    assert matching_checkpoints(broken, listed("ft:new", 1)) == {}
    assert matching_checkpoints(listed("ft:old", 1), []) == {}
