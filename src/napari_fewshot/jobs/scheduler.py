"""The cluster: one of this machine, or one that runs elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import InputError, SchedulerError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LOCAL", "RETRIES", "check_cluster", "dashboard_of", "open_client", "resources_for"]

_LOGGER = logging.getLogger(__name__)

LOCAL = "local"
"""Name of the cluster of this machine."""
RETRIES = 2
"""How often a task whose worker died is given to another one."""

_LOOPBACK = "127.0.0.1"
_MEMORY = 4 * 2**30
"""Memory that a worker should have at least, in bytes."""
_CONFIG = {
    # Workers keep nothing but what they are at: there is nothing to spill or to wait for.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.98,
}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_cluster(scheduler: str, workers: int | None = None, device: str = "auto") -> None:
    """Check all of :func:`open_client` that needs no connection.

    Raises
    ------
    InputError
        If they do not fit each other, or the package ``distributed`` is not installed.
    """
    if find_spec("distributed") is None:
        remedy = "Install it: pip install 'napari-fewshot[distributed]'"
        raise InputError("scheduler", "have the package distributed", "none", remedy)
    if device.startswith("cuda:"):
        remedy = "Give cuda: each worker has a GPU of its own."
        raise InputError("device", "have no number beside a scheduler", device, remedy)
    if workers is not None and workers < 1:
        raise InputError("workers", "be at least 1", workers)
    if workers is not None and scheduler != LOCAL:
        raise InputError("workers", f"stand beside the scheduler {LOCAL}", scheduler)


@contextmanager
def open_client(
    scheduler: str, workers: int | None = None, device: str = "auto"
) -> Iterator[Client]:
    """Connect to a cluster of ``dask.distributed``, or start one for as long as it is used.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler (``tcp://host:8786``), or ``"local"``: processes on this machine
        that listen on 127.0.0.1 only.
    workers : int, optional
        Processes of the local cluster; None: one for each GPU, without one as many as there are
        cores, and memory for them.
    device : str
        Where models will run.

    Raises
    ------
    InputError
        If no scheduler answers, or the package ``distributed`` is not installed.
    """
    check_cluster(scheduler, workers, device)
    from distributed import Client

    if scheduler == LOCAL:
        with (
            _local_cluster(workers, device) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout="15s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            "scheduler", f"be {LOCAL}, or the address of one that answers", f"{scheduler} ({words})"
        ) from None
    with client:
        yield client


def dashboard_of(client: Client) -> str | None:
    """Address of the dashboard of a cluster; None where it has none."""
    services = client.scheduler_info()["services"]
    return str(client.dashboard_link) if "dashboard" in services else None


def resources_for(client: Client, device: str) -> dict[str, float]:
    """Resources of ``dask`` that a task on a device takes: a GPU where workers offer them.

    Raises
    ------
    SchedulerError
        If there are workers, and a GPU is asked for that none of them offers.
    """
    workers = client.scheduler_info()["workers"].values()
    if not workers:
        _LOGGER.warning("The cluster has no workers yet: waiting for them.")
    offered = any(one.get("resources", {}).get("GPU", 0) >= 1 for one in workers)
    if device == "cuda":
        if workers and not offered:
            raise SchedulerError(
                "workers must offer a GPU for the device cuda; got none that does. Start "
                'them with --resources "GPU=1".'
            )
        return {"GPU": 1}
    return {"GPU": 1} if device == "auto" and offered else {}


def _local_cluster(workers: int | None, device: str) -> Any:
    """Processes of this machine, each with its share of cores, memory and GPUs."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    gpus = _gpus(device)
    count = workers or len(gpus) or max(1, min(CPU_COUNT, MEMORY_LIMIT // _MEMORY))
    threads = str(max(1, CPU_COUNT // count))
    common: dict[str, Any] = {
        "host": _LOOPBACK,
        "nthreads": 1,
        "memory_limit": MEMORY_LIMIT // count,
        "dashboard": False,
        "silence_logs": logging.ERROR,
    }
    specs: dict[int, dict[str, Any]] = {}
    for number in range(count):
        env = dict.fromkeys(_THREADS, threads)
        own: dict[str, Any] = {"env": env}
        if gpus:
            env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            own["resources"] = {"GPU": 1}
        specs[number] = {"cls": Nanny, "options": {**common, **own}}
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": _LOOPBACK,
            "allowed_failures": RETRIES,
            "dashboard": find_spec("bokeh") is not None,
            "dashboard_address": f"{_LOOPBACK}:0",
        },
    }
    with dask.config.set(_CONFIG):
        return SpecCluster(
            workers=specs, scheduler=scheduler, name="napari-fewshot", silence_logs=logging.ERROR
        )


def _gpus(device: str) -> list[str]:
    """Numbers of the GPUs of this machine that workers may use, each one of them."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    names = [str(number) for number in range(torch.cuda.device_count())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[: len(names)] if visible else names
