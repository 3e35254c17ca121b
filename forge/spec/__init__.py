"""The spec room: compose what the user wants, remember who set each value, refuse what is wrong in one line each."""
