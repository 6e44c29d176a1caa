"""Adapters to segmentation models; each turns its input into a `Prediction`."""
