"""What a lab asks of its backend, and what of it there is not here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit.engine.lab_loading import LoadedLab
from chaoskit.model.capability import CONTAINER_IMAGE, PACKAGES_DEBIAN, VOLUME_PROGRAM, Need, Survey
from chaoskit.model.errors import CapabilityMissing


@dataclass(frozen=True)
class Wanted:
    """What somebody needs of a backend. `who`: a fault, or a lab, in words."""

    who: str
    need: Need


def lab_needs(lab: LoadedLab, survey: Survey) -> tuple[Need, ...]:
    """What a lab itself asks of its backend."""
    spec = lab.file.spec
    needs = []
    if spec.image.apt and not _in_images(lab, survey):
        needs.append(Need(capability=PACKAGES_DEBIAN, why=f"to install {', '.join(spec.image.apt)}"))
    programmable = [
        f"{v} of {g}" for g, group in spec.nodes.items() for v, s in group.volumes.items() if s.kind == "programmable"
    ]
    if programmable:
        why = f"for the volumes of kind programmable: {', '.join(programmable)}"
        needs.append(Need(capability=VOLUME_PROGRAM, why=why))
    of_image = [s for s, service in spec.services.items() if service.command is None or service.user == ""]
    if of_image:
        why = f"to run what the image starts by itself, as {', '.join(of_image)}"
        needs.append(Need(capability=CONTAINER_IMAGE, why=why))
    return tuple(needs)


def _in_images(lab: LoadedLab, survey: Survey) -> bool:
    """Whether every node that runs services has them from an image of its own."""
    groups = [g for g in lab.file.spec.nodes.values() if g.services]
    return survey.programs == "image" and all(g.image or g.build for g in groups)


def check_lab(lab: LoadedLab, survey: Survey) -> None:
    """CapabilityMissing, naming all that a lab needs and this machine or backend lacks."""
    raise_missing(lab_lacks(lab, survey), survey)


def lab_lacks(lab: LoadedLab, survey: Survey) -> list[str]:
    """What a lab needs and is not here, programs and files included, each in a line."""
    name = lab.file.spec.name
    here = lab.rendered.files_missing if survey.programs == "image" else lab.rendered.missing
    missing = [f"{m.reason} (the lab {name} needs it)" for m in here]
    return missing + lacks([Wanted(f"the lab {name}", need) for need in lab_needs(lab, survey)], survey)


def lacks(wanted: Iterable[Wanted], survey: Survey) -> list[str]:
    """What of this is required and not here, each in a line with the reason."""
    missing = [
        f"{w.need.capability}: {w.who} needs it {w.need.why}; here: {survey.reason(w.need.capability)}"
        for w in wanted
        if w.need.required and not survey.has(w.need.capability)
    ]
    return list(dict.fromkeys(missing))


def raise_missing(missing: Sequence[str], survey: Survey) -> None:
    """CapabilityMissing with these lines, where there are any."""
    if missing:
        where = f"the {survey.backend} backend" + (f" ({survey.mode})" if survey.mode else "")
        lines = "\n".join(f"  - {line}" for line in missing)
        raise CapabilityMissing(f"{where} cannot do all of this here; nothing was started:\n{lines}\n  see: chaoskit doctor")
