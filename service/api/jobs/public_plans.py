"""Plans as the API shows them."""

from cluster.contracts.hyperparameters import TrainingConfig
from service.api.schemas.plans import JobPlan, PlannedMemory


def public_plan(config: TrainingConfig) -> JobPlan:
    found = config.footprint
    memory = None if found is None else PlannedMemory(**found.device.model_dump(), total=found.device.total)
    return JobPlan(
        num_workers=config.num_workers,
        parallelism=config.parallelism,
        activation_checkpointing=config.activation_checkpointing,
        microbatch_tokens=config.microbatch_tokens,
        max_seq_length=config.max_length,
        pool=found and found.pool.name,
        device=found and found.pool.kind,
        served_as=found and found.form,
        device_memory=memory,
        host_memory_bytes=found and found.host_bytes,
        resume_state_bytes=found and found.resume_state_bytes,
        served_bytes=found and found.served_bytes,
    )
