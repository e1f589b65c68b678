"""The options of training. Those left open are filled in by ``training/defaults.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nunbit.errors import OptionError
from nunbit.options import Option, Options

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions(Options):
    """How a network is trained. None means: chosen by a stated rule, then written down."""

    epochs: Annotated[
        int | None,
        Option(
            "Times through the training pictures; default: 250,000 pictures in all, 5 to 40 times.",
            low=1,
            group="Training",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(
            "Pictures per step; default: a fortieth of the pictures, 16 to 256.",
            unit="pictures",
            low=1,
            group="Training",
        ),
    ] = None
    lr: Annotated[
        float | None,
        Option(
            "Peak learning rate; default: by optimizer, schedule, network and batch size.",
            low=0.0,
            open_low=True,
            group="Training",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd", "muon"],
        Option(
            "How weights are changed; sgd has Nesterov momentum, muon evens out the directions "
            "of a filter bank's step.",
            group="Training",
        ),
    ] = "adamw"
    schedule: Annotated[
        Literal["one-cycle", "cosine", "linear", "restarts", "step", "constant"],
        Option(
            "How the learning rate goes over the run; restarts: cosines that begin anew.",
            group="Training",
        ),
    ] = "one-cycle"
    seed: Annotated[int, Option("Start of all randomness.", low=0, group="Training")] = 0
    augment: Annotated[
        str,
        Option(
            "How training pictures are moved about: auto, none, light, digits, photo, crops, "
            "objects, garments, course, any-way-up, trivial, or a TOML file.",
            group="Training",
        ),
    ] = "auto"
    patience: Annotated[
        int | None,
        Option(
            "Stop after this many epochs without a better score, and keep the best weights.",
            unit="epochs",
            low=0,
            group="Training",
        ),
    ] = None
    monitor: Annotated[
        str,
        Option("Score that patience, plateau-patience and save-best-only watch.", group="Training"),
    ] = "val_loss"
    device: Annotated[str, Option("auto, cpu, cuda, cuda:1 or mps.", group="Training")] = "auto"
    split_model: Annotated[
        int,
        Option(
            "Parts of the network on as many devices: 2 puts the two towers of `alexnet` on two.",
            unit="devices",
            low=1,
            high=8,
            group="Training",
        ),
    ] = 1
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Option(
            "Numbers in training; auto: bfloat16 where the processor computes in it.",
            group="Training",
        ),
    ] = "auto"
    weight_decay: Annotated[
        float | None,
        Option(
            "Pull of weights towards 0 (not of biases and norms); default: 0.05 for adamw, "
            "5e-4 for sgd, 0 for others.",
            low=0.0,
            group="Fine points",
        ),
    ] = None
    momentum: Annotated[
        float, Option("Momentum of sgd and muon.", low=0.0, high=0.9999, group="Fine points")
    ] = 0.9
    bias_lr: Annotated[
        float | None,
        Option(
            "Peak learning rate of biases and norms; default: lr, with muon 0.3 of it.",
            low=0.0,
            open_low=True,
            group="Fine points",
        ),
    ] = None
    head_lr: Annotated[
        float | None,
        Option(
            "Peak learning rate of the last layer; default: lr, with muon 0.3 of it.",
            low=0.0,
            open_low=True,
            group="Fine points",
        ),
    ] = None
    rest_optimizer: Annotated[
        Literal["adamw", "sgd"],
        Option(
            "With muon: what changes biases, norms, the first and the last layer.",
            group="Fine points",
        ),
    ] = "adamw"
    muon_steps: Annotated[
        int,
        Option(
            "Newton-Schulz steps of muon; 3 do for small networks.",
            low=1,
            high=20,
            group="Fine points",
        ),
    ] = 5
    fixed_length: Annotated[
        bool,
        Option(
            "With muon: bring each filter bank back to one length before every step, in place of "
            "weight decay; for networks that have a norm after each convolution.",
            group="Fine points",
        ),
    ] = False
    warmup_epochs: Annotated[
        float | None,
        Option(
            "Epochs in which the learning rate rises; default: a quarter of the run for "
            "one-cycle and linear, else 0.",
            unit="epochs",
            low=0.0,
            group="Fine points",
        ),
    ] = None
    step_epochs: Annotated[
        int | None,
        Option(
            "Epochs between cuts of schedule step; default: a third of the run.",
            unit="epochs",
            low=1,
            group="Fine points",
        ),
    ] = None
    step_factor: Annotated[
        float,
        Option(
            "What schedule step multiplies the learning rate by.",
            low=0.0,
            high=1.0,
            open_low=True,
            group="Fine points",
        ),
    ] = 0.1
    restart_epochs: Annotated[
        int | None,
        Option(
            "Epochs of the first cosine of schedule restarts; default: a seventh of the run, so "
            "that three are whole.",
            unit="epochs",
            low=1,
            group="Fine points",
        ),
    ] = None
    restart_factor: Annotated[
        int,
        Option(
            "How much longer each cosine of schedule restarts is than the one before.",
            low=1,
            high=10,
            group="Fine points",
        ),
    ] = 2
    label_smoothing: Annotated[
        float,
        Option(
            "Share of certainty spread over all classes; counts in loss, not in val_loss.",
            low=0.0,
            high=0.9,
            group="Fine points",
        ),
    ] = 0.0
    clip_norm: Annotated[
        float | None,
        Option(
            "Largest length of the gradient; default: not clipped.",
            low=0.0,
            open_low=True,
            group="Fine points",
        ),
    ] = None
    accumulate: Annotated[
        int,
        Option(
            "Parts a batch is computed in, to save memory; the step stays the same, but batch "
            "norm sees the parts.",
            unit="parts",
            low=1,
            group="Fine points",
        ),
    ] = 1
    ema: Annotated[
        float | None,
        Option(
            "Share of an average of the weights that stays at each step, such as 0.999; the "
            "average is validated and kept. Default: no average.",
            low=0.0,
            high=0.999999,
            open_low=True,
            group="Fine points",
        ),
    ] = None
    balance: Annotated[
        Literal["none", "weights", "sampling"],
        Option(
            "Let rare classes count as much as common ones: by weights in the loss, or by "
            "drawing their pictures more often.",
            group="Fine points",
        ),
    ] = "none"
    first_size: Annotated[
        int | None,
        Option(
            "Side of the pictures at first; it grows to the full size (progressive resizing). "
            "Default: full size always.",
            unit="pixels",
            low=4,
            high=4096,
            group="Fine points",
        ),
    ] = None
    growing_frac: Annotated[
        float,
        Option(
            "Share of the run in which pictures grow from first-size to the full size.",
            low=0.0,
            high=1.0,
            group="Fine points",
        ),
    ] = 0.75
    teacher: Annotated[
        str | None,
        Option(
            "A trained run or model file of the same classes, whose answers are learnt "
            "(knowledge distillation).",
            group="Fine points",
        ),
    ] = None
    teacher_weight: Annotated[
        float,
        Option("Share of the teacher's part in the loss.", low=0.0, high=1.0, group="Fine points"),
    ] = 0.5
    temperature: Annotated[
        float,
        Option(
            "What logits are divided by to compare with the teacher's.",
            low=0.0,
            high=100.0,
            open_low=True,
            group="Fine points",
        ),
    ] = 4.0
    tta: Annotated[
        Literal["none", "flip"],
        Option(
            "Test-time augmentation: the network's answer is the mean over a picture and its "
            "mirror image, in validation, evaluation and prediction. Twice the work there.",
            group="Fine points",
        ),
    ] = "none"
    plateau_patience: Annotated[
        int | None,
        Option(
            "Divide the learning rate by 10 after this many epochs without a better score; "
            "with schedule constant.",
            unit="epochs",
            low=0,
            group="Fine points",
        ),
    ] = None
    save_best_only: Annotated[
        bool,
        Option(
            "Also keep the best epoch's network, as checkpoints/best.safetensors.",
            group="Fine points",
        ),
    ] = False
    compile: Annotated[
        Literal["auto", "on", "off"],
        Option(
            "Let torch.compile make the network's program; auto: where it was measured to pay.",
            group="Machine",
        ),
    ] = "auto"
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Option(
            "With many ranks: ddp keeps the network whole on each, fsdp in parts, where it is "
            "too large for one.",
            group="Machine",
        ),
    ] = "ddp"
    sync_batch_norm: Annotated[
        bool,
        Option(
            "Let batch norm see the batch of all ranks, not only the rank's own part.",
            group="Machine",
        ),
    ] = False
    rank_timeout: Annotated[
        int,
        Option(
            "Seconds after which a silent rank counts as lost.",
            unit="seconds",
            low=1,
            group="Machine",
        ),
    ] = 600
    checkpoint_minutes: Annotated[
        float,
        Option(
            "Also write a checkpoint within an epoch after so long; 0: only after epochs.",
            unit="minutes",
            low=0.0,
            group="Machine",
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        int,
        Option(
            "Checkpoints that are kept, the last and those before it.",
            low=1,
            high=100,
            group="Machine",
        ),
    ] = 2
    log: Annotated[
        tuple[str, ...],
        Option(
            "Also log to tensorboard, mlflow or wandb; may be given several times.",
            group="Machine",
        ),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plateau_patience is not None and self.schedule != "constant":
            raise OptionError(
                f"`plateau_patience` cuts the learning rate itself and cannot go with schedule "
                f"`{self.schedule}`. Pass `--schedule constant`."
            )
