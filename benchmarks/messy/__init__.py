"""What the generated messy folder is made of: file formats, a fictional company, its sentences and its mistakes."""
