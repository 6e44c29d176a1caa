"""Controls for any Qt window: labels, fields, dialogs, tables, work in the background. No napari here."""
