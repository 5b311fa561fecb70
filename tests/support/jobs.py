"""What tests ask of a job."""

from collections import Counter

from scmkit import UploadJob


def states(job: UploadJob) -> dict[str, int]:
    """Count the rows in each state, as `job.rows` lists them."""
    return dict(Counter(job.rows["state"]))
