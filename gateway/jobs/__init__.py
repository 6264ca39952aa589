"""Requests that run later: stored before they are accepted, run as any request, and kept until they have ended.

`engine.py` is what routes use. A job is a request in the form of a task or a dialect; the engine neither reads its body
nor its result.
"""
