"""The data room: from raw documents to packed, memory-mapped tokens."""
