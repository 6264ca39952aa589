"""What image engines share, whatever library draws for them.

`answering` turns calls into responses image by image, `encoding` writes the files, `limits` refuses or warns about what
a model cannot honour. None of them imports a model library.
"""
