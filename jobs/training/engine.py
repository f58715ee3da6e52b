"""DeepSpeed's engine for a recipe: optimiser, precision, accumulation, ZeRO; and how its state is kept on disk."""

import logging
import os
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler

from jobs.node.gang import Gang
from jobs.spec.jobs import Train
from jobs.spec.recipe import accumulation
from models.video_model import VideoModel

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def make_engine(job: Train, model: VideoModel, gang: Gang) -> Any:
    """DeepSpeed's engine around `model`; ValueError where the device cannot compute in the recipe's precision.

    AdamW is PyTorch's own: DeepSpeed's fused one must be compiled on the node, with a compiler that clusters may lack.
    In fp16 DeepSpeed (0.19) doubles the loss scale before it divides by it, so each doubling halves one step's
    gradient, and without ZeRO it makes a step with zero gradients beforehand.
    """
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if gang.device.type == "cpu":
        # What it would compile on the spot, for minutes, speeds up collectives that are not used here.
        deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
    recipe = job.recipe
    _check_precision(recipe.precision, gang.device)
    model.to(gang.device)
    groups = param_groups_layer_decay(
        model, recipe.weight_decay, layer_decay=recipe.layer_decay, no_weight_decay_list=model.no_weight_decay()
    )
    config = {
        "train_micro_batch_size_per_gpu": job.micro_batch * recipe.repeats,
        "gradient_accumulation_steps": accumulation(recipe.batch, job.processes, job.micro_batch),
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": recipe.lr,
                "betas": [recipe.beta1, recipe.beta2],
                "eps": recipe.eps,
                "weight_decay": recipe.weight_decay,
                "torch_adam": True,
                "adam_w_mode": True,
            },
        },
        "gradient_clipping": recipe.clip_norm,
        "zero_optimization": {"stage": job.zero_stage},
        "fp16": {
            "enabled": recipe.precision == "fp16",
            "initial_scale_power": recipe.loss_scale_power,
            "loss_scale_window": recipe.loss_scale_window,
        },
        "bf16": {"enabled": recipe.precision == "bf16"},
        "steps_per_print": 2**31,
    }
    engine, *_ = deepspeed.initialize(model=model, model_parameters=groups, config=config, dist_init_required=False)
    engine.checkpoint_engine = StateFiles()
    # It would put an executable script, and on a full disk an exception in one process only, beside the state.
    engine._copy_recovery_script = lambda folder: None
    if job.compile:
        engine.compile()
    return engine


def make_schedule(job: Train, engine: Any, updates: int, updates_an_epoch: int) -> CosineLRScheduler:
    """Linear warm-up and a cosine over `updates` optimiser steps in all (STA supplement, section A).

    It is a function of the step alone: call `step_update(number of steps behind us)` before each.
    """
    recipe = job.recipe
    warmup = min(round(recipe.warmup_epochs * updates_an_epoch), updates - 1)
    return CosineLRScheduler(
        engine.optimizer,
        t_initial=updates - warmup,
        lr_min=recipe.min_lr,
        warmup_t=warmup,
        warmup_lr_init=recipe.warmup_lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )


class StateFiles:
    """What DeepSpeed writes and reads its state with (its interface `CheckpointEngine`).

    A write that fails is remembered, not raised: an exception in one process would leave the others waiting in the
    next barrier. What a file holds is never executed.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def create(self, info: Any) -> None:
        """Nothing to prepare."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        try:
            os.makedirs(path, mode=0o700, exist_ok=exist_ok)
        except OSError as error:
            self.failures.append(str(error))

    def save(self, state_dict: Any, path: str) -> None:
        try:
            with open(path, "wb") as file:
                torch.save(state_dict, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch wraps what the file raises in a RuntimeError
            self.failures.append(_first_cause(error))

    def load(self, path: str, map_location: Any = None) -> Any:
        with torch.serialization.safe_globals(_deepspeed_classes()):
            return torch.load(path, map_location=map_location, weights_only=True)

    def commit(self, info: Any) -> bool:
        return True

    def is_data_parallel_writer(self, dp_rank: int) -> bool:
        return dp_rank == 0

    def is_decoupled(self) -> bool:
        return False

    def set_commit_info(self, info: Any) -> None:
        """Nothing is committed later."""

    def get_commit_info(self) -> None:
        return None

    def cleanup(self) -> None:
        """Nothing is kept open."""

    def preserves_storage_sharing(self) -> bool:
        return True


def whole_weights(engine: Any) -> dict[str, torch.Tensor]:
    """The model's weights on the CPU, whatever ZeRO has split; all processes must ask.

    In 16-bit precision they are the 16-bit weights that the forward pass uses, as VideoMAE keeps them, in float32.
    """
    import deepspeed

    parameters = list(engine.module.parameters())
    with deepspeed.zero.GatheredParameters(parameters, enabled=engine.zero_optimization_partition_weights()):
        return {
            name: tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
            for name, tensor in engine.module.state_dict().items()
        }


def _check_precision(precision: str, device: torch.device) -> None:
    from deepspeed.accelerator import get_accelerator

    if precision == "fp16" and not get_accelerator().is_fp16_supported():
        raise ValueError("train.precision is fp16, which DeepSpeed does not have on this device; fp32 is there")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name(device)
        raise ValueError(f"train.precision is bf16, which {name} does not have; fp16 and fp32 are there")


def _deepspeed_classes() -> list[Any]:
    """The plain classes of DeepSpeed that its state holds instances of."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]


def _first_cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]
