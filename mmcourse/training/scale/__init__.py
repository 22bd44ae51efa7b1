"""Training that outgrows one process: bytes, shares of a batch, streams of shards, launching, and what it costs.

- `memory`: the bytes of a training run, predicted from shapes and measured from the allocator; recomputation;
- `batches`: gradients of unequal parts of a batch, put together so that they are the gradient of the whole;
- `stream`: shards on disk, read in a shuffled order with flat memory, split by process and worker, resumed exactly;
- `launch`: `torchrun` that always ends, and the launch files of a cluster, checked without one;
- `cost`: operations counted, energy measured or estimated with an honest factor.
"""
