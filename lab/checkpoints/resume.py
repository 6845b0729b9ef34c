"""The checkpoint from which a run resumes."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from lab.checkpoints.checkpoint import Checkpoint
from lab.checkpoints.fingerprint import differences
from lab.checkpoints.manager import CheckpointManager
from lab.errors import OriginError

log = logging.getLogger("lab")


def last_checkpoint(manager: CheckpointManager, fingerprint: Mapping[str, str], *, force: bool) -> Checkpoint | None:
    """Returns the checkpoint from which to resume; None where there is none and training restarts.

    Args:
        manager: the run's checkpoints; those after the returned one are deleted.
        fingerprint: of the training that resumes.
        force: whether another fingerprint is accepted.

    Raises:
        OriginError: the checkpoint is of another training, unless that is forced; every difference is named, and
            nothing is changed. Another machine is accepted: a warning reports that numbers are rounded otherwise.
    """
    checkpoint = manager.newest()
    different, rounding = ([], []) if checkpoint is None else differences(checkpoint.origin, fingerprint)
    if different and not force:
        raise OriginError(
            f"{manager.path}: the checkpoint belongs to another training:\n  "
            + "\n  ".join(different)
            + "\n  --force resumes nevertheless and ignores these differences"
        )
    if different:
        log.warning("resuming in spite of differences: %s", "; ".join(different))
    if rounding:
        log.warning("resuming, but the last bits may differ: %s", "; ".join(rounding))
    manager.clean()  # not before: a refused checkpoint changes nothing
    manager.forget_after(checkpoint)
    if checkpoint is None:
        log.info("there is no checkpoint: training restarts")
    else:
        log.info("resuming from step %d", checkpoint.step)
    return checkpoint
