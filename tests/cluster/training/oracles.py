"""The same training by HF Trainer and TRL, on the same rows in the same order and at the same rates.

They share none of our code: they render, mask, pad and score the rows themselves. `rows` come in the order of
training, all epochs end to end, so that one sequential pass over them makes the same steps.

The trainers are imported when they train: every process that collects tests would wait for them.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.contracts.hyperparameters import TrainingConfig

Rows = list[dict[str, Any]]


class Trained(NamedTuple):
    losses: list[float]
    """One a step."""
    weights: dict[str, Tensor]
    """Named as in a saved adapter or model."""


def hf_trainer(base: Path, config: TrainingConfig, rows: Rows, folder: Path) -> Trained:
    """Trains on the tokens that the chat template marks, with the model's own loss."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(base)
    arguments = TrainingArguments(**_arguments(config, folder), train_sampling_strategy="sequential")
    trainer = _recording(Trainer)(
        model=load_model(base, config),
        args=arguments,
        train_dataset=[_tokenised(tokenizer, row["messages"]) for row in rows],
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )
    return trainer.trained(config)


def trl_sft(base: Path, config: TrainingConfig, rows: Rows, folder: Path) -> Trained:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = _recording(SFTTrainer)(
        model=load_model(base, config),
        args=SFTConfig(
            **_arguments(config, folder),
            train_sampling_strategy="sequential",
            assistant_only_loss=True,
            max_length=config.max_length,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    return trainer.trained(config)


def trl_dpo(base: Path, config: TrainingConfig, rows: Rows, folder: Path) -> Trained:
    """The reference is the model that training begins with."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    is_full = config.type == "full"
    trainer = _recording(DPOTrainer)(
        model=load_model(base, config),
        ref_model=AutoModelForCausalLM.from_pretrained(base) if is_full else None,
        args=DPOConfig(
            **_arguments(config, folder),
            train_sampling_strategy="sequential",
            beta=config.beta,
            max_length=config.max_length,
        ),
        train_dataset=Dataset.from_list([_preference(row) for row in rows]),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    return trainer.trained(config)


def load_model(base: Path, config: TrainingConfig) -> Any:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if config.type == "full":
        return model
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.r, lora_alpha=config.alpha, target_modules=config.target_modules, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, lora)


def rate_of(config: TrainingConfig, total_steps: int) -> Callable[[int], float]:
    """The share of the peak rate at each step, from 0: a linear rise, then a linear fall to zero after the
    last step."""
    warmup = math.ceil(config.warmup_ratio * total_steps)
    return lambda step: min((step + 1) / max(warmup, 1), (total_steps - step) / (total_steps - warmup))


def _arguments(config: TrainingConfig, folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "optim": "adamw_torch",
        "weight_decay": 0.0,
        "max_grad_norm": config.max_grad_norm,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _tokenised(tokenizer: Any, messages: list[dict[str, str]]) -> dict[str, list[int]]:
    found = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    labels = [
        token if is_answer else -100
        for token, is_answer in zip(found["input_ids"], found["assistant_masks"], strict=True)
    ]
    return {"input_ids": found["input_ids"], "labels": labels}


def _preference(row: dict[str, Any]) -> dict[str, Any]:
    """Converts OpenAI's row to TRL's."""
    return {
        "prompt": row["input"]["messages"],
        "chosen": row["preferred_output"],
        "rejected": row["non_preferred_output"],
    }


def _recording(kind: type) -> Any:
    """The trainer with our learning-rate schedule, recording the loss of each step. `kind` is a Trainer."""

    class Recording(kind):  # type: ignore[misc,valid-type]
        def trained(self, config: TrainingConfig) -> Trained:
            self.losses: list[float] = []
            self.create_optimizer()
            rate = rate_of(config, len(self.get_train_dataloader()))
            self.lr_scheduler = LambdaLR(self.optimizer, rate)
            self.train()
            is_full = config.type == "full"
            state = self.model.state_dict() if is_full else get_peft_model_state_dict(self.model)
            return Trained(self.losses, {name: value.detach() for name, value in state.items()})

        def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
            loss: Tensor = super().training_step(*args, **kwargs)
            self.losses.append(float(loss))
            return loss

    return Recording
