"""What a failure of the machine means for a run: a full disk, too little memory."""

from __future__ import annotations

import errno
from pathlib import Path

from lab.errors import LabError, OutOfMemoryError, WriteError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's and PyTorch's, which are not imported for it
_MEMORY_MESSAGES = ("RESOURCE_EXHAUSTED", "can't allocate memory")  # XLA's, and PyTorch's on a CPU


class RunWriteError(WriteError):
    """A write error whose message names what the run keeps and how to continue."""


def explained(error: BaseException, run: Path, stage: str, batch_size: int) -> BaseException:
    """Returns a one-line error for a failure of the machine; any other error is returned unchanged.

    Args:
        error: what a stage raised.
        run: the run's directory.
        stage: the stage.
        batch_size: the batch size of the training.
    """
    if not isinstance(error, Exception) or isinstance(error, (OutOfMemoryError, RunWriteError)):
        return error  # the latter two are those of a run inside this one
    if stage == "report":
        kept = f"the trained model is kept: lab report {run} writes the report again"
    else:
        kept = f"the checkpoints are kept: lab resume {run} continues"
    if is_out_of_memory(error):
        reason = (str(error).strip().splitlines() or ["no details"])[0][:200]
        return OutOfMemoryError(
            f"{stage}: out of memory ({reason}); {kept}, or restart with a smaller model "
            f"or a batch_size below {batch_size}"
        )
    if isinstance(error, WriteError) or (isinstance(error, OSError) and error.errno in _DISK):
        return RunWriteError(f"{error}; {kept}, once the disk has room and can be written")
    if stage == "report" and not isinstance(error, LabError):
        error.add_note(f"lab: {kept}")
    return error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Returns whether Python or a backend ran out of memory; Keras wraps what a layer raises in another error."""
    if error is None:
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in _MEMORY:
        return True
    ours = isinstance(error, LabError) or not isinstance(error, Exception)
    if not ours and any(message in str(error) for message in _MEMORY_MESSAGES):
        return True
    wrapped = error.__cause__ or (error.__context__ if "Exception encountered when calling" in str(error) else None)
    return is_out_of_memory(wrapped)
