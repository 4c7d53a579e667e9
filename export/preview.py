"""The picture beside an artifact: images, the truth, what the float model says and what the artifact says."""

from __future__ import annotations

from pathlib import Path

from onenet.calibration.outputs import float_outputs
from onenet.calibration.samples import LabelledImages, Samples
from onenet.exporters.judgement import artifact_outputs
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.tasks import PictureRows, task_of


def preview(
    artifact: ExportedArtifact, model: Model, evaluation: LabelledImages | Samples | None
) -> tuple[Path | None, str | None]:
    """Draw ``ARTIFACT.png``; returns its path, or None and the reason."""
    output, task = model.spec.outputs[0], task_of(model.spec.task, model.spec.threshold)
    if evaluation is None or output.role not in task.output_roles:
        return None, "the model does not turn one RGB image into something that can be drawn"
    labelled, feeds = evaluation if isinstance(evaluation, LabelledImages) else None, evaluation.feeds(model)
    image = next((each for each in model.spec.inputs if each.role == "image" and each.layout == "NCHW"), None)
    if image is None or image.shape[1] not in (1, 3):
        return None, "the model takes no image with 1 or 3 channels"
    found = artifact_outputs(artifact.path, feeds)
    if found is None:
        return None, "this machine cannot run it"
    path = artifact.path.with_name(artifact.path.name + ".png")
    agreement = artifact.quality.label_agreement if artifact.quality else None
    rows = PictureRows(
        feeds[image.name],
        labelled.labels if labelled else None,
        float_outputs(model, feeds),
        found,
        output.role,
        model.spec.classes,
        title=f"{model.spec.name}, {artifact.manifest['target']} {artifact.manifest['precision']}",
        subtitle="" if agreement is None else task.agreement_sentence(agreement),
    )
    task.draw(path, rows)
    return path, None
