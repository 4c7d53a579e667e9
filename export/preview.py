"""The picture beside an artifact: images, truth, float prediction, artifact prediction, disagreement."""

from __future__ import annotations

from pathlib import Path

from onenet.calibration.outputs import float_outputs
from onenet.calibration.samples import LabelledImages, Samples
from onenet.exporters.pipeline import artifact_outputs
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.runtimes.parity import labels_of
from onenet.tasks.preview import draw_preview


def preview(
    artifact: ExportedArtifact, model: Model, evaluation: LabelledImages | Samples | None
) -> tuple[Path | None, str | None]:
    """Draw ``ARTIFACT.png``; returns its path, or None and the reason."""
    role = model.spec.outputs[0].role
    if evaluation is None or role not in ("logits", "probabilities", "labels"):
        return None, "the model does not turn one RGB image into a mask"
    labelled = evaluation if isinstance(evaluation, LabelledImages) else None
    images = (labelled.samples if labelled else evaluation).arrays  # type: ignore[union-attr]  # Samples then
    found = artifact_outputs(artifact.path, images)
    if found is None:
        return None, "this machine cannot run it"
    path = artifact.path.with_name(artifact.path.name + ".png")
    quality = artifact.quality
    agreement = f"labels agree with the float model on {quality.label_agreement:.2%} of pixels" if quality else ""
    draw_preview(
        path,
        images,
        labelled.labels if labelled else None,
        labels_of(float_outputs(model, images), role),
        labels_of(found, role),
        model.spec.classes,
        title=f"{model.spec.name}, {artifact.manifest['target']} {artifact.manifest['precision']}",
        subtitle=agreement,
    )
    return path, None
