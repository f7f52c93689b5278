from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.training_options_activation_checkpointing import (
    TrainingOptionsActivationCheckpointing,
    check_training_options_activation_checkpointing,
)
from ..models.training_options_num_workers_type_0 import (
    TrainingOptionsNumWorkersType0,
    check_training_options_num_workers_type_0,
)
from ..models.training_options_on_overlength import (
    TrainingOptionsOnOverlength,
    check_training_options_on_overlength,
)
from ..models.training_options_optimizer import (
    TrainingOptionsOptimizer,
    check_training_options_optimizer,
)
from ..models.training_options_parallelism import (
    TrainingOptionsParallelism,
    check_training_options_parallelism,
)
from ..models.training_options_target_modules_type_0 import (
    TrainingOptionsTargetModulesType0,
    check_training_options_target_modules_type_0,
)
from ..models.training_options_type import (
    TrainingOptionsType,
    check_training_options_type,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.early_stopping import EarlyStopping
    from ..models.training_options_peft_config_type_0 import (
        TrainingOptionsPeftConfigType0,
    )
    from ..models.worker_range import WorkerRange


T = TypeVar("T", bound="TrainingOptions")


@_attrs_define
class TrainingOptions:
    """Tunery's `training` extension of the create request: how the weights are adapted.

    Attributes:
        type_ (TrainingOptionsType | Unset): Training type: `lora`; `qlora`, LoRA with the base in 4 bits; `full`, which
            trains all weights; or
            `peft`, another PEFT method, set by `peft_config`. Default: 'lora'.
        r (int | Unset): LoRA rank. Default: 16.
        alpha (float | Unset): LoRA scale: the update is multiplied by alpha / r. Default: 32.0.
        dropout (float | Unset):  Default: 0.0.
        target_modules (list[str] | TrainingOptionsTargetModulesType0 | Unset): Layers to adapt, by full name or the end
            of the name, such as `q_proj`; not the embeddings or the
            head. Default: 'all-linear'.
        use_rslora (bool | Unset): Multiplies the update by alpha / sqrt(r) instead of alpha / r (Kalajdzievski, 2023,
            arXiv:2312.03732). Default: False.
        use_dora (bool | Unset): Learns the magnitude of each weight column separately from its direction (Liu et al.,
            2024,
            arXiv:2402.09353). The tuned model is served merged. Default: False.
        peft_config (None | TrainingOptionsPeftConfigType0 | Unset): PEFT configuration for type `peft`, including
            `peft_type`. Adapters other than plain LoRA are served
            merged, or, for prefix, prompt and P-tuning, as a stored prefix of every prompt.
        max_seq_length (int | None | Unset): Maximum length of an example, or of each answer of a pair, in tokens. The
            default is the base's context
            length, which is also the maximum. With a smaller value, a job fits into less memory.
        on_overlength (TrainingOptionsOnOverlength | Unset): What happens to an example that is longer than
            `max_seq_length`: the job fails, the example is dropped,
            or it is truncated at the end. Dropped and truncated examples are reported in the job's events, with line
            numbers. Default: 'error'.
        num_workers (int | TrainingOptionsNumWorkersType0 | Unset | WorkerRange): Number of training processes, each
            with its own device. `auto` uses as few as the model needs. A range
            makes the job elastic: it starts with as many as there is room for. Default: 'auto'.
        parallelism (TrainingOptionsParallelism | Unset): How several workers hold the model: each has a copy (`ddp`),
            all share one sharded copy (`fsdp`), or
            the workers of each node share one (`hsdp`). `single` is one worker. `auto` shards full fine-tunes, and
            anything that does not fit into the memory of one device. Default: 'auto'.
        packing (bool | Unset): Concatenates the examples of a step without padding, if the model's family allows it.
            Otherwise they
            are padded, and examples of similar length are batched together. Default: True.
        activation_checkpointing (TrainingOptionsActivationCheckpointing | Unset): Recomputes activations in the
            backward pass to save memory; `offload` also keeps the remaining ones in
            host memory. `auto` does so only if the job would not fit otherwise. Default: 'auto'.
        optimizer (TrainingOptionsOptimizer | Unset): `adamw_8bit` keeps AdamW's moments in 8 bits (bitsandbytes).
            Default: 'adamw'.
        compile_ (bool | Unset): Compiles the model's layers with torch.compile, which makes the start slower but
            training on large GPUs
            faster. Requires a C compiler where training runs; Tunery's images have one. Default: False.
        from_checkpoint (None | str | Unset): Continues from this tuned model or checkpoint (`ft:…` or `ft:…:ckpt-
            step-N`) of the same base.
        restore_optimizer (bool | Unset): With `from_checkpoint`, also restores the optimizer state. The optimizer state
            of a job's newest step
            is kept until a day after the job has ended, unless this server is configured otherwise. Default: False.
        source_job (None | str | Unset): Id of a job to repeat. Settings that the request leaves out (validation file,
            seed, method,
            hyperparameters and training options) are taken from that job, with its resolved values. On the same
            hardware and software the losses are the same; on CPUs, they are bit-identical.
        allow_changed_base (bool | Unset): With `source_job`, repeats the job even if the base model's weights have
            changed since. Default: False.
        validation_split (float | Unset): Fraction of the training file to hold out for validation if there is no
            validation file; with 0,
            nothing is held out. Default: 0.0.
        early_stopping (EarlyStopping | None | Unset): Ends training when the validation loss stops falling. Requires a
            validation file or
            `validation_split`.
        general_file (None | str | Unset): Id of a processed file to measure forgetting on, instead of the built-in
            general set.
        max_regression (float | None | Unset): The job fails if its loss on the general set has increased by more than
            this, in nats per token. If
            null, the increase is only measured.
    """

    type_: TrainingOptionsType | Unset = "lora"
    r: int | Unset = 16
    alpha: float | Unset = 32.0
    dropout: float | Unset = 0.0
    target_modules: list[str] | TrainingOptionsTargetModulesType0 | Unset = "all-linear"
    use_rslora: bool | Unset = False
    use_dora: bool | Unset = False
    peft_config: None | TrainingOptionsPeftConfigType0 | Unset = UNSET
    max_seq_length: int | None | Unset = UNSET
    on_overlength: TrainingOptionsOnOverlength | Unset = "error"
    num_workers: int | TrainingOptionsNumWorkersType0 | Unset | WorkerRange = "auto"
    parallelism: TrainingOptionsParallelism | Unset = "auto"
    packing: bool | Unset = True
    activation_checkpointing: TrainingOptionsActivationCheckpointing | Unset = "auto"
    optimizer: TrainingOptionsOptimizer | Unset = "adamw"
    compile_: bool | Unset = False
    from_checkpoint: None | str | Unset = UNSET
    restore_optimizer: bool | Unset = False
    source_job: None | str | Unset = UNSET
    allow_changed_base: bool | Unset = False
    validation_split: float | Unset = 0.0
    early_stopping: EarlyStopping | None | Unset = UNSET
    general_file: None | str | Unset = UNSET
    max_regression: float | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.early_stopping import EarlyStopping  # noqa: PLC0415
        from ..models.training_options_peft_config_type_0 import (
            TrainingOptionsPeftConfigType0,  # noqa: PLC0415
        )
        from ..models.worker_range import WorkerRange  # noqa: PLC0415

        type_: str | Unset = UNSET
        if not isinstance(self.type_, Unset):
            type_ = self.type_

        r = self.r

        alpha = self.alpha

        dropout = self.dropout

        target_modules: list[str] | str | Unset
        if isinstance(self.target_modules, Unset):
            target_modules = UNSET
        elif isinstance(self.target_modules, str):
            target_modules = self.target_modules
        else:
            target_modules = self.target_modules

        use_rslora = self.use_rslora

        use_dora = self.use_dora

        peft_config: dict[str, Any] | None | Unset
        if isinstance(self.peft_config, Unset):
            peft_config = UNSET
        elif isinstance(self.peft_config, TrainingOptionsPeftConfigType0):
            peft_config = self.peft_config.to_dict()
        else:
            peft_config = self.peft_config

        max_seq_length: int | None | Unset
        if isinstance(self.max_seq_length, Unset):
            max_seq_length = UNSET
        else:
            max_seq_length = self.max_seq_length

        on_overlength: str | Unset = UNSET
        if not isinstance(self.on_overlength, Unset):
            on_overlength = self.on_overlength

        num_workers: dict[str, Any] | int | str | Unset
        if isinstance(self.num_workers, Unset):
            num_workers = UNSET
        elif isinstance(self.num_workers, str):
            num_workers = self.num_workers
        elif isinstance(self.num_workers, WorkerRange):
            num_workers = self.num_workers.to_dict()
        else:
            num_workers = self.num_workers

        parallelism: str | Unset = UNSET
        if not isinstance(self.parallelism, Unset):
            parallelism = self.parallelism

        packing = self.packing

        activation_checkpointing: str | Unset = UNSET
        if not isinstance(self.activation_checkpointing, Unset):
            activation_checkpointing = self.activation_checkpointing

        optimizer: str | Unset = UNSET
        if not isinstance(self.optimizer, Unset):
            optimizer = self.optimizer

        compile_ = self.compile_

        from_checkpoint: None | str | Unset
        if isinstance(self.from_checkpoint, Unset):
            from_checkpoint = UNSET
        else:
            from_checkpoint = self.from_checkpoint

        restore_optimizer = self.restore_optimizer

        source_job: None | str | Unset
        if isinstance(self.source_job, Unset):
            source_job = UNSET
        else:
            source_job = self.source_job

        allow_changed_base = self.allow_changed_base

        validation_split = self.validation_split

        early_stopping: dict[str, Any] | None | Unset
        if isinstance(self.early_stopping, Unset):
            early_stopping = UNSET
        elif isinstance(self.early_stopping, EarlyStopping):
            early_stopping = self.early_stopping.to_dict()
        else:
            early_stopping = self.early_stopping

        general_file: None | str | Unset
        if isinstance(self.general_file, Unset):
            general_file = UNSET
        else:
            general_file = self.general_file

        max_regression: float | None | Unset
        if isinstance(self.max_regression, Unset):
            max_regression = UNSET
        else:
            max_regression = self.max_regression

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if type_ is not UNSET:
            field_dict["type"] = type_
        if r is not UNSET:
            field_dict["r"] = r
        if alpha is not UNSET:
            field_dict["alpha"] = alpha
        if dropout is not UNSET:
            field_dict["dropout"] = dropout
        if target_modules is not UNSET:
            field_dict["target_modules"] = target_modules
        if use_rslora is not UNSET:
            field_dict["use_rslora"] = use_rslora
        if use_dora is not UNSET:
            field_dict["use_dora"] = use_dora
        if peft_config is not UNSET:
            field_dict["peft_config"] = peft_config
        if max_seq_length is not UNSET:
            field_dict["max_seq_length"] = max_seq_length
        if on_overlength is not UNSET:
            field_dict["on_overlength"] = on_overlength
        if num_workers is not UNSET:
            field_dict["num_workers"] = num_workers
        if parallelism is not UNSET:
            field_dict["parallelism"] = parallelism
        if packing is not UNSET:
            field_dict["packing"] = packing
        if activation_checkpointing is not UNSET:
            field_dict["activation_checkpointing"] = activation_checkpointing
        if optimizer is not UNSET:
            field_dict["optimizer"] = optimizer
        if compile_ is not UNSET:
            field_dict["compile"] = compile_
        if from_checkpoint is not UNSET:
            field_dict["from_checkpoint"] = from_checkpoint
        if restore_optimizer is not UNSET:
            field_dict["restore_optimizer"] = restore_optimizer
        if source_job is not UNSET:
            field_dict["source_job"] = source_job
        if allow_changed_base is not UNSET:
            field_dict["allow_changed_base"] = allow_changed_base
        if validation_split is not UNSET:
            field_dict["validation_split"] = validation_split
        if early_stopping is not UNSET:
            field_dict["early_stopping"] = early_stopping
        if general_file is not UNSET:
            field_dict["general_file"] = general_file
        if max_regression is not UNSET:
            field_dict["max_regression"] = max_regression

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.early_stopping import EarlyStopping  # noqa: PLC0415
        from ..models.training_options_peft_config_type_0 import (
            TrainingOptionsPeftConfigType0,  # noqa: PLC0415
        )
        from ..models.worker_range import WorkerRange  # noqa: PLC0415

        d = dict(src_dict)
        _type_ = d.pop("type", UNSET)
        type_: TrainingOptionsType | Unset
        if isinstance(_type_, Unset):
            type_ = UNSET
        else:
            type_ = check_training_options_type(_type_)

        r = d.pop("r", UNSET)

        alpha = d.pop("alpha", UNSET)

        dropout = d.pop("dropout", UNSET)

        def _parse_target_modules(data: object) -> list[str] | TrainingOptionsTargetModulesType0 | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                target_modules_type_0 = check_training_options_target_modules_type_0(data)

                return target_modules_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, list):
                raise TypeError()
            target_modules_type_1 = cast(list[str], data)

            return target_modules_type_1

        target_modules = _parse_target_modules(d.pop("target_modules", UNSET))

        use_rslora = d.pop("use_rslora", UNSET)

        use_dora = d.pop("use_dora", UNSET)

        def _parse_peft_config(data: object) -> None | TrainingOptionsPeftConfigType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                peft_config_type_0 = TrainingOptionsPeftConfigType0.from_dict(data)

                return peft_config_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TrainingOptionsPeftConfigType0 | Unset, data)

        peft_config = _parse_peft_config(d.pop("peft_config", UNSET))

        def _parse_max_seq_length(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_seq_length = _parse_max_seq_length(d.pop("max_seq_length", UNSET))

        _on_overlength = d.pop("on_overlength", UNSET)
        on_overlength: TrainingOptionsOnOverlength | Unset
        if isinstance(_on_overlength, Unset):
            on_overlength = UNSET
        else:
            on_overlength = check_training_options_on_overlength(_on_overlength)

        def _parse_num_workers(data: object) -> int | TrainingOptionsNumWorkersType0 | Unset | WorkerRange:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                num_workers_type_0 = check_training_options_num_workers_type_0(data)

                return num_workers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                num_workers_type_2 = WorkerRange.from_dict(data)

                return num_workers_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(int | TrainingOptionsNumWorkersType0 | Unset | WorkerRange, data)

        num_workers = _parse_num_workers(d.pop("num_workers", UNSET))

        _parallelism = d.pop("parallelism", UNSET)
        parallelism: TrainingOptionsParallelism | Unset
        if isinstance(_parallelism, Unset):
            parallelism = UNSET
        else:
            parallelism = check_training_options_parallelism(_parallelism)

        packing = d.pop("packing", UNSET)

        _activation_checkpointing = d.pop("activation_checkpointing", UNSET)
        activation_checkpointing: TrainingOptionsActivationCheckpointing | Unset
        if isinstance(_activation_checkpointing, Unset):
            activation_checkpointing = UNSET
        else:
            activation_checkpointing = check_training_options_activation_checkpointing(
                _activation_checkpointing
            )

        _optimizer = d.pop("optimizer", UNSET)
        optimizer: TrainingOptionsOptimizer | Unset
        if isinstance(_optimizer, Unset):
            optimizer = UNSET
        else:
            optimizer = check_training_options_optimizer(_optimizer)

        compile_ = d.pop("compile", UNSET)

        def _parse_from_checkpoint(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        from_checkpoint = _parse_from_checkpoint(d.pop("from_checkpoint", UNSET))

        restore_optimizer = d.pop("restore_optimizer", UNSET)

        def _parse_source_job(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_job = _parse_source_job(d.pop("source_job", UNSET))

        allow_changed_base = d.pop("allow_changed_base", UNSET)

        validation_split = d.pop("validation_split", UNSET)

        def _parse_early_stopping(data: object) -> EarlyStopping | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                early_stopping_type_0 = EarlyStopping.from_dict(data)

                return early_stopping_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EarlyStopping | None | Unset, data)

        early_stopping = _parse_early_stopping(d.pop("early_stopping", UNSET))

        def _parse_general_file(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        general_file = _parse_general_file(d.pop("general_file", UNSET))

        def _parse_max_regression(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        max_regression = _parse_max_regression(d.pop("max_regression", UNSET))

        training_options = cls(
            type_=type_,
            r=r,
            alpha=alpha,
            dropout=dropout,
            target_modules=target_modules,
            use_rslora=use_rslora,
            use_dora=use_dora,
            peft_config=peft_config,
            max_seq_length=max_seq_length,
            on_overlength=on_overlength,
            num_workers=num_workers,
            parallelism=parallelism,
            packing=packing,
            activation_checkpointing=activation_checkpointing,
            optimizer=optimizer,
            compile_=compile_,
            from_checkpoint=from_checkpoint,
            restore_optimizer=restore_optimizer,
            source_job=source_job,
            allow_changed_base=allow_changed_base,
            validation_split=validation_split,
            early_stopping=early_stopping,
            general_file=general_file,
            max_regression=max_regression,
        )

        return training_options
