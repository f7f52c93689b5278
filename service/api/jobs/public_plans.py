"""Plans as the API shows them."""

from cluster.contracts.hyperparameters import TrainingConfig
from service.api.schemas.plans import JobPlan, JobWorkers, PlannedMemory, WorkersPlan


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


def public_workers(config: TrainingConfig, *, is_held: bool) -> JobWorkers:
    """Workers of an elastic job. `is_held` says whether it holds devices."""
    plans = sorted(config.plans, key=lambda plan: plan.num_workers)
    return JobWorkers(
        current=config.num_workers if is_held else None,
        min=plans[0].num_workers,
        max=plans[-1].num_workers,
        plans=[
            WorkersPlan(
                pool=plan.pool_name,
                num_workers=plan.num_workers,
                parallelism=plan.parallelism,
                activation_checkpointing=plan.activation_checkpointing,
                microbatch_tokens=plan.microbatch_tokens,
            )
            for plan in plans
        ],
    )
