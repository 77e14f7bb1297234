"""What a node keeps on its disk: the file, each subject's tables, and whether all of it is as it must be."""
