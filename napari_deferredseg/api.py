"""What `import napari_deferredseg` offers: each function does what a command does."""
