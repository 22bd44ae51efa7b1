"""The course's model behind HTTP: limits, micro-batching, back-pressure, metrics, rollout, drift.

`mmcourse serve` starts it. Importing this package loads no web framework; `app` and `server` do. What the lesson
teaches is in modules that need nothing but NumPy: `batcher`, `queueing`, `rollout`, `drift`, `slo`.
"""
