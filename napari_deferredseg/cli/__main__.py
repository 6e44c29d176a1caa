"""`python -m napari_deferredseg.cli`, where the script is not on the path."""

from napari_deferredseg.cli.app import main

main()
