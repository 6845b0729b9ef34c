"""What an error from outside the code means for a run: no room on the disk, no memory."""

from __future__ import annotations

import errno
from pathlib import Path

from lab.errors import LabError, OutOfMemoryError, WriteError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")  # TensorFlow's and PyTorch's, which are not imported for it
_MEMORY_SAID = ("RESOURCE_EXHAUSTED", "can't allocate memory")  # by XLA, and by PyTorch on a CPU


def explained(error: BaseException, run: Path, stage: str, batch_size: int) -> BaseException:
    """Returns a line for the user where the machine has failed, not the code; any other error as it is.

    Args:
        error: what a stage raised.
        run: the run's directory.
        stage: the stage.
        batch_size: that the run trains with.
    """
    if not isinstance(error, Exception) or isinstance(error, OutOfMemoryError):
        return error
    if stage == "report":
        kept = f"the trained model is kept: lab report {run} makes the report again"
    else:
        kept = f"what was saved before is kept: lab resume {run} goes on"
    if is_out_of_memory(error):
        reason = (str(error).strip().splitlines() or ["no more is said"])[0][:200]
        return OutOfMemoryError(
            f"{stage}: out of memory ({reason}); {kept}, or begin anew with a smaller model "
            f"or a batch_size below {batch_size}"
        )
    if isinstance(error, WriteError) and "goes on" in str(error):  # a run inside this one has said it
        return error
    if isinstance(error, WriteError) or (isinstance(error, OSError) and error.errno in _DISK):
        return WriteError(f"{error}; {kept}, once there is room and leave to write")
    if stage == "report" and not isinstance(error, LabError):
        error.add_note(f"lab: {kept}")
    return error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether Python or a backend found no memory; Keras wraps what a layer raises in an error of its own."""
    if error is None:
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in _MEMORY:
        return True
    ours = isinstance(error, LabError) or not isinstance(error, Exception)
    if not ours and any(said in str(error) for said in _MEMORY_SAID):
        return True
    wrapped = error.__cause__ or (error.__context__ if "Exception encountered when calling" in str(error) else None)
    return is_out_of_memory(wrapped)
