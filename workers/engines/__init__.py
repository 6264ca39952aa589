"""One file (or package) a model family; the file's name is what an entry writes as its `engine`."""
