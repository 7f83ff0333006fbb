"""``python -m histfs``."""

from histfs.cli import main

if __name__ == "__main__":
    main()
