"""Workers that local models share between sessions, so nothing that computes blocks an event loop.

`Batcher` runs one model for many streams, a batch at a time, on one thread: for small models whose batch
costs little more than a single item (speech detection). `WorkerPool` runs each stream's blocking work in
order, and streams in parallel, on a few threads: for models with a state of their own (decoders). `shared`
keeps one of a thing for the process as long as somebody holds it. None of them knows a plugin, or numpy.
"""

from repartee.inference.batch import Batcher, BatcherStatistics, BatchStream
from repartee.inference.pool import Lane, PoolStatistics, WorkerPool
from repartee.inference.sharing import shared

__all__ = ["BatchStream", "Batcher", "BatcherStatistics", "Lane", "PoolStatistics", "WorkerPool", "shared"]
