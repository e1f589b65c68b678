"""``python -m nunbit`` is ``nunbit``."""

from nunbit.cli.main import main

if __name__ == "__main__":
    main()
