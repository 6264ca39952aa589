"""What is installed, and in which versions: the choice of engines, the lock, and pip with a progress display.

`choice`, `installer`, `progress` and `torch_build` run before anything is installed: they use the standard library.
"""
