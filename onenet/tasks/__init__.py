"""What a network is for, one file per task: roles of its outputs, labels, metrics, pictures, and what ``onenet run`` does.

``TASKS`` finds the files of this folder that hold a ``TASK``. A network whose outputs no task knows has the task ``other``:
its values are checked, it has no labels. Python 3.9 and numpy; Pillow and
matplotlib only where images are read and pictures drawn, because tasks travel to devices with the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onenet.base.arrays import Array
from onenet.base.folder import Folder
from onenet.errors import RequestError
from onenet.spec import ClassSpec, Role, TensorSpec
from onenet.tasks.image import Fit, ImageModel, Plan, Prediction, make_plan

if TYPE_CHECKING:
    from onenet.base.images import Pixels


@dataclass(frozen=True)
class Metric:
    """One figure of an artifact's quality, by the name that manifests, documents and budgets use."""

    name: str
    title: str
    """Heading of its column."""
    digits: int = 4
    """After the decimal point, where it is shown."""
    higher_is_better: bool = True
    needs_truth: bool = True
    """Whether it scores against true labels, the float model's outputs as well as the artifact's. Otherwise it compares
    the artifact with the float model, and needs images only."""
    headline: bool = False
    """The task's main figure against the truth: a budget's ``--max-drop`` is measured with it, and reports show it first."""


SQNR = Metric("sqnr_db", "SQNR, dB", digits=1, needs_truth=False)
LABEL_AGREEMENT = Metric("label_agreement", "same labels", needs_truth=False)
COMMON = (SQNR, LABEL_AGREEMENT)
"""What every task may have."""


def as_read(labels: Array, images: Sequence[Path]) -> Array:
    """Labels that are complete as they were read."""
    del images
    return labels


@dataclass(frozen=True)
class Labels:
    """The true labels of a labelled folder."""

    images: Path
    """The folder that holds the images, sub-folders included."""
    read: Callable[[Path, tuple[int, int], tuple[int, int]], Array]
    """The label of one image file, given its own (height, width) and the (height, width) of the model's images: a mask
    (height, width) uint8, or one class index ().

    Raises RequestError where the label is missing or damaged; names its file.
    """
    finish: Callable[[Array, Sequence[Path]], Array] = as_read
    """What was read of all images, stacked, and the images' files -> labels; -1: not scored.

    Raises RequestError where a label is no class; names its file.
    """


@dataclass(frozen=True)
class PictureRows:
    """What the picture beside an artifact shows: N images, what is true of them, and two outputs for them."""

    images: Array
    """(N, C, H, W) in [0, 1]; C is 1 or 3."""
    truth: Array | None
    """Labels as ``Labels.read`` gives them, stacked; None where they are not known."""
    reference: Array
    """The float model's output, batch first."""
    artifact: Array
    """The artifact's output."""
    role: Role
    """Of both outputs."""
    classes: Sequence[ClassSpec]
    title: str
    subtitle: str


class Task:
    """The contract. A task says what it can by overriding; what it leaves out is refused with a RequestError.

    Labels are class indices. An output of role ``logits`` or ``probabilities`` has its classes in axis 1; an output of role
    ``labels`` holds the labels themselves.
    """

    name: str
    """In manifests and specs."""
    title: str
    """In texts for people: ``segmentation``."""
    order: int = 100
    """Place in tables, and in which order tasks are asked whether outputs are theirs."""
    output_roles: tuple[Role, ...] = ()
    """What ``--output`` may choose; the first is what the network itself gives. Empty: there is no choice."""
    metrics: tuple[Metric, ...] = ()
    """What ``score`` and ``compare`` may return, in the order of columns."""
    agree_text: str = "labels agree on"
    """How the result of ``agreement`` is phrased in a check: this, and then the share."""
    agree_unit: str = "values"
    """What that share is of."""
    checks_labels: bool = False
    """Whether labels that differ fail an export in every precision, on the golden pair and on the evaluation images."""
    labelled_form: str = ""
    """How a labelled folder is laid out: ``images/ and labels/``."""
    suffix: str = ""
    """What ``onenet run`` writes for an image: its stem with this at the end (``.mask.png``)."""
    file_key: str = ""
    """What that file is called in JSON and tables (``mask``)."""
    run_help: str = ""
    """What ``onenet run`` does, in one sentence for its help."""

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        """Roles, names and layouts of a foreign network's outputs.

        Args:
            outputs: shape and dtype of each, for one batch of images.

        Returns:
            The outputs' specs, or None where a network with these outputs does something else.
        """
        del outputs
        return None

    def with_role(self, logits: TensorSpec, role: Role) -> TensorSpec:
        """The output when ``--output`` chooses another role than the network's own.

        Raises:
            RequestError: the task has no such role.
        """
        raise RequestError(f"output {role!r} of {logits.name} was asked for; {self.title} has no choice of outputs")

    def class_count(self, output: TensorSpec) -> int:
        """How many classes an output in the network's own role names; 0 where it has none."""
        return output.shape[1] if self.output_roles and output.role != "labels" else 0

    def is_binary(self, output: TensorSpec) -> bool:
        """Whether an output has one channel that tells two classes apart."""
        del output
        return False

    def with_threshold(self, threshold: float | None) -> Task:
        """The task for a network of which a pixel is class 1 above that probability; None: as it is."""
        del threshold
        return self

    def labels(self, output: Array, role: Role) -> Array:
        """Class indices of an output: as they are, or the largest class.

        Raises:
            RequestError: the task has no labels.
        """
        raise RequestError(f"labels of {role} {output.shape} were asked for; {self.title} has none")

    def agreement(self, reference: Array, artifact: Array, role: Role, margin: float = 0.0) -> float | None:
        """Share of labels that are equal in two outputs, classes in axis 1; None where there are no labels to compare.

        Args:
            reference, artifact: outputs of one shape; (pixels, K) from a golden pair, batches from images.
            role: of both.
            margin: how far two of the reference's values may lie apart and still be a tie, which either label solves. A task
                of many labels, where a tie weighs little, need not look at it.
        """
        del reference, artifact, role, margin
        return None

    def agreement_sentence(self, share: float) -> str:
        """``labels agree with the float model on 99.88% of pixels``: the subtitle of a picture."""
        return self.agree_text.replace(" agree", " agree with the float model") + f" {share:.2%} of {self.agree_unit}"

    def compare(self, reference: Array, artifact: Array, role: Role) -> dict[str, float]:
        """Figures of its own against the float model, beside SQNR and label agreement, by metric."""
        del reference, artifact, role
        return {}

    def score(self, output: Array, role: Role, truth: Array, classes: int) -> dict[str, float]:
        """An output's figures against the truth, by metric; labels of -1 are not scored. Empty where there is none."""
        del output, role, truth, classes
        return {}

    def is_labelled(self, folder: Path) -> bool:
        """Whether a folder holds labels beside its images, in this task's form."""
        del folder
        return False

    def open_labels(self, folder: Path, classes: Sequence[ClassSpec] = (), ignore_index: int | None = None) -> Labels:
        """The labels of a labelled folder.

        Args:
            folder: one for which ``is_labelled`` says yes.
            classes: the model's, for a form that names classes. Without them classes are numbered in name order.
            ignore_index: the value in masks of pixels that are not scored.

        Raises:
            RequestError: the task has no labels, or the folder names other classes than the model.
        """
        del classes, ignore_index
        raise RequestError(f"labels for {folder} were asked for; {self.title} has none: give images alone")

    def draw(self, path: Path, rows: PictureRows) -> None:
        """Write the picture beside an artifact, a PNG; the same arguments give the same bytes.

        Raises:
            RequestError: the task has no picture, or shapes do not belong together.
            ToolError: matplotlib is missing, or the file cannot be written.
        """
        del rows
        raise RequestError(f"a picture {path.name} was asked for; {self.title} has none")

    def check_runs(self, model: ImageModel) -> None:
        """Refuse a model that ``predict`` cannot use.

        Raises:
            RequestError: it takes or gives something else.
        """
        raise RequestError(
            f"{model.name} is for {self.title}, which `onenet run` does not do; "
            f"supported: {', '.join(task.title for task in TASKS.cards().values() if task.suffix)}"
        )

    def plan(self, model: ImageModel, size: tuple[int, int], fit: Fit = "auto") -> Plan:
        """How an image goes through a model.

        Args:
            model: one that ``check_runs`` accepts.
            size: (height, width) of the image.
            fit: how an image of another size than the model's is run.

        Raises:
            RequestError: ``fit`` cannot be done for this image; says why and what to do.
        """
        return make_plan(model, size, fit)

    def predict(
        self, model: ImageModel, pixels: Pixels, plan: Plan, progress: Callable[[int], None] | None = None
    ) -> Prediction:
        """Run one image (H, W, 3) of any size.

        Args:
            model: one that ``check_runs`` accepts.
            plan: this task's, for this model and the image's size.
            progress: called with the number of tiles done, after each batch of them.

        Raises:
            ToolError: the runtime failed.
        """
        raise NotImplementedError


TASKS = Folder[Task]("onenet.tasks", "TASK")


def task_of(name: object, threshold: float | None = None) -> Task:
    """The task of that name, for a network of that threshold; ``other`` for a name of none, which a stranger's manifest may
    hold."""
    cards = TASKS.cards()
    return cards.get(str(name), cards["other"]).with_threshold(threshold)


def recognize(outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[Task, tuple[TensorSpec, ...]]:
    """Task and outputs of a foreign network by the shape and dtype of what it returns: the first task that knows them."""
    for task in TASKS.cards().values():
        specs = task.signature_of(outputs)
        if specs is not None:
            return task, specs
    raise AssertionError("the task `other` takes every output")


def output_roles() -> tuple[Role, ...]:
    """Everything that ``--output`` can be, over all tasks."""
    return tuple(dict.fromkeys(role for task in TASKS.cards().values() for role in task.output_roles))


def metrics() -> dict[str, Metric]:
    """Name -> metric, over all tasks; what matters most comes first: headlines, SQNR, the rest, label agreement."""
    own = [metric for task in TASKS.cards().values() for metric in task.metrics]
    headlines = [metric for metric in own if metric.headline]
    rest = [metric for metric in own if not metric.headline]
    return {metric.name: metric for metric in (*headlines, SQNR, *rest, LABEL_AGREEMENT)}


def headlines() -> tuple[str, ...]:
    """Names of the tasks' main figures, in the order of the tasks."""
    return tuple(name for name, metric in metrics().items() if metric.headline)
