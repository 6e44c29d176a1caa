"""Read and write NIfTI: nibabel parses, the rules where a header leaves a choice are ours."""
