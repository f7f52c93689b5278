from service.scheduling.publishing.results import result_csv

HEADER = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"


def test_the_result_file_leaves_blank_what_was_not_measured() -> None:
    steps = [
        {"step": 1, "train_loss": 0.5, "train_mean_token_accuracy": 0.25, "grad_norm": 1.0},
        {"step": 2, "train_loss": None, "valid_loss": 0.75, "valid_mean_token_accuracy": 1.0},
    ]
    assert result_csv(steps).decode().splitlines() == [HEADER, "1,0.5,0.25,,", "2,,,0.75,1.0"]


def test_a_step_shows_its_own_validation_loss_or_else_the_full_one() -> None:
    steps = [
        {"step": 1, "valid_loss": 0.75, "full_valid_loss": 0.5, "full_valid_mean_token_accuracy": 0.25},
        {"step": 2, "full_valid_loss": 0.5, "full_valid_mean_token_accuracy": 0.25},
        {"step": 3, "valid_loss": None, "full_valid_loss": 0.5},
    ]
    assert result_csv(steps).decode().splitlines()[1:] == ["1,,,0.75,", "2,,,0.5,0.25", "3,,,,"]
