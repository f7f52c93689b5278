"""HF Trainer and TRL, each with its fastest settings that do not change what is learned.

- Weights, adapter, AdamW, learning rates and clipping are the same as ours. Nothing is logged, saved or
  computed twice.
- `hf_trainer_padded` and `trl_padded` train on the same batches as ours; the others choose their own.
- TRL packs with "bfd", which joins the packed rows of a batch into one row. Without FlashAttention, a dense
  mask keeps them apart, at a cost that grows with the square of the row's length; so TRL gets one
  packed row per batch. SFTConfig's defaults of bf16 and gradient checkpointing are on if our loop uses them.
"""

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from cluster.training.data.batches import Schedule
from cluster.training.loop.loop import scheduled_rate
from tests.benchmarks.training.chats import IGNORED, Chat
from tests.benchmarks.training.meter import Meter
from tests.benchmarks.training.ours import config_of
from tests.benchmarks.training.task import Measurement, Task


def hf_trainer_padded(task: Task, device: torch.device) -> Measurement:
    return _hf_trainer("hf_trainer_padded", "sequential", task, device)


def hf_trainer_group_by_length(task: Task, device: torch.device) -> Measurement:
    return _hf_trainer("hf_trainer_group_by_length", "group_by_length", task, device)


def trl_padded(task: Task, device: torch.device) -> Measurement:
    return _trl("trl_padded", task, device, attention="sdpa", per_device_train_batch_size=task.batch_size)


def trl_packed(task: Task, device: torch.device) -> Measurement:
    """Each step has as many packed rows as hold about `batch_size` chats."""
    mean_length = sum(len(chat.token_ids) for chat in task.chats()) / task.n_chats
    rows = max(1, round(task.batch_size * mean_length / task.context))
    return _trl(
        "trl_packed",
        task,
        device,
        attention=task.trl_attention,
        packing=True,
        packing_strategy="bfd",
        max_length=task.context,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=rows,
    )


PEERS: dict[str, Callable[[Task, torch.device], Measurement]] = {
    "hf_trainer_padded": hf_trainer_padded,
    "hf_trainer_group_by_length": hf_trainer_group_by_length,
    "trl_padded": trl_padded,
    "trl_packed": trl_packed,
}


def _hf_trainer(name: str, sampling: str, task: Task, device: torch.device) -> Measurement:
    model = load_model(task, device, attention="sdpa")
    tokenizer = AutoTokenizer.from_pretrained(task.folder)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            **shared_arguments(task, folder),
            train_sampling_strategy=sampling,
            per_device_train_batch_size=task.batch_size,
        )
        trainer = _counting(Trainer)(
            model=model,
            args=arguments,
            train_dataset=_rows(task),
            data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED),
            processing_class=tokenizer,
        )
        return trainer.measure(name, task)


def _trl(name: str, task: Task, device: torch.device, *, attention: str, **settings: Any) -> Measurement:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model = load_model(task, device, attention=attention)
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            **shared_arguments(task, folder),
            train_sampling_strategy="sequential",
            shuffle_dataset=False,
            **{"max_length": None, **settings},
        )
        trainer = _counting(SFTTrainer)(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(_rows(task)),
            processing_class=AutoTokenizer.from_pretrained(task.folder),
        )
        return trainer.measure(name, task, note=f"attention {attention}")


def load_model(task: Task, device: torch.device, *, attention: str) -> Any:
    """The base model, with PEFT's adapter for LoRA. The adapter starts with the same values as ours."""
    config = config_of(task)
    dtype = torch.bfloat16 if task.is_gpu and task.type == "lora" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(task.folder, dtype=dtype, attn_implementation=attention)
    model.config.use_cache = False
    model.to(device)
    if task.type == "full":
        return model
    torch.manual_seed(config.seed)
    lora = LoraConfig(r=config.r, lora_alpha=config.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, lora)


def shared_arguments(task: Task, folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "num_train_epochs": 1,
        "learning_rate": task.learning_rate,
        "optim": "adamw_torch_fused",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": task.is_gpu,
        "gradient_checkpointing": task.activation_checkpointing != "none",
        "use_cpu": not (task.is_gpu and torch.cuda.is_available()),
        "dataloader_pin_memory": task.is_gpu and torch.cuda.is_available(),
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": task.seed,
    }


def _rows(task: Task) -> list[dict[str, list[int]]]:
    """The chats in the order in which our loop trains on them."""
    chats = task.chats()
    schedule = Schedule(len(chats), batch_size=task.batch_size, n_epochs=1, seed=task.seed)
    order = np.concatenate([step.examples for step in schedule.steps()])
    return [_row(chats[index]) for index in order]


def _row(chat: Chat) -> dict[str, list[int]]:
    return {"input_ids": chat.token_ids, "labels": chat.labels}


class _StepEnds(TrainerCallback):
    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._end()


def _counting(kind: type[Trainer]) -> Any:
    """Makes a subclass of a trainer that reports the real tokens and the loss of each step to a meter."""

    class Counting(kind):  # type: ignore[misc,valid-type]
        def measure(self, name: str, task: Task, *, note: str = "") -> Measurement:
            rates = config_of(task)
            per_epoch = len(self.get_train_dataloader())
            total_steps = -(-per_epoch // self.args.gradient_accumulation_steps)
            self._tokens, self._loss = 0, torch.zeros(())
            self._meter = Meter(name, task, total_steps=total_steps)
            self.add_callback(_StepEnds(self._step_ends))
            self.create_optimizer()
            self.lr_scheduler = LambdaLR(
                self.optimizer,
                lambda step: scheduled_rate(rates, min(step, total_steps), total_steps) / rates.learning_rate,
            )
            self.train()
            return self._meter.measurement(note=note)

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            mask = inputs.get("attention_mask")
            self._tokens += int(inputs["input_ids"].numel() if mask is None else mask.sum())
            loss = super().training_step(model, inputs, *args, **kwargs)
            self._loss = self._loss + loss.float().cpu()
            return loss

        def _step_ends(self) -> None:
            self._meter.step(tokens=self._tokens, loss=float(self._loss))
            self._tokens, self._loss = 0, torch.zeros(())

    return Counting
