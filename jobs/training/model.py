"""The model as its training begins."""

import torch

from jobs.spec.jobs import Train
from models import create_model, load_pretrained
from models.video_model import VideoModel


def prepare_model(job: Train) -> VideoModel:
    """The model as its training begins, on the CPU: from scratch by the recipe's seed, or from the job's start."""
    recipe = job.recipe
    torch.manual_seed(recipe.seed)
    model = create_model(job.model, job.reduction, job.dataset.num_classes)
    if job.start:
        load_pretrained(model, job.start.path, job.new, job.unused)
    with torch.no_grad():
        for parameter in model.head.parameters() if not job.start or "head" in job.new else ():
            parameter.mul_(recipe.head_scale)
    model.drop_path = recipe.drop_path
    model.activation_checkpointing = job.activation_checkpointing
    return model.train()
