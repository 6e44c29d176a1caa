"""The napari side: shows facts and passes on what hands do."""
