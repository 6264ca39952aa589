"""How much memory each device has, how much of it is in use, and how much each worker holds.

`cuda`, `unified` (Apple) and `host` each read one kind of memory; `meters` combines them; `monitor` keeps the latest
sample; `budget` computes what may be handed out; `footprints` remembers what each model needed.
"""
