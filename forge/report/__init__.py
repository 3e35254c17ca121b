"""The report room: what a person reads afterwards, one HTML file each."""
