"""Graph networks that infer PM2.5 where no station is: SPIN, IGNNK and STGCN behind the one interface.

`graph` has the kernels' geometry, `links` sends messages along it, `spin`, `ignnk` and `stgcn` are networks,
`inductive` puts any of them behind `predict`, and `weather` makes what they read of the fields.
"""
