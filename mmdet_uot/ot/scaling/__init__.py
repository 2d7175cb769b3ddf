"""The scaling algorithm (paper, Alg. 1 and 2); each backend is one file.

- ``sinkhorn``: the algorithm, and which backend runs it
- ``sparse``: in C on the pairs that can carry mass, on the CPU
- ``compiled``: in C, on the CPU
- ``triton``, ``_triton_kernel``: one launch, on a GPU
- ``float64``: few operations, on a GPU
- ``absorbed``, ``scalings``, ``moves``: any torch device
"""
